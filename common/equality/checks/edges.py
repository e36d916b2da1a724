"""Checks at the edge: the initial carry that is handed out, carries that are not finite, lengths of many steps, and a
batch whose size is not known when a program is exported.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import DefectError
from ...port.compilation import jit_without_optimization
from ...port.protocol import Port
from ...program import evaluate
from ..cases import CARRY, CONFIG, PARAMS, B, H, X
from ..contract.factors import Row, whole_row
from ..contract.programs import direct, named_answers
from ..contract.reference import expect_one
from .check import Answers, Case, Part, one_set, part_of

Array = Any
#: Batch shapes and dtypes of the computation for which the initial carry is handed out.
BATCHES = ((), (B,), (2, B))
STARTS = (None, "float32", "bfloat16")
EXPORT_PLATFORMS = ("cpu", "cuda", "tpu")
#: Lengths of which the first ones are more steps than 16 bits count.
COUNTED = np.array([2**16 + 1, 2**15 + 1, 3])
#: Carries that are not finite, each in all units of an example.
ENDLESS = np.broadcast_to(np.resize([np.inf, np.nan, -np.inf], B)[:, None], CARRY.shape)


def _start(port: Port) -> Iterator[Case]:
    """The initial carry, in the dtype of the computation, for each batch."""

    def expected(batch: tuple[int, ...], dtype: str) -> np.ndarray:
        return np.tile(PARAMS.initial_carry, (*batch, 1)).astype(dtype)

    def of_batches(model: Any) -> dict[str, Array]:
        return {str(batch): port.initial_carry(model, batch) for batch in BATCHES}

    for dtype in STARTS:
        model = port.load(replace(CONFIG, dtype=dtype), PARAMS)
        wanted = {str(batch): expected(batch, dtype or "float64") for batch in BATCHES}
        yield Case(f"dtype={dtype!r}, by batch_shape", partial(evaluate, of_batches, model), wanted)
    model = port.load(CONFIG, PARAMS)
    cast = jax.tree.map(lambda p: p.astype("float32"), model)
    for what, some, dtype in (("outside of jit", model, "float64"), ("of parameters that were cast", cast, "float32")):
        yield Case(what, partial(port.initial_carry, some, (B,)), expected((B,), dtype))


def _held(port: Port) -> Iterator[Case]:
    """Carries that are not finite go through padding as they are."""

    def call(model: Any, x: Array, carry: Array, lengths: Array) -> Any:
        return port.apply(model, x, carry, lengths=lengths)

    run = partial(evaluate, call, port.load(CONFIG, PARAMS), X, ENDLESS, np.zeros(B, np.int32))
    yield Case("lengths 0, carry and outputs", run, (ENDLESS, np.zeros((*X.shape[:2], H))), bound=None)


def _counted(port: Port) -> Iterator[Case]:
    """The carry at a length is the output there without lengths."""
    x = np.resize(X[:1], (1, COUNTED[0] + 1, X.shape[-1]))

    @jit_without_optimization
    def difference(model: Any, x: Array, lengths: Array) -> Array:
        carry, _ = port.apply(model, jnp.repeat(x, len(lengths), axis=0), lengths=lengths)
        return carry - port.apply(model, x)[1][0, lengths - 1]

    run = partial(difference, port.load(CONFIG, PARAMS), x, COUNTED)
    yield Case(f"lengths {COUNTED}, carry", run, np.zeros((len(COUNTED), H)))


def _answer_export(port: Port, row: Row, *, closed: bool) -> Answers:
    """Answers of an artefact of jax.export for any batch size and three platforms, written to bytes and read back.

    Args:
        closed: whether the program is closed over the model, which is an argument otherwise.
    """
    import jax.export  # which older versions import on request alone

    (size,) = jax.export.symbolic_shape("size")
    data, model, arrays = one_set(row, port)
    specs = jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), arrays)
    models = () if closed else (model,)
    leaves, structure = jax.tree.flatten((*models, *specs))
    of_results: Any = None

    def flat(*leaves: Any) -> list[Array]:
        nonlocal of_results
        *given, passed, weights, d_carry = jax.tree.unflatten(structure, leaves)
        results = direct(row, port, (given or [model])[0], passed, weights, d_carry, along=None)
        arrays, of_results = jax.tree.flatten(results)
        return arrays

    jitted: Any = jax.jit(flat)
    if effects := jitted.trace(*leaves).jaxpr.effects:
        raise DefectError(f"calls back into Python, which no artefact can hold: {', '.join(map(str, effects))}.")
    artefact = jax.export.deserialize(jax.export.export(jitted, platforms=EXPORT_PLATFORMS)(*leaves).serialize())
    found = jit_without_optimization(artefact.call)(*jax.tree.leaves((*models, *arrays)))
    return named_answers(row, port, data, jax.tree.unflatten(of_results, found))


_FORWARD, _GRADIENT = whole_row({"phase": "forward"}), whole_row({})
START, HELD, COUNTS = ((part_of(cases),) for cases in (_start, _held, _counted))
EXPORT = (
    Part(partial(_answer_export, row=_FORWARD, closed=True), partial(expect_one, _FORWARD), "closed over"),
    Part(partial(_answer_export, row=_GRADIENT, closed=False), partial(expect_one, _GRADIENT), "passed"),
)
