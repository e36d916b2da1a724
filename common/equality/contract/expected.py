"""What is expected of a case: NumPy's answers, in float64 and in the dtype of the case,
by the oracle.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...parameters.record import GRUParams
from ...port.names import unknown_phase
from .. import oracle
from .arrays import Array, CallArrays, arrays_of
from .cases import FLOAT64, Case
from .training import OPTIMIZERS_OF_RECORDS, STEPS, moves, trajectory

Answers = dict[str, Any]  # arrays by quantity
#: Nothing is subtracted, so that the step may be very small: see
#: `trigru.common.equality.oracle`.
COMPLEX_STEP = 1e-30
#: Transforms that change the program and not what it should compute.
SAME_ANSWERS = ("vmap", "ensemble", "checkpoint", "apart")


@dataclass(frozen=True)
class Expected:
    """The arrays of a case, and NumPy's answers to it, with the axis of sets in
    front.
    """

    arrays: CallArrays
    exact: Answers  # in float64
    rounded: Answers  # in the dtype of the case, to see what rounding does


def expected_of(case: Case) -> Expected:
    """What is expected of a case: computed once for all cases that differ in the
    program alone.
    """
    transform = "jit" if case.transform in SAME_ANSWERS else case.transform
    alike = replace(
        case,
        style=None if case.style is None else "any",
        transform=transform,
        time_major=False,
        arrays="device",
        unroll="1",
        remat=False,
        kernel="any",
    )
    return _expected_of(alike)


@lru_cache(maxsize=64)
def _expected_of(case: Case) -> Expected:
    arrays = arrays_of(case)
    exact = answers_to(case, arrays, np.float64)
    if case.dtypes == FLOAT64:
        return Expected(arrays, exact, exact)
    dtypes = case.dtypes
    rounded = answers_to(
        case, arrays, jnp.dtype(dtypes.computation), jnp.dtype(dtypes.params)
    )
    return Expected(arrays, exact, rounded)


def answers_to_one(case: Case, **changed: Any) -> Answers:
    """NumPy's answers in float64 for the first set of values, whose axis they lack,
    with some other arrays.
    """
    arrays = replace(arrays_of(case).of_set(0), **changed)
    return answers_of_set(answers_to(case, arrays, np.float64), 0)


def answers_of_set(answers: Answers, number: int) -> Answers:
    """The answers for one set of values, without the axis of sets."""
    return {name: np.asarray(array[number]) for name, array in answers.items()}


def answers_to(
    case: Case, arrays: CallArrays, dtype: Any, params_dtype: Any = None
) -> Answers:
    """NumPy's answers to a case, of which entry, phase, style, transform and reverse
    count here.

    Args:
        case: what is asked.
        arrays: of the call.
        dtype: in which they are computed; it may be longdouble.
        params_dtype: that of parameters, their gradients and their moves, where it is
            another one.
    """
    cast = replace(
        arrays,
        params=jax.tree.map(lambda p: p.astype(dtype), arrays.params),
        x=arrays.x.astype(dtype),
        carry=None if arrays.carry is None else arrays.carry.astype(dtype),
        weights=arrays.weights.astype(dtype),
        d_carry=arrays.d_carry.astype(dtype),
    )
    with np.errstate(all="ignore"):  # saturating values overflow, as they may
        if case.phase == "train_step":
            return _train(case, cast, params_dtype or dtype)
        if case.phase == "penalty":
            return _derivatives_of_penalty(case, cast, direction_of(arrays))
        if case.phase in ("jvp", "hvp"):
            return _derivatives_along(case, cast, direction_of(arrays))
        if case.phase not in ("forward", "step", "gradient"):
            raise unknown_phase(case.phase, "answers_to in contract/expected.py")
        answers = _evaluate(case, cast, with_gradient=case.phase == "gradient")
    if case.transform == "per example":
        answers = {n: a for n, a in answers.items() if is_of_parameters(n)}
    if case.transform == "held":
        answers = {n: a for n, a in answers.items() if not is_of_parameters(n)}
    if params_dtype is not None:
        for name, array in answers.items():
            if is_of_parameters(name):
                answers[name] = array.astype(params_dtype)
    return answers


def is_of_parameters(name: str) -> bool:
    """Whether a quantity is the gradient or the move of a parameter."""
    return name.startswith(("d ", "Δ ")) and name not in ("d x", "d carry")


@dataclass(frozen=True)
class Direction:
    """Along which a case is differentiated in forward mode: of the shapes and dtypes of
    one set of a case's arrays.
    """

    params: GRUParams
    x: Array
    carry: Array | None


def direction_of(arrays: CallArrays) -> Direction:
    """A random direction, alike for all sets."""
    rng = np.random.default_rng(1)

    def draw(array: Array) -> Array:
        return rng.normal(size=array.shape).astype(array.dtype)

    params = jax.tree.map(draw, arrays.params)
    x = draw(arrays.x[:1])
    return Direction(
        params, x, None if arrays.carry is None else draw(arrays.carry[:1])
    )


def _derivatives_along(case: Case, arrays: CallArrays, direction: Direction) -> Answers:
    """Those of outputs ("jvp"), or those of gradients ("hvp")."""
    is_of_gradient = case.phase == "hvp"
    answers = _complex_step(case, arrays, direction, with_gradient=is_of_gradient)
    return {n: a for n, a in answers.items() if n.startswith("d ") == is_of_gradient}


def _derivatives_of_penalty(
    case: Case, arrays: CallArrays, direction: Direction
) -> Answers:
    """Those of the gradients of parameters, summed over the examples, along a direction
    of parameters alone.
    """
    direction = replace(
        direction,
        x=np.zeros_like(arrays.x[:1]),
        carry=None if arrays.carry is None else np.zeros_like(arrays.carry[:1]),
    )
    summed = replace(case, transform="jit")
    answers = _complex_step(summed, arrays, direction, with_gradient=True)
    return {n: a for n, a in answers.items() if is_of_parameters(n)}


def _complex_step(
    case: Case, arrays: CallArrays, direction: Direction, *, with_gradient: bool
) -> Answers:
    dtype = arrays.x.dtype
    step = np.asarray(COMPLEX_STEP, dtype)

    def move(array: Array, along: Array) -> Array:
        return array + step * 1j * along.astype(dtype)

    moved = replace(
        arrays,
        params=jax.tree.map(move, arrays.params, direction.params),
        x=move(arrays.x, direction.x),
        carry=None if direction.carry is None else move(arrays.carry, direction.carry),  # pyright: ignore[reportArgumentType]
    )
    answers = _evaluate(case, moved, with_gradient=with_gradient)
    return {name: array.imag / step for name, array in answers.items()}


def scalar_of(values: Answers, weights: Any, d_carry: Any) -> Any:
    """The scalar that a case differentiates: Σ outputs · weights + Σ carry ·
    d_carry.
    """
    return (values["outputs"] * weights).sum() + (values["carry"] * d_carry).sum()


def _evaluate(case: Case, arrays: CallArrays, *, with_gradient: bool) -> Answers:
    """Results, and the gradients of what `scalar_of` returns."""
    result = oracle.forward(arrays.params, *arrays.passed, reverse=case.reverse)
    values = {"carry": result.carry, "outputs": result.outputs}
    if not with_gradient:
        return values

    def like(array: Array, values: Array) -> Array:
        return np.broadcast_to(array, values.shape).astype(values.dtype)

    d_outputs = like(arrays.weights, result.outputs)
    d_carry = like(arrays.d_carry, result.carry)
    kept_axes = 1  # that of sets
    if case.transform == "per example":
        kept_axes += len(case.batch)
    gradients = oracle.backward(
        arrays.params, result, d_outputs, d_carry, kept_axes=kept_axes
    )
    by_name = gradients.params._asdict()
    if case.style is None:
        by_name["x"] = gradients.x
        if gradients.carry is not None:
            by_name["carry"] = gradients.carry
    else:  # it differentiates the parameters alone, and returns the scalar
        scalars = []
        for outputs, carry in zip(result.outputs, result.carry, strict=True):
            one_set = {"outputs": outputs, "carry": carry}
            scalars.append(scalar_of(one_set, arrays.weights[0], arrays.d_carry[0]))
        values = {"value": np.stack(scalars)}
    return values | {f"d {name}": array for name, array in by_name.items()}


def _train(case: Case, arrays: CallArrays, params_dtype: Any) -> Answers:
    def loss_and_grad(params: GRUParams) -> tuple[Any, GRUParams]:
        answers = _evaluate(case, replace(arrays, params=params), with_gradient=True)
        gradients = {name: answers[f"d {name}"][0] for name in GRUParams._fields}
        return answers["value"][0], GRUParams(**gradients)

    # JAX's optimisers have no longdouble
    moved_in = np.float64 if params_dtype is np.longdouble else params_dtype
    start = jax.tree.map(lambda p: p.astype(moved_in), arrays.params)
    optimizer = OPTIMIZERS_OF_RECORDS[case.optimizer]
    path = trajectory(start, loss_and_grad, optimizer, STEPS, arrays.x.dtype)
    answers = {"losses": path.losses, **moves(start, path.end)}
    return {name: array[None] for name, array in answers.items()}
