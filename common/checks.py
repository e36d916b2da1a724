"""Every way to be wrong that is looked for. Adding a check is adding a row to `CHECKS`, at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import oracle
from .cases import Case
from .errors import UnknownNameError
from .params import leaves
from .port import Port, available_styles, make_task
from .task import Batch
from .trajectory import trajectory

__all__ = ["CHECKS", "Check", "checks_named"]

TRAJECTORY_OPTIMIZER = optax.adam(1e-2)
TRAJECTORY_STEPS = 20

Answers = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """One way to be wrong.

    Args:
        name: stable, lower case.
        catches: what a difference here means.
        answer: (port, case, style) -> the port's arrays by quantity, in the dtype of the case.
        expect: (case) -> the oracle's arrays by quantity, in the dtype of the case.
        exact: compare bits instead of asking the two questions.
        per_style: ask the first question once for each call style of the port, and the second, which a style can't
            change, of the first style; otherwise style is None.
        in_working_dtype: False for a check whose accuracy another one measures: asked in float64 alone.
    """

    name: str
    catches: str
    answer: Callable[[Port, Case, Any], Answers]
    expect: Callable[[Case], Answers]
    exact: bool = False
    per_style: bool = False
    in_working_dtype: bool = True


def checks_named(*names: str) -> "tuple[Check, ...]":
    """Rows of CHECKS by name.

    >>> [check.name for check in checks_named("chunks")]
    ['chunks']
    """
    known = {check.name: check for check in CHECKS}
    for name in names:
        if name not in known:
            raise UnknownNameError("check", name, list(known))
    return tuple(known[name] for name in names)


# What a port answers, and what the oracle does ----------------------------------------------------------------


def _conversion(port, case, style):
    return leaves(port.dump(port.load(case.config, case.params)))


def _sequence_check(name, catches, run, *, passed=False, lengths=False, resets=False, in_working_dtype=True):
    """A check of one way to run a sequence: outputs, final carry and every gradient.

    `run(port, model, case, x, carry)` returns the final carry and the outputs.
    """

    def answer(port: Port, case: Case, style: Any) -> Answers:
        def scalar(model, x, carry=None):
            carry, outputs = run(port, model, case, x, carry)
            return jnp.sum(outputs * case.targets) + jnp.sum(carry * case.d_carry)

        @jax.jit
        def everything(model, *arrays):
            carry, outputs = run(port, model, case, arrays[0], arrays[1] if passed else None)
            return carry, outputs, port.value_and_grad(scalar)(model, *arrays)[1]

        model = port.load(case.gru_config, case.params.gru)
        arrays = (case.x, case.carry) if passed else (case.x,)
        carry, outputs, (gradient, *others) = everything(model, *arrays)
        gradients = leaves(port.dump(gradient)) | dict(zip(("x", "carry"), others, strict=False))
        return {"carry": carry, "outputs": outputs} | _named_gradients(gradients)

    def expect(case):
        tape = oracle.forward(
            case.params.gru,
            case.x,
            case.carry if passed else None,
            case.lengths if lengths else None,
            case.resets if resets else None,
        )
        found = oracle.backward(case.params.gru, tape, case.targets, case.d_carry)
        gradients = found.params._asdict() | {"x": found.x} | ({"carry": found.carry} if passed else {})
        return {"carry": tape.carry, "outputs": tape.outputs} | _named_gradients(gradients)

    return Check(name, catches, answer, expect, in_working_dtype=in_working_dtype)


def _named_gradients(arrays):
    return {f"d {name}": array for name, array in arrays.items()}


def _whole(port, model, case, x, carry):
    return port.apply(model, x, carry)


def _masked(port, model, case, x, carry, *, lengths=False, resets=False):
    """With NaN in the padding, which must reach nothing."""
    masks = {}
    if lengths:
        padding = np.arange(x.shape[1]) >= case.lengths[:, None]  # (B, T)
        x = jnp.where(np.broadcast_to(padding[..., None], x.shape), jnp.nan, x)
        masks["lengths"] = jnp.asarray(case.lengths)
    if resets:
        masks["resets"] = jnp.asarray(case.resets)
    return port.apply(model, x, carry, **masks)


def _in_chunks(port, model, case, x, carry):
    """Two uneven chunks, the first without a carry, the second from the first's."""
    split = x.shape[1] // 3
    outputs = []
    for chunk in (x[:, :split], x[:, split:]):
        if chunk.shape[1]:
            carry, y = port.apply(model, chunk, carry)
            outputs.append(y)
    return carry, jnp.concatenate(outputs, axis=1)


def _by_step(port, model, case, x, carry):
    """The first step without a carry, the others each from the one before."""
    carry, first = port.step(model, x[:, 0], carry)
    carry, rest = jax.lax.scan(lambda h, x: port.step(model, x, h), carry, jnp.moveaxis(x[:, 1:], 1, 0))
    return carry, jnp.concatenate([first[:, None], jnp.moveaxis(rest, 0, 1)], axis=1)


def _program_check(name, catches, phase, *, classes=False, per_style=False, in_working_dtype=True):
    """A check of one phase as the benchmark runs it: in the port's first call style, or in each."""

    def trained(case):
        if classes:
            return case.config, case.params, Batch(case.x, case.labels, case.lengths)
        return case.gru_config, case.params.gru, Batch(case.x, case.targets)

    def train(case, params, batch, steps):
        return trajectory(params, batch, TRAJECTORY_OPTIMIZER, steps, weighted=case.asked_in != "float64")

    def answer(port: Port, case: Case, style: Any) -> Answers:
        config, params, batch = trained(case)
        task = make_task(port, config, phase, TRAJECTORY_OPTIMIZER)
        program = (style or available_styles(port)[0]).build(port, port.load(config, params), task)
        arguments = batch.arguments(phase)
        if phase == "forward":
            return dict(zip(("carry", "outputs"), program.call(*arguments), strict=True))
        losses = np.stack([program.call(*arguments) for _ in range(TRAJECTORY_STEPS)])
        return {"losses": losses} | train(case, params, batch, steps=1).moved(program.params())

    def expect(case):
        _, params, batch = trained(case)
        if phase == "forward":
            tape = oracle.forward(params, batch.x)
            return {"carry": tape.carry, "outputs": tape.outputs}
        return train(case, params, batch, TRAJECTORY_STEPS).answers()

    return Check(name, catches, answer, expect, per_style=per_style, in_working_dtype=in_working_dtype)


CHECKS: tuple[Check, ...] = (
    Check(
        "conversion",
        "a value changed, lost or misplaced between the canonical record and the framework's tree",
        _conversion,
        lambda case: leaves(case.params),
        exact=True,
    ),
    _sequence_check(
        "sequence",
        "other equations, gates in another order, a transposed or missing parameter, a detached initial carry",
        _whole,
    ),
    _sequence_check(
        "carry",
        "a passed carry ignored, mixed with the learned one, or cut off from the gradient",
        _whole,
        passed=True,
    ),
    _sequence_check(
        "chunks",
        "a carry lost or detached between chunks, so that no gradient reaches the initial carry",
        _in_chunks,
        in_working_dtype=False,
    ),
    _sequence_check(
        "step",
        "one time step that differs from a sequence of them, or has parameters of its own",
        _by_step,
        in_working_dtype=False,
    ),
    _sequence_check(
        "lengths",
        "padding that moves the carry, or leaks into outputs or gradients; length 0",
        partial(_masked, lengths=True),
        lengths=True,
    ),
    _sequence_check(
        "resets", "an episode that does not start from the initial carry", partial(_masked, resets=True), resets=True
    ),
    _sequence_check(
        "masks",
        "lengths, resets and a passed carry that get into each other's way; a reset in the padding",
        partial(_masked, lengths=True, resets=True),
        passed=True,
        lengths=True,
        resets=True,
        in_working_dtype=False,
    ),
    _program_check(
        "forward", "a call style that runs another model", "forward", per_style=True, in_working_dtype=False
    ),
    _program_check(
        "training",
        "20 Adam steps that part: a parameter not updated, updated twice, or by another one's gradient; a call style "
        "that differentiates something else, or loses an update or the optimiser's state",
        "train_step",
        per_style=True,
    ),
    _program_check(
        "classifier",
        "as training, with unequal lengths and a readout of another state than the last valid one",
        "train_step",
        classes=True,
        in_working_dtype=False,
    ),
)
