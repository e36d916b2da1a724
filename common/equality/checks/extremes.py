"""Checks of sequences at the edge: very long ones, a large model, values near 0, gates that are closed, arrays of which
one is wider than the others, a carry that is not finite, a batch whose size is not known when the program is made.

A view is the case with other values, for a `SequenceQuestion`.
"""

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...parameters.record import leaves
from ...port.compilation import jit
from ...port.protocol import Port
from .. import oracle
from ..cases import Case
from .check import Answers, Check, unless_left_out
from .sequences import by_step, named_gradients, whole

Array = Any
#: Steps of a long sequence; and of one that powers of two divide, up to 256.
MANY, DIVISIBLE = 1100, 1280
#: Steps that 16 bits do not count; those up to which a half-precision number counts, and some more.
COUNTED = 2**16 + 2
COARSE = {"bfloat16": 2**8 + 4, "float16": 2**11 + 4}
#: Sequences, steps, inputs and units of a large model.
SCALE = (64, 1024, 64, 512)
#: What may be of a wider dtype than all else.
WIDE = ("carry", "inputs", "parameters")


def many_steps(case: Case) -> Case:
    """The case with its steps again and again: more than 8 and 10 bits count, and no power of two."""
    lengths = np.resize([MANY, 0, MANY - 257], case.lengths.shape).astype(case.lengths.dtype)
    return replace(_of_steps(case, MANY), lengths=lengths)


def divisible_steps(case: Case) -> Case:
    """The case with its steps again and again, in pieces of any power of two up to 256. Resets are rare."""
    case = _of_steps(case, DIVISIBLE)
    return replace(case, resets=case.resets & (np.arange(DIVISIBLE) % 500 < 50))


def _of_steps(case: Case, steps: int) -> Case:
    def repeated(a: np.ndarray) -> np.ndarray:
        return np.concatenate([a] * -(-steps // a.shape[1]), axis=1)[:, :steps]

    return replace(case, **{name: repeated(getattr(case, name)) for name in ("x", "resets", "targets")})


def faint(case: Case) -> Case:
    """Inputs, states and their outputs near 1e-9, where tanh(a) is a, but for rounding.

    There are as many inputs as gates have units together, so that the shape of a matrix does not tell its axes apart.
    """
    (batch, time, _), H = case.x.shape, case.carry.shape[-1]
    case = Case.random(batch, time, 3 * H, H).astype(case.asked_in).as_dtype_of(case)
    gru = case.params.gru
    still = {name: np.zeros_like(getattr(gru, name)) for name in ("bias", "bias_n", "initial_carry")}
    x = (case.x * 1e-9).astype(case.x.dtype)
    return replace(case, x=x, params=case.params._replace(gru=gru._replace(**still)))


def closed(case: Case) -> Case:
    """The case with r and z near 1e-9 at every state, and a start near 1e8, of which they let pass a part near 1."""
    gru = case.params.gru
    H = gru.bias_n.shape[0]
    of_gates = (np.arange(3 * H) < 2 * H)[:, None]
    changed = {
        "weight_hh": np.where(of_gates, 0, gru.weight_hh),
        "bias": gru.bias - 20 * of_gates[:, 0],
        "initial_carry": gru.initial_carry * 1e8,
    }
    changed = {name: array.astype(gru.bias.dtype) for name, array in changed.items()}
    return replace(case, params=case.params._replace(gru=gru._replace(**changed)))


def promotion_check(name: str, catches: str) -> Check:
    """One of carry, inputs and parameters in float64, the others in float32: all is computed in float64."""
    entries = {"a sequence": whole, "step by step": by_step}

    def given(case: Case, wide: str) -> dict[str, Any]:
        arrays = {"carry": case.carry, "inputs": case.x, "parameters": case.params.gru}
        narrow = jax.tree.map(lambda a: a.astype("float32"), arrays)
        return narrow | {wide: arrays[wide]}

    def named(found: tuple[Array, Array], entry: str, wide: str) -> Answers:
        return dict(zip((f"{what} of {entry}, wide {wide}" for what in ("carry", "outputs")), found, strict=True))

    def ask(port: Port, case: Case, wide: str, entry: str) -> Answers:
        arrays = given(case, wide)
        params = arrays["parameters"]
        model = port.load(replace(case.gru_config, param_dtype=str(params.bias.dtype)), params)
        x, carry = jax.tree.map(jnp.asarray, (arrays["inputs"], arrays["carry"]))
        return named(jit(partial(entries[entry], port))(model, x, carry), entry, wide)

    def answer(port: Port, case: Case, style: Any) -> Answers:
        found: Answers = {}
        for wide, entry in itertools.product(WIDE, entries):
            found |= unless_left_out(partial(ask, port, case, wide, entry), named((None, None), entry, wide))
        return found

    def expect(case: Case) -> Answers:
        found: Answers = {}
        for wide, entry in itertools.product(WIDE, entries):
            arrays = jax.tree.map(lambda a: a.astype("float64"), given(case, wide))
            tape = oracle.forward(arrays["parameters"], arrays["inputs"], arrays["carry"])
            found |= named((tape.carry, tape.outputs), entry, wide)
        return found

    return Check(name, catches, answer, expect)


def symbolic_check(name: str, catches: str) -> Check:
    """Results and gradient in programs that are exported for any batch size, and called with one."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        import jax.export  # which older versions import on request alone

        model, (size,) = port.load(case.gru_config, case.params.gru), jax.export.symbolic_shape("size")
        arrays, structure = jax.tree.flatten(model)  # an artefact hands out arrays, and knows no class of a model
        x = jax.ShapeDtypeStruct((size, *case.x.shape[1:]), case.x.dtype)
        of_gradient: list[Any] = []

        def scalar(model: Any, x: Array) -> Array:
            carry, outputs = port.apply(model, x)
            return jnp.sum(carry) + jnp.sum(outputs)

        def differentiate(arrays: list[Array], x: Array) -> list[Array]:
            _, (gradient, _) = port.value_and_grad(scalar)(jax.tree.unflatten(structure, arrays), x)
            found, kind = jax.tree.flatten(gradient)
            of_gradient[:] = [kind]
            return found

        closed_over: Any = jit(lambda x: port.apply(model, x))
        carry, outputs = jax.export.export(closed_over)(x).call(case.x)
        differentiated: Any = jit(differentiate)
        gradient = jax.export.export(differentiated)(arrays, x).call(arrays, case.x)
        named = named_gradients(leaves(port.dump(jax.tree.unflatten(of_gradient[0], gradient))))
        return {"carry": carry, "outputs": outputs} | named

    def expect(case: Case) -> Answers:
        tape = oracle.forward(case.params.gru, case.x)
        found = oracle.backward(case.params.gru, tape, np.ones_like(tape.outputs), np.ones_like(tape.carry))
        return {"carry": tape.carry, "outputs": tape.outputs} | named_gradients(leaves(found.params))

    return Check(name, catches, answer, expect)


def held_check(name: str, catches: str) -> Check:
    """Carries that are not finite, through padding alone: they stay as they are, and outputs are zero."""

    def carries(case: Case) -> Array:
        return np.broadcast_to(np.resize([np.inf, np.nan, -np.inf], len(case.x))[:, None], case.carry.shape)

    def kinds(carry: Any) -> Array:
        """1, -1 and 2 for infinite values and for those that are no numbers; 0 for others."""
        carry = np.asarray(carry)
        return np.select([np.isposinf(carry), np.isneginf(carry), np.isnan(carry)], [1.0, -1.0, 2.0], 0.0)

    def answer(port: Port, case: Case, style: Any) -> Answers:
        model, lengths = port.load(case.gru_config, case.params.gru), jnp.zeros(len(case.x), int)
        call = jit(lambda model, x, carry, lengths: port.apply(model, x, carry, lengths=lengths))
        carry, outputs = call(model, case.x, jnp.asarray(carries(case), case.dtype), lengths)
        return {"carry, what is not finite": kinds(carry), "outputs": outputs}

    def expect(case: Case) -> Answers:
        outputs = np.zeros((*case.x.shape[:2], case.carry.shape[-1]))
        return {"carry, what is not finite": kinds(carries(case)), "outputs": outputs}

    return Check(name, catches, answer, expect)


def at_scale(case: Case) -> Case:
    """Another case, as large as models that are trained, in the dtype of this one."""
    return Case.random(*SCALE).astype(case.asked_in).as_dtype_of(case)


def _ends(port: Port, case: Case, dtype: str, steps: int) -> np.ndarray:
    """Of two sequences that end one step and three steps early: how many outputs are not zero, and the step after
    which the output is the final carry, counted from 1.
    """
    model = port.load(replace(case.gru_config, dtype=dtype), case.params.gru)
    x = jnp.asarray(np.resize(case.x, (2, steps, case.x.shape[-1])))
    call = jit(lambda model, x, lengths: port.apply(model, x, lengths=lengths))
    found = call(model, x, jnp.array([steps - 1, steps - 3]))
    carry, outputs = (np.asarray(array, np.float64) for array in found)
    there = np.any(outputs, axis=-1).sum(axis=-1)
    from_end = np.abs(outputs - carry[:, None])[:, ::-1].sum(axis=-1).argmin(axis=-1)  # earlier ones may be the same
    last = steps - from_end
    return np.stack([there, last]).astype(np.float64)


def counted_check(name: str, catches: str) -> Check:
    """Lengths of more steps than 16 bits count: the carry is that of as many steps without lengths.

    Where half precision is computed in, outputs and carry end at lengths of more steps than that counts.
    """
    lengths = np.array([COUNTED - 1, 2**15 + 1, 3])

    def answer(port: Port, case: Case, style: Any) -> Answers:
        model = port.load(case.gru_config, case.params.gru)
        x = np.resize(case.x[:1], (1, COUNTED, case.x.shape[-1]))
        call = jit(lambda model, x, lengths: port.apply(model, x, lengths=lengths)[0])
        found = call(model, np.repeat(x, len(lengths), axis=0), jnp.asarray(lengths))
        outputs = jit(lambda model, x: port.apply(model, x)[1])(model, x)
        answers: Answers = {"carry": found - outputs[0, lengths - 1]}
        for dtype, steps in COARSE.items():
            ends = partial(_ends, port, case, dtype, steps)
            name = f"ends in {dtype}"
            answers |= unless_left_out(lambda name=name, ends=ends: {name: ends()}, [name])
        return answers

    def expect(case: Case) -> Answers:
        ends = {f"ends in {dtype}": np.array([[steps - 1.0, steps - 3.0]] * 2) for dtype, steps in COARSE.items()}
        return {"carry": np.zeros((len(lengths), case.carry.shape[-1]))} | ends

    return Check(name, catches, answer, expect)
