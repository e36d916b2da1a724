"""Checks of one way to run a sequence: final carry, outputs, and the gradient of everything that went in.

Values and gradients come from one differentiated call. `inference_check` asks about calls that are not differentiated:
a kernel with its own gradient computes them by other code.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...errors import DefectError
from ...parameters.record import GRUParams, leaves
from ...port.compilation import jit
from ...port.protocol import Port
from .. import oracle
from ..bounds import SAME_BOUND, relative_error
from ..cases import Case
from .check import Answers, Check

Array = Any
#: (port, model, x, carry, **options) -> (carry, outputs)
Run = Callable[..., tuple[Array, Array]]


def whole(port: Port, model: Any, x: Array, carry: Array = None, **options: Any) -> tuple[Array, Array]:
    """In one call."""
    return port.apply(model, x, carry, **options)


@dataclass(frozen=True)
class SequenceQuestion:
    """How a sequence is run, and what is passed."""

    run: Run = whole
    passed: bool = False  # start from the case's carry; else from the learned one
    lengths: bool = False  # pass those of the case, with NaN in the padding, which must reach nothing
    resets: bool = False  # pass those of the case
    reverse: bool = False
    view: Callable[[Case], Case] = lambda case: case  # the same data in another form
    transform: Callable[[Callable[..., Any]], Callable[..., Any]] = jit  # of the function that computes everything
    config: dict[str, Any] = field(default_factory=dict)  # fields of GRUConfig to change

    def masks(self, case: Case) -> dict[str, Array]:
        """What is passed beside inputs and carry."""
        masks = {"lengths": case.lengths} if self.lengths else {}
        return masks | ({"resets": case.resets} if self.resets else {})

    def bind(self, port: Port) -> Run:
        """(model, x, carry, masks) -> (carry, outputs) of a port. What is not an array is fixed, not passed."""
        fixed = {"reverse": True} if self.reverse else {}
        return lambda model, x, carry, masks: self.run(port, model, x, carry, **fixed, **masks)

    def arguments(self, case: Case) -> tuple[Array, ...]:
        """What is differentiated beside the parameters."""
        return (case.x, case.carry) if self.passed else (case.x,)


def sequence_check(
    name: str,
    catches: str,
    asked: SequenceQuestion | None = None,
    dtypes: tuple[str, ...] = ("float64",),
    *,
    optimized: tuple[str, ...] = (),
) -> Check:
    """A row of the table of checks; without a question, the plain sequence."""
    asked = asked or SequenceQuestion()

    def answer(port: Port, case: Case, style: Any) -> Answers:
        return answer_sequence(asked, port, asked.view(case))

    def expect(case: Case) -> Answers:
        return expect_sequence(asked, asked.view(case))

    computed_in = asked.config.get("dtype")
    return Check(name, catches, answer, expect, dtypes=dtypes, computed_in=computed_in, optimized=optimized)


def inference_check(name: str, catches: str, questions: dict[str, SequenceQuestion]) -> Check:
    """Carry and outputs of several questions, without a gradient."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        found = {}
        for label, asked in questions.items():
            seen, call = asked.view(case), asked.transform(asked.bind(port))
            model, start = port.load(seen.gru_config, seen.params.gru), seen.carry if asked.passed else None
            carry, outputs = call(model, *jax.tree.map(jnp.asarray, (seen.x, start, asked.masks(seen))))
            found |= {f"{label}: carry": carry, f"{label}: outputs": outputs}
        return found

    def expect(case: Case) -> Answers:
        found = {}
        for label, asked in questions.items():
            seen = asked.view(case)
            tape = oracle.forward(seen.params.gru, *asked.arguments(seen), **asked.masks(seen), reverse=asked.reverse)
            found |= {f"{label}: carry": tape.carry, f"{label}: outputs": tape.outputs}
        return found

    return Check(name, catches, answer, expect)


def start_check(name: str, catches: str) -> Check:
    """Sequences from the initial carry that a model hands out, which has the asked shape and the model's dtype."""
    check = sequence_check(name, catches, SequenceQuestion(from_start, view=two_batch_axes))

    def answer(port: Port, case: Case, style: Any) -> Answers:
        _require_starts(port, case)
        return check.answer(port, case, style)

    return replace(check, answer=answer)


def _require_starts(port: Port, case: Case) -> None:
    """Raise a DefectError unless the parameter is handed out, in the dtype of the computation, for each batch."""
    learned, B = case.params.gru.initial_carry, len(case.x)
    for dtype in (None, "float32", "bfloat16"):
        model = port.load(replace(case.gru_config, dtype=dtype), case.params.gru)
        computed = jnp.dtype(dtype or learned.dtype)
        for batch in ((), (B,), (2, B)):
            found, shape = port.initial_carry(model, batch), (*batch, *learned.shape)
            what = f"the initial carry for batch_shape={batch}" + (f" of a model with dtype={dtype!r}" if dtype else "")
            if (np.shape(found), jnp.result_type(found)) != (shape, computed):
                raise DefectError(f"{what} is {jnp.result_type(found)}{np.shape(found)}, expected {computed}{shape}.")
            if dtype and not relative_error(found, np.broadcast_to(learned, shape)) <= float(jnp.finfo(dtype).eps):
                raise DefectError(f"{what} is not the parameter.")
    moved = jax.tree.map(lambda p: np.roll(p, 1), case.params.gru)  # not along the parameters
    model, along = (port.load(case.gru_config, params) for params in (case.params.gru, moved))
    _, tangent = jax.jvp(lambda model: port.initial_carry(model, (B,)), (model,), (along,))
    if not relative_error(tangent, np.broadcast_to(moved.initial_carry, (B, *learned.shape))) <= SAME_BOUND:
        raise DefectError("the tangent of the initial carry that is handed out is not that of the parameter.")
    cast = jax.tree.map(lambda p: p.astype("float32"), port.load(case.gru_config, case.params.gru))
    given = jnp.result_type(port.initial_carry(cast, (B,)))
    if given != jnp.float32:
        raise DefectError(f"the initial carry of a model whose parameters were cast to float32 is {given}.")


def expect_sequence(asked: SequenceQuestion, case: Case) -> Answers:
    """The oracle's answers, computed in one dtype and handed out in those of the case."""
    if case.dtype == "float64":
        compute = "float64"
    else:
        compute = asked.config.get("dtype") or str(np.result_type(case.x, case.params.gru.weight_ih))
    params, others = _cast(case.params.gru, compute), [_cast(a, compute) for a in asked.arguments(case)]
    tape = oracle.forward(params, *others, **asked.masks(case), reverse=asked.reverse)
    found = oracle.backward(params, tape, _cast(case.targets, compute), _cast(case.d_carry, compute))
    stored = [g.astype(p.dtype) for g, p in zip(found.params, case.params.gru, strict=True)]
    gradients = GRUParams(*stored)._asdict() | {"x": found.x.astype(case.x.dtype)}
    if found.carry is not None:
        gradients["carry"] = found.carry.astype(case.carry.dtype)
    return {"carry": tape.carry, "outputs": tape.outputs} | named_gradients(gradients)


def answer_sequence(asked: SequenceQuestion, port: Port, case: Case) -> Answers:
    """A port's answers: values, and the gradients of Σ outputs · targets + Σ carry · d_carry.

    All that has a value is an argument of the program, so that other values need no other program.
    """
    run = asked.bind(port)

    def differentiate(model, arrays, masks, padding, targets, d_carry):
        def scalar(model, x, carry=None):
            if asked.lengths:
                x = jnp.where(padding, jnp.nan, x)
            found = run(model, x, carry, masks)
            return weighted_sum(found, targets, d_carry), found

        return port.value_and_grad(scalar, has_aux=True)(model, *arrays)

    model = port.load(replace(case.gru_config, **asked.config), case.params.gru)
    steps = np.arange(case.x.shape[-2])[:, None]  # (T, 1)
    padding = np.broadcast_to(steps >= case.lengths[..., None, None], case.x.shape)  # (*batch, T, D)
    data = asked.arguments(case), asked.masks(case), padding, case.targets, case.d_carry
    (_, (carry, outputs)), (gradient, *others) = asked.transform(differentiate)(model, *jax.tree.map(jnp.asarray, data))
    gradients = leaves(port.dump(gradient)) | dict(zip(("x", "carry"), others, strict=False))
    return {"carry": carry, "outputs": outputs} | named_gradients(gradients)


def weighted_sum(found: tuple[Array, Array], targets: Array, d_carry: Array) -> Array:
    """Σ outputs · targets + Σ carry · d_carry, whose gradient is asked for."""
    carry, outputs = found
    return jnp.sum(outputs * targets) + jnp.sum(carry * d_carry)


def named_gradients(arrays: dict[str, Array]) -> Answers:
    """Answers, of gradients by what they belong to."""
    return {f"d {name}": array for name, array in arrays.items()}


def _cast(tree: Any, dtype: str) -> Any:
    return jax.tree.map(lambda a: a.astype(dtype), tree)


# Ways to run it ------------------------------------------------------------------------------------------------


def in_chunks(port: Port, model: Any, x: Array, carry: Array = None) -> tuple[Array, Array]:
    """In three calls, each from the carry of the one before; fewer where there are fewer steps."""
    outputs = []
    for chunk in np.array_split(np.arange(x.shape[1]), 3):
        if chunk.size:
            carry, found = port.apply(model, x[:, chunk[0] : chunk[-1] + 1], carry)
            outputs.append(found)
    return carry, jnp.concatenate(outputs, axis=1)


def from_start(port: Port, model: Any, x: Array, carry: Array = None) -> tuple[Array, Array]:
    """From the learned initial carry, as the model hands it out for all batch axes, for the last, and for none.

    The mean of the three, so that a gradient has to pass through each of them.
    """
    *batch, _, _ = x.shape
    handed_out = [port.initial_carry(model, tuple(shape)) for shape in (batch, batch[-1:], ())]
    carry = sum(jnp.broadcast_to(h, (*batch, h.shape[-1])) for h in handed_out) / len(handed_out)
    return port.apply(model, x, carry)


def by_step(port: Port, model: Any, x: Array, carry: Array = None, *, resets: Array = None) -> tuple[Array, Array]:
    """Step by step: the first without a carry unless one is passed, the others each from the one before."""

    def advance(h, step):
        x, reset = step
        return port.step(model, x, h, **({} if reset is None else {"reset": reset}))

    def steps(start, stop):
        return jax.tree.map(lambda a: jnp.moveaxis(a[:, start:stop], 1, 0), (x, resets))

    carry, first = advance(carry, jax.tree.map(lambda a: a[0], steps(0, 1)))
    carry, rest = jax.lax.scan(advance, carry, steps(1, None))
    return carry, jnp.concatenate([first[:, None], jnp.moveaxis(rest, 0, 1)], axis=1)


def time_major(
    port: Port, model: Any, x: Array, carry: Array = None, *, resets: Array = None, **options: Any
) -> tuple[Array, Array]:
    """Time first, on the way in and on the way out."""
    axis = x.ndim - 2
    resets = None if resets is None else jnp.moveaxis(resets, axis, 0)
    options |= {"resets": resets, "time_major": True}
    carry, outputs = port.apply(model, jnp.moveaxis(x, axis, 0), carry, **options)
    return carry, jnp.moveaxis(outputs, 0, axis)


def vmapped(port: Port, model: Any, x: Array, carry: Array = None) -> tuple[Array, Array]:
    """Example by example, along the last axis of inputs, and as the second model of an ensemble, under jax.vmap."""
    ensemble = jax.tree.map(lambda p: jnp.stack([jnp.roll(p, 1), p]), model)
    by_example = jax.vmap(port.apply, (None, -1, 0))
    found = jax.vmap(by_example, (0, None, None))(ensemble, jnp.moveaxis(x, 0, -1), carry)
    return jax.tree.map(lambda a: a[1], found)


def two_batch_axes(case: Case) -> Case:
    """The case beside itself in the opposite order: batch (2, B)."""

    def doubled(a: np.ndarray) -> np.ndarray:
        return np.stack([a, a[::-1]])

    names = ("x", "carry", "lengths", "resets", "targets", "d_carry")
    return replace(case, **{name: doubled(getattr(case, name)) for name in names})
