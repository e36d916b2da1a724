"""Checks at the edge: the initial carry that is handed out, carries that are not finite, lengths of many steps, and a
batch whose size is not known when a program is exported.
"""

from collections.abc import Callable
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
from ..bounds import SAME_BOUND, relative_error
from ..cases import CASE
from ..contract.factors import whole_row
from ..contract.programs import direct, named_answers
from ..contract.reference import expect_one
from .check import Answers, Check, one_set, unless_left_out

Array = Any
#: Batch shapes for which the initial carry is handed out.
BATCHES = ((), (len(CASE.x),), (2, len(CASE.x)))
EXPORT_PLATFORMS = ("cpu", "cuda", "tpu")
#: Steps that 16 bits do not count; those up to which a half-precision number counts, and some more.
COUNTED = 2**16 + 2
COARSE = {"bfloat16": 2**8 + 4, "float16": 2**11 + 4}


def start_check(name: str, catches: str) -> Check:
    """The parameter is handed out, in the dtype of the computation, for each batch."""
    params, config, batch = CASE.params.gru, CASE.gru_config, (len(CASE.x),)

    def answer(port: Port) -> Answers:
        def handed_out(model: Any) -> list[Array]:
            return [port.initial_carry(model, batch) for batch in BATCHES]

        for dtype in (None, "float32", "bfloat16"):
            found = evaluate(handed_out, port.load(replace(config, dtype=dtype), params))
            for shape, array in zip(BATCHES, found, strict=True):
                _require_start(f"for batch_shape={shape}, dtype={dtype!r}", array, shape, dtype or "float64")
        model = port.load(config, params)
        start = np.asarray(port.initial_carry(model, batch))
        cast = jax.tree.map(lambda p: p.astype("float32"), model)
        of_cast = np.asarray(port.initial_carry(cast, batch))
        _require_start("with parameters that were cast to float32", of_cast, batch, "float32")
        return {"the initial carry outside of jit": start}

    def expect() -> Answers:
        return {"the initial carry outside of jit": np.tile(params.initial_carry, (*batch, 1))}

    return Check(name, catches, answer, expect)


def _require_start(what: str, found: Any, batch: tuple[int, ...], dtype: str) -> None:
    want = np.broadcast_to(CASE.params.gru.initial_carry, (*batch, CASE.gru_config.hidden_size))
    if (found.shape, str(found.dtype)) != (want.shape, dtype):
        raise DefectError(f"the initial carry {what} is {found.dtype}{found.shape}, expected {dtype}{want.shape}.")
    if not relative_error(found, want) <= max(SAME_BOUND, float(jnp.finfo(dtype).eps)):
        raise DefectError(f"the initial carry {what} is not the parameter.")


def held_check(name: str, catches: str) -> Check:
    """Carries that are not finite, through padding alone: they stay as they are, and outputs are zero."""
    carries = np.broadcast_to(np.resize([np.inf, np.nan, -np.inf], len(CASE.x))[:, None], CASE.carry.shape)

    def kinds(carry: Any) -> Array:
        """1, -1 and 2 for infinite values and for those that are no numbers; 0 for others."""
        return np.select([np.isposinf(carry), np.isneginf(carry), np.isnan(carry)], [1.0, -1.0, 2.0], 0.0)

    def answer(port: Port) -> Answers:
        model, lengths = port.load(CASE.gru_config, CASE.params.gru), np.zeros(len(CASE.x), np.int32)

        def call(model: Any, x: Array, carry: Array, lengths: Array) -> Any:
            return port.apply(model, x, carry, lengths=lengths)

        carry, outputs = evaluate(call, model, CASE.x, carries, lengths)
        return {"carry, what is not finite": kinds(carry), "outputs": outputs}

    def expect() -> Answers:
        return {"carry, what is not finite": kinds(carries), "outputs": np.zeros_like(CASE.targets)}

    return Check(name, catches, answer, expect)


def counted_check(name: str, catches: str) -> Check:
    """Lengths of more steps than 16 bits count: the carry is that of as many steps without lengths.

    Where half precision is computed in, outputs and carry end at lengths of more steps than that counts.
    """
    lengths = np.array([COUNTED - 1, 2**15 + 1, 3])

    def answer(port: Port) -> Answers:
        model = port.load(CASE.gru_config, CASE.params.gru)
        x = np.resize(CASE.x[:1], (1, COUNTED, CASE.x.shape[-1]))

        @jit_without_optimization
        def both(model: Any, x: Array, lengths: Array) -> Any:
            carry, _ = port.apply(model, jnp.repeat(x, len(lengths), axis=0), lengths=lengths)
            return carry - port.apply(model, x)[1][0, lengths - 1]

        answers: Answers = {"carry": both(model, x, lengths)}
        for dtype, steps in COARSE.items():
            quantity = f"ends in {dtype}"
            ends = partial(_ends, port, dtype, steps)
            answers |= unless_left_out(lambda quantity=quantity, ends=ends: {quantity: ends()}, [quantity])
        return answers

    def expect() -> Answers:
        ends = {f"ends in {dtype}": np.array([[steps - 1.0, steps - 3.0]] * 2) for dtype, steps in COARSE.items()}
        return {"carry": np.zeros((len(lengths), CASE.carry.shape[-1]))} | ends

    return Check(name, catches, answer, expect)


def _ends(port: Port, dtype: str, steps: int) -> np.ndarray:
    """Of two sequences that end one step and three steps early: how many outputs are not zero, and the step after
    which the output is the final carry, counted from 1.
    """
    model = port.load(replace(CASE.gru_config, dtype=dtype), CASE.params.gru)
    x = np.resize(CASE.x, (2, steps, CASE.x.shape[-1]))
    call = jit_without_optimization(lambda model, x, lengths: port.apply(model, x, lengths=lengths))
    found = call(model, x, jnp.array([steps - 1, steps - 3]))
    carry, outputs = (np.asarray(array, np.float64) for array in found)
    there = np.any(outputs, axis=-1).sum(axis=-1)
    from_end = np.abs(outputs - carry[:, None])[:, ::-1].sum(axis=-1).argmin(axis=-1)  # earlier ones may be the same
    return np.stack([there, steps - from_end]).astype(np.float64)


def export_check(name: str, catches: str) -> Check:
    """Results and gradient in programs that are exported for any batch size and three platforms, and read back."""
    rows = {"closed over, ": whole_row({"phase": "forward"}), "": whole_row({})}

    def answer(port: Port) -> Answers:
        import jax.export  # which older versions import on request alone

        found: Answers = {}
        (size,) = jax.export.symbolic_shape("size")
        for label, row in rows.items():
            data, model, arrays = one_set(row, port)
            specs = jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), arrays)
            call = partial(direct, row, port, along=None)
            if label:
                results = exported(partial(call, model), *specs)(*arrays)
            else:
                results = exported(call, model, *specs)(model, *arrays)
            found |= {f"{label}{name}": array for name, array in named_answers(row, port, data, results).items()}
        return found

    def expect() -> Answers:
        return {f"{label}{name}": array for label, row in rows.items() for name, array in expect_one(row).items()}

    return Check(name, catches, answer, expect)


def exported(function: Callable[..., Any], *example: Any) -> Callable[..., Any]:
    """The function as an artefact of jax.export for three platforms, written to bytes and read back.

    Args:
        example: arguments, or their types, of which a size may be a symbol.

    Raises:
        DefectError: it calls back into Python, which no artefact can hold.
    """
    import jax.export  # which older versions import on request alone

    arrays, structure = jax.tree.flatten(example)
    made: dict[str, Any] = {}

    def flat(*arrays: Any) -> list[Array]:
        results, made["results"] = jax.tree.flatten(function(*jax.tree.unflatten(structure, arrays)))
        return results

    jitted: Any = jax.jit(flat)
    if effects := jitted.trace(*arrays).jaxpr.effects:
        raise DefectError(f"calls back into Python, which no artefact can hold: {', '.join(map(str, effects))}.")
    artefact = jax.export.deserialize(jax.export.export(jitted, platforms=EXPORT_PLATFORMS)(*arrays).serialize())
    call = jit_without_optimization(artefact.call)
    return lambda *arguments: jax.tree.unflatten(made["results"], call(*jax.tree.leaves(arguments)))
