"""What NumPy says of a row: in float64 as the reference, in another dtype to see what rounding alone does there."""

from typing import Any

import jax
import numpy as np

from ...parameters.record import ClassifierParams, GRUParams, ReadoutParams, from_leaves, leaves
from .. import oracle
from .data import Data
from .factors import NO_STYLE, Row

#: Arrays by quantity.
Answers = dict[str, Any]

#: Steps of training, by gradient descent with momentum.
STEPS, RATE, MOMENTUM = 3, 0.03, 0.9
#: Nothing is subtracted, so that the step may be very small: see `trigru.common.equality.oracle`.
COMPLEX_STEP = 1e-30


def expect(row: Row, data: Data, dtype: Any, stored: Any = None) -> Answers:
    """Its answers to a row, computed in a dtype.

    Args:
        row: entry, phase, style and reverse count here.
        data: of the row.
        dtype: of the computation: NumPy's, as float64 or longdouble.
        stored: of the parameters, their gradients and their moves; None for that of the computation.
    """
    params, x, carry, weights, d_carry = jax.tree.map(
        lambda a: a.astype(dtype), (data.params, data.x, data.carry, data.weights, data.d_carry)
    )
    given = params, x, carry
    with np.errstate(all="ignore"):  # saturating values overflow, as they may
        if row["phase"] == "train_step":
            return _train(row, data, given, weights, d_carry, stored or dtype)
        if row["phase"] in ("jvp", "hvp"):
            step = np.asarray(COMPLEX_STEP, dtype) * 1j
            params, x, carry = jax.tree.map(lambda a, v: a + step * v.astype(dtype), given, direction_of(data))
            found = _evaluate(row, data, params, x, carry, weights, d_carry, gradient=row["phase"] == "hvp")
            values = {name: a for name, a in found.items() if name.startswith("d ") == (row["phase"] == "hvp")}
            return {name: a.imag / np.asarray(COMPLEX_STEP, dtype) for name, a in values.items()}
        found = _evaluate(row, data, *given, weights, d_carry, gradient=row["phase"] == "gradient")
        return {name: a.astype(stored) if stored and is_of_parameters(name) else a for name, a in found.items()}


def is_of_parameters(name: str) -> bool:
    """Whether a quantity is the gradient or the move of a parameter."""
    return name.startswith(("d ", "Δ ")) and name not in ("d x", "d carry")


def direction_of(data: Data) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Along which parameters, inputs and carry are moved: random, of their shapes and dtypes."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: rng.normal(size=a.shape).astype(a.dtype), (data.params, data.x, data.carry))


def _evaluate(
    row: Row, data: Data, params: Any, x: Any, carry: Any, weights: Any, d_carry: Any, *, gradient: bool
) -> Answers:
    """Results, and the gradients of Σ outputs · weights + Σ carry · d_carry, or of Σ logits · weights."""
    classifier = isinstance(params, ClassifierParams)
    gru: GRUParams = params.gru if classifier else params
    tape = oracle.forward(gru, x, carry, data.lengths, data.resets, reverse=row["reverse"] == "yes")
    if classifier:
        readout = params.readout
        values = {"logits": tape.carry @ readout.weight.T + readout.bias}
    else:
        values = {"carry": tape.carry, "outputs": tape.outputs}
    if not gradient:
        return values
    if classifier:
        found = oracle.backward(gru, tape, np.zeros_like(tape.outputs), weights @ params.readout.weight)
        of_readout = ReadoutParams(weights.T @ tape.carry, weights.sum(0))
        gradients = leaves(ClassifierParams(found.params, of_readout))
    else:
        found = oracle.backward(gru, tape, weights.astype(tape.outputs.dtype), d_carry.astype(tape.carry.dtype))
        gradients = leaves(found.params)
    if row["style"] == NO_STYLE:  # a style differentiates the parameters alone
        gradients |= {"x": found.x} | ({} if found.carry is None else {"carry": found.carry})
    else:
        values = {"value": scalar_of(values, weights, d_carry)}
    return values | {f"d {name}": a for name, a in gradients.items()}


def scalar_of(values: Answers, weights: Any, d_carry: Any) -> Any:
    """What is differentiated."""
    if "logits" in values:
        return (values["logits"] * weights).sum()
    return (values["outputs"] * weights).sum() + (values["carry"] * d_carry).sum()


def _train(row: Row, data: Data, given: tuple[Any, Any, Any], weights: Any, d_carry: Any, stored: Any) -> Answers:
    computed, x, carry = given
    start = params = jax.tree.map(lambda p: p.astype(stored), computed)
    losses, velocity = [], jax.tree.map(np.zeros_like, params)
    rate, momentum = (np.asarray(number, stored) for number in (RATE, MOMENTUM))
    for _ in range(STEPS):
        computed = jax.tree.map(lambda p: p.astype(x.dtype), params)
        found = _evaluate(row, data, computed, x, carry, weights, d_carry, gradient=True)
        losses.append(found["value"])
        gradient = from_leaves({name: found[f"d {name}"].astype(stored) for name in leaves(params)})
        velocity = jax.tree.map(lambda g, v: g + momentum * v, gradient, velocity)
        params = jax.tree.map(lambda p, v: p - rate * v, params, velocity)
    return {"losses": np.stack(losses)} | moved(start, params)


def moved(start: Any, end: Any) -> Answers:
    """How far parameters moved, by name."""
    first, last = leaves(start), leaves(end)
    return {f"Δ {name}": np.asarray(last[name]) - first[name] for name in first}
