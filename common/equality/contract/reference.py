"""NumPy's answers to a row, with the axis of sets in front: in float64, and in a dtype, to see what rounding does."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...compat import enable_x64
from ...gru.optimizers import carry_learning_rate
from ...parameters.record import ClassifierParams, GRUParams, from_leaves, leaves
from ...program import Traced
from .. import oracle
from .data import Data, batch_of, data_of, dtypes_of
from .factors import NO_STYLE, Row

Answers = dict[str, Any]  # arrays by quantity
STEPS = 3  # of training
#: Nothing is subtracted, so that the step may be very small: see `trigru.common.equality.oracle`.
COMPLEX_STEP = 1e-30
#: Factors, and levels of one, that change the program and not what it should compute.
FORM = ("unroll", "remat", "time-major", "arrays", "kernel")
SAME = ("vmap", "ensemble", "checkpoint", "apart")


def known_answers(row: Row) -> tuple[Data, Answers, Answers]:
    """The data of a row, the reference, and NumPy's answers in its dtype: once for all rows that ask the same."""
    changed = {
        "style": "any" if row["style"] != NO_STYLE else NO_STYLE
    } | dict.fromkeys(FORM, "any")
    changed |= {"transform": "jit"} if row["transform"] in SAME else {}
    return _known(tuple((row | changed).items()))


@lru_cache(maxsize=64)
def _known(levels: tuple[tuple[str, str], ...]) -> tuple[Data, Answers, Answers]:
    row = dict(levels)
    data, (computed, stored, _) = data_of(row), dtypes_of(row["dtype"])
    reference = expect(row, data, np.float64)
    if row["dtype"] == "float64":
        return data, reference, reference
    return data, reference, expect(row, data, jnp.dtype(computed), jnp.dtype(stored))


def expect(row: Row, data: Data, dtype: Any, stored: Any = None) -> Answers:
    """NumPy's answers to a row, of which entry, phase, style, transform and reverse count here.

    They are computed in a dtype, which may be longdouble. That of parameters, their gradients and their moves is the
    same, unless it is given as `stored`.
    """
    phase = row["phase"]
    floats = {
        name: getattr(data, name)
        for name in ("params", "x", "carry", "weights", "d_carry")
    }
    cast = replace(data, **jax.tree.map(lambda a: a.astype(dtype), floats))
    with np.errstate(all="ignore"):  # saturating values overflow, as they may
        if phase == "train_step":
            return _train(row, cast, stored or dtype)
        if phase in ("jvp", "hvp", "penalty"):
            along, is_of = (
                direction_of(data),
                lambda name: name.startswith("d ") == (phase != "jvp"),
            )
            if phase == "penalty":  # of parameters alone, summed over the examples
                along, row = (
                    (along[0], *jax.tree.map(np.zeros_like, along[1:])),
                    row | {"transform": "jit"},
                )
                is_of = is_of_parameters
            step, at = (
                np.asarray(COMPLEX_STEP, dtype),
                (cast.params, cast.x, cast.carry),
            )
            params, x, carry = jax.tree.map(
                lambda a, v: a + step * 1j * v.astype(dtype), at, along
            )
            found = _evaluate(
                row,
                replace(cast, params=params, x=x, carry=carry),
                gradient=phase != "jvp",
            )
            return {name: a.imag / step for name, a in found.items() if is_of(name)}
        found = _evaluate(row, cast, gradient=phase == "gradient")
        if row["transform"] == "per example":
            found = {name: a for name, a in found.items() if is_of_parameters(name)}
        return {
            name: a.astype(stored) if stored and is_of_parameters(name) else a
            for name, a in found.items()
        }


def expect_one(row: Row, **changed: Any) -> Answers:
    """NumPy's answers to a row in float64 for the first set of values, whose axis they lack, with some other data."""
    data = replace(data_of(row).of_set(0), **changed)
    return {name: array[0] for name, array in expect(row, data, np.float64).items()}


def is_of_parameters(name: str) -> bool:
    """Whether a quantity is the gradient or the move of a parameter."""
    return name.startswith(("d ", "Δ ")) and name not in ("d x", "d carry")


def direction_of(data: Data) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Along which parameters, inputs and carry are moved: random, of their shapes and dtypes, alike for all sets."""
    rng = np.random.default_rng(1)
    one = data.params, data.x[:1], None if data.carry is None else data.carry[:1]
    return jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), one)


def scalar_of(values: Answers, weights: Any, d_carry: Any) -> Any:
    """The scalar that a row differentiates: Σ outputs · weights + Σ carry · d_carry, or Σ logits · weights."""
    if "logits" in values:
        return (values["logits"] * weights).sum()
    return (values["outputs"] * weights).sum() + (values["carry"] * d_carry).sum()


def _evaluate(row: Row, data: Data, *, gradient: bool) -> Answers:
    """Results, and the gradients of what `scalar_of` returns."""
    reverse = row["reverse"] == "yes"
    result = oracle.forward(
        data.params, data.x, data.carry, data.lengths, data.resets, reverse=reverse
    )
    values = {"carry": result.carry, "outputs": result.outputs}
    if isinstance(data.params, ClassifierParams):
        values = {"logits": oracle.logits_of(data.params, result)}
    if not gradient:
        return values
    each = 1 + (len(batch_of(row)) if row["transform"] == "per example" else 0)
    *_, weighted = values.values()
    linear = zip((data.weights, data.d_carry), (weighted, result.carry), strict=True)
    d_values, d_carry = (
        np.broadcast_to(a, like.shape).astype(like.dtype) for a, like in linear
    )
    found = oracle.backward(data.params, result, d_values, d_carry, each=each)
    gradients = leaves(found.params)
    if row["style"] == NO_STYLE:  # a style differentiates the parameters alone
        gradients |= {"x": found.x} | (
            {} if found.carry is None else {"carry": found.carry}
        )
    else:
        sets = range(len(result.carry))
        one = [{name: a[n] for name, a in values.items()} for n in sets]
        values = {
            "value": np.stack(
                [scalar_of(of_set, data.weights[0], data.d_carry[0]) for of_set in one]
            )
        }
    return values | {f"d {name}": a for name, a in gradients.items()}


@dataclass(frozen=True)
class Trajectory:
    """How parameters and loss changed."""

    losses: np.ndarray  # before each step, (steps,)
    start: Any  # parameters before the first step
    end: Any  # parameters after the last
    weights: dict[
        str, np.ndarray
    ]  # of each entry, the magnitude of its first gradient, relative to the largest

    def moved(self, end: Any) -> dict[str, np.ndarray]:
        """How far parameters moved from the start, by name, each entry times its weight.

        Adam divides by a gradient's magnitude, so where a gradient is no larger than its rounding error, the sign of
        the move is noise, which does not change the loss.
        """
        return {
            name: self.weights[name[2:]] * move
            for name, move in moves(self.start, end).items()
        }


def moves(start: Any, end: Any) -> dict[str, np.ndarray]:
    """How far parameters moved, by name."""
    last = leaves(end)
    return {
        f"Δ {name}": np.asarray(last[name]) - first
        for name, first in leaves(start).items()
    }


def trajectory(
    params: Any,
    loss_and_grad: Callable[[Any], tuple[Any, Any]],
    optimizer: optax.GradientTransformation,
    steps: int,
    dtype: Any = None,
) -> Trajectory:
    """Train with the oracle's gradients; in a dtype, if one is given. The optimiser moves parameters in their own."""
    init, update = _traced(
        optimizer,
        jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params),
    )
    state = init(params)
    losses, start, weights = [], params, {}
    for _ in range(steps):
        loss, gradient = loss_and_grad(
            jax.tree.map(lambda p: p.astype(dtype or p.dtype), params)
        )
        gradient = jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, params)
        losses.append(loss)
        if not weights:
            weights = {
                name: np.abs(g) / (np.abs(g).max() or 1)
                for name, g in leaves(gradient).items()
            }
        updates, state = update(gradient, state, params)
        params = jax.tree.map(lambda p, u: p + np.asarray(u), params, updates)
    return Trajectory(np.stack(losses), start, params, weights)


@lru_cache(maxsize=64)
def _traced(
    optimizer: optax.GradientTransformation, params: Any
) -> tuple[Traced, Traced]:
    """An optimiser's functions, for parameters of these shapes and dtypes."""
    with enable_x64(jax.tree.leaves(params)[0].dtype == np.float64):
        state = jax.eval_shape(optimizer.init, params)
        return Traced(optimizer.init, params), Traced(
            optimizer.update, params, state, params
        )


def _train(row: Row, data: Data, stored: Any) -> Answers:
    def loss_and_grad(params: Any) -> tuple[Any, Any]:
        found = _evaluate(row, replace(data, params=params), gradient=True)
        return found["value"][0], from_leaves(
            {name: found[f"d {name}"][0] for name in leaves(params)}
        )

    start = jax.tree.map(
        lambda p: p.astype(np.float64 if stored is np.longdouble else stored),
        data.params,
    )
    optimizer = _OF_RECORDS.get(row["optimizer"], OPTIMIZERS[row["optimizer"]])
    path = trajectory(start, loss_and_grad, optimizer, STEPS, data.x.dtype)
    return {
        name: array[None]
        for name, array in ({"losses": path.losses} | moves(start, path.end)).items()
    }


_REST, _SCALE, _LENGTH = optax.adamw(1e-2, weight_decay=0.1), 3.0, 17
#: With so large an epsilon, it is neither the gradient's size nor the update's alone that moves the initial carry.
_OWN = optax.adam(0.02, eps=0.1)
#: By level of a row. The update of each needs the parameters, too, or divides by the gradient.
OPTIMIZERS = {
    "momentum": optax.chain(
        optax.add_decayed_weights(0.1), optax.sgd(0.03, momentum=0.9)
    ),
    "adam": optax.adam(1e-2),
    # both the norm and the decay see every parameter
    "clipped adamw": optax.chain(
        optax.clip_by_global_norm(0.05), optax.adamw(1e-2, weight_decay=0.1)
    ),
    "carry rate": carry_learning_rate(_REST, scale=_SCALE, length=_LENGTH, carry=_OWN),
}
#: The expected effect on canonical records, in which no path has to be found, where it is written in another way.
_OF_RECORDS = {
    "carry rate": optax.multi_transform(
        {
            "rest": _REST,
            "own": optax.chain(optax.scale(_LENGTH), _OWN, optax.scale(_SCALE)),
        },
        GRUParams("rest", "rest", "rest", "rest", "own"),  # pyright: ignore[reportArgumentType]
    )
}
