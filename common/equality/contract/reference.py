"""NumPy's answers to a row: in float64 as the reference, in another dtype to see what rounding alone does there.

Each answer has the axis of sets in front.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...parameters.record import ClassifierParams, GRUParams, ReadoutParams, from_leaves, leaves
from .. import oracle
from ..oracle_training import trajectory
from .data import Data, data_of, dtypes_of, sizes_of
from .factors import NO_STYLE, Row
from .optimizers import OPTIMIZERS

#: Arrays by quantity.
Answers = dict[str, Any]

#: Steps of training.
STEPS = 3
#: Nothing is subtracted, so that the step may be very small: see `trigru.common.equality.oracle`.
COMPLEX_STEP = 1e-30
#: Factors that change the program and not what it should compute. Of the style, it counts whether there is one.
FORM = ("unroll", "remat", "time-major", "arrays", "kernel")
SAME = ("vmap", "ensemble", "checkpoint", "apart")


def known_answers(row: Row) -> tuple[Data, Answers, Answers]:
    """The data of a row, the reference, and NumPy's answers in its dtype: once for all rows that ask the same."""
    changed = {"style": "any" if row["style"] != NO_STYLE else NO_STYLE} | dict.fromkeys(FORM, "any")
    changed |= {"transform": "jit"} if row["transform"] in SAME else {}
    return _known(tuple((row | {name: level for name, level in changed.items() if name in row}).items()))


@lru_cache(maxsize=64)
def _known(levels: tuple[tuple[str, str], ...]) -> tuple[Data, Answers, Answers]:
    row = dict(levels)
    data, (computed, stored, _) = data_of(row), dtypes_of(row["dtype"])
    reference = expect(row, data, np.float64)
    if row["dtype"] == "float64":
        return data, reference, reference
    return data, reference, expect(row, data, jnp.dtype(computed), jnp.dtype(stored))


def expect(row: Row, data: Data, dtype: Any, stored: Any = None) -> Answers:
    """NumPy's answers to a row, computed in a dtype.

    Args:
        row: entry, phase, style, transform and reverse count here.
        data: of the row.
        dtype: of the computation: NumPy's, as float64 or longdouble.
        stored: of the parameters, their gradients and their moves; None for that of the computation.
    """
    params, x, carry, weights, d_carry = jax.tree.map(
        lambda a: a.astype(dtype), (data.params, data.x, data.carry, data.weights, data.d_carry)
    )
    given, phase = (params, x, carry), row["phase"]
    with np.errstate(all="ignore"):  # saturating values overflow, as they may
        if phase == "train_step":
            return _train(row, data, given, weights, d_carry, stored or dtype)
        if phase in ("jvp", "hvp", "penalty"):
            second = phase != "jvp"
            along = direction_of(data)
            if phase == "penalty":  # of parameters alone, summed over the examples
                along, row = (along[0], *jax.tree.map(np.zeros_like, given[1:])), row | {"transform": "jit"}
            step = np.asarray(COMPLEX_STEP, dtype) * 1j
            moved = jax.tree.map(lambda a, v: a + step * v.astype(dtype), given, along)
            params, x, carry = moved
            found = _evaluate(row, data, params, x, carry, weights, d_carry, gradient=second)
            names = [name for name in found if name.startswith("d ") == second]
            if phase == "penalty":
                names = [name for name in names if is_of_parameters(name)]
            return {name: found[name].imag / np.asarray(COMPLEX_STEP, dtype) for name in names}
        found = _evaluate(row, data, params, x, carry, weights, d_carry, gradient=phase == "gradient")
        if row["transform"] == "per example":
            found = {name: a for name, a in found.items() if is_of_parameters(name)}
        return {name: a.astype(stored) if stored and is_of_parameters(name) else a for name, a in found.items()}


def expect_one(row: Row) -> Answers:
    """NumPy's answers to a row in float64, for the first set of values, without the axis of sets."""
    return {name: array[0] for name, array in expect(row, data_of(row).of_set(0), np.float64).items()}


def is_of_parameters(name: str) -> bool:
    """Whether a quantity is the gradient or the move of a parameter."""
    return name.startswith(("d ", "Δ ")) and name not in ("d x", "d carry")


def direction_of(data: Data) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Along which parameters, inputs and carry are moved: random, of their shapes and dtypes, alike for all sets."""
    rng = np.random.default_rng(1)
    one = data.params, data.x[:1], None if data.carry is None else data.carry[:1]
    return jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), one)


def _evaluate(
    row: Row, data: Data, params: Any, x: Any, carry: Any, weights: Any, d_carry: Any, *, gradient: bool
) -> Answers:
    """Results, and the gradients of Σ outputs · weights + Σ carry · d_carry, or of Σ logits · weights."""
    classifier = isinstance(params, ClassifierParams)
    gru: GRUParams = params.gru if classifier else params
    tape = oracle.forward(gru, x, carry, data.lengths, data.resets, reverse=row["reverse"] == "yes")
    if classifier:
        values = {"logits": tape.carry @ params.readout.weight.T + params.readout.bias}
    else:
        values = {"carry": tape.carry, "outputs": tape.outputs}
    if not gradient:
        return values
    sets, each = len(data.values), 1
    if row["transform"] == "per example":
        each += len(sizes_of(row).batch)

    def full(a: Any, like: Any) -> Any:
        return np.broadcast_to(a, like.shape).astype(like.dtype)

    if classifier:
        d_logits = np.broadcast_to(weights, (sets, *weights.shape[1:]))  # (sets, B, C)
        found = oracle.backward(gru, tape, np.zeros_like(tape.outputs), d_logits @ params.readout.weight, each=each)
        of_readout = ReadoutParams(np.swapaxes(d_logits, -1, -2) @ tape.carry, d_logits.sum(1))
        gradients = leaves(ClassifierParams(found.params, of_readout))
    else:
        found = oracle.backward(gru, tape, full(weights, tape.outputs), full(d_carry, tape.carry), each=each)
        gradients = leaves(found.params)
    if row["style"] == NO_STYLE:  # a style differentiates the parameters alone
        gradients |= {"x": found.x} | ({} if found.carry is None else {"carry": found.carry})
    else:
        values = {"value": _scalar(values, weights, d_carry)}
    return values | {f"d {name}": a for name, a in gradients.items()}


def scalar_of(values: Answers, weights: Any, d_carry: Any) -> Any:
    """The arrays with respect to which a row differentiates, of one set without its axis."""
    if "logits" in values:
        return (values["logits"] * weights).sum()
    return (values["outputs"] * weights).sum() + (values["carry"] * d_carry).sum()


def _scalar(values: Answers, weights: Any, d_carry: Any) -> Any:
    """The same of each set, (sets,)."""

    def total(a: Any) -> Any:
        return a.reshape(len(a), -1).sum(-1)

    if "logits" in values:
        return total(values["logits"] * weights)
    return total(values["outputs"] * weights) + total(values["carry"] * d_carry)


def _train(row: Row, data: Data, given: tuple[Any, Any, Any], weights: Any, d_carry: Any, stored: Any) -> Answers:
    """The answers for one set of values."""
    computed, x, carry = given

    def loss_and_grad(params: Any) -> tuple[Any, Any]:
        found = _evaluate(row, data, params, x, carry, weights, d_carry, gradient=True)
        return found["value"][0], from_leaves({name: found[f"d {name}"][0] for name in leaves(params)})

    start = jax.tree.map(lambda p: p.astype(np.float64 if stored is np.longdouble else stored), computed)
    optimizer = OPTIMIZERS[row["optimizer"]]
    path = trajectory(start, loss_and_grad, optimizer.of_record or optimizer.of_port, STEPS, dtype=x.dtype)
    return {name: array[None] for name, array in path.answers().items()}
