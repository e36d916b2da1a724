"""Checks at the edge: the initial carry that is handed out, carries that are not finite, lengths of many steps, and a
batch whose size is not known when a program is exported.
"""

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
from .check import Answers, Part, one_set

Array = Any
#: Batch shapes and dtypes of the computation for which the initial carry is handed out.
BATCHES = ((), (B,), (2, B))
STARTS = (None, "float32", "bfloat16")
EXPORT_PLATFORMS = ("cpu", "cuda", "tpu")
#: Lengths of which the first ones are more steps than 16 bits count.
COUNTED = np.array([2**16 + 1, 2**15 + 1, 3])
#: Carries that are not finite, each in all units of an example.
ENDLESS = np.broadcast_to(np.resize([np.inf, np.nan, -np.inf], B)[:, None], CARRY.shape)


# The initial carry, in the dtype of the computation, for each batch -------------------------------------------------


def _answer_start(port: Port) -> Answers:
    found = {}
    for dtype in STARTS:
        model = port.load(replace(CONFIG, dtype=dtype), PARAMS)
        starts = evaluate(lambda model: [port.initial_carry(model, batch) for batch in BATCHES], model)
        found |= dict(zip(_names_of(dtype), starts, strict=True))
    model = port.load(CONFIG, PARAMS)
    found["outside of jit"] = port.initial_carry(model, BATCHES[1])
    found["of parameters that were cast"] = port.initial_carry(
        jax.tree.map(lambda p: p.astype("float32"), model), BATCHES[1]
    )
    return found


def _expect_start() -> Answers:
    def start(batch: tuple[int, ...], dtype: str | None) -> np.ndarray:
        return np.tile(PARAMS.initial_carry, (*batch, 1)).astype(dtype or "float64")

    found = {n: start(batch, dtype) for dtype in STARTS for n, batch in zip(_names_of(dtype), BATCHES, strict=True)}
    return found | {
        "outside of jit": start(BATCHES[1], None),
        "of parameters that were cast": start(BATCHES[1], "float32"),
    }


def _names_of(dtype: str | None) -> list[str]:
    return [f"batch_shape={batch}, dtype={dtype!r}" for batch in BATCHES]


# Carries that are not finite go through padding as they are ---------------------------------------------------------


def _answer_held(port: Port) -> Answers:
    model, lengths = port.load(CONFIG, PARAMS), np.zeros(B, np.int32)

    def call(model: Any, x: Array, carry: Array, lengths: Array) -> Any:
        return port.apply(model, x, carry, lengths=lengths)

    carry, outputs = evaluate(call, model, X, ENDLESS, lengths)
    return {"carry, what is not finite": _kinds(carry), "outputs": outputs}


def _expect_held() -> Answers:
    return {"carry, what is not finite": _kinds(ENDLESS), "outputs": np.zeros((*X.shape[:2], H))}


def _kinds(carry: Any) -> Array:
    """1, -1 and 2 for infinite values and for those that are no numbers; 0 for others."""
    return np.select([np.isposinf(carry), np.isneginf(carry), np.isnan(carry)], [1.0, -1.0, 2.0], 0.0)


# Lengths of more steps than 16 bits count ---------------------------------------------------------------------------


def _answer_counted(port: Port) -> Answers:
    """By how much the carry at a length differs from the output there without lengths."""
    model = port.load(CONFIG, PARAMS)
    x = np.resize(X[:1], (1, COUNTED[0] + 1, X.shape[-1]))

    @jit_without_optimization
    def both(model: Any, x: Array, lengths: Array) -> Any:
        carry, _ = port.apply(model, jnp.repeat(x, len(lengths), axis=0), lengths=lengths)
        return carry - port.apply(model, x)[1][0, lengths - 1]

    return {"carry": both(model, x, COUNTED)}


def _expect_counted() -> Answers:
    return {"carry": np.zeros((len(COUNTED), H))}


# Exported programs --------------------------------------------------------------------------------------------------


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
START = (Part(_answer_start, _expect_start),)
HELD = (Part(_answer_held, _expect_held),)
COUNTS = (Part(_answer_counted, _expect_counted),)
EXPORT = (
    Part(partial(_answer_export, row=_FORWARD, closed=True), partial(expect_one, _FORWARD), "closed over"),
    Part(partial(_answer_export, row=_GRADIENT, closed=False), partial(expect_one, _GRADIENT), "passed"),
)
