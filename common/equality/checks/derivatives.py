"""Checks of derivatives along a direction: forward mode, and second order."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...parameters.record import leaves
from ...port.compilation import jit
from ...port.protocol import Port
from .. import oracle
from ..cases import Case
from .check import Answers, Check
from .sequences import SequenceQuestion

#: Nothing is subtracted, so that the step may be very small.
COMPLEX_STEP = 1e-30


def derivative_check(name: str, catches: str, *, second: bool = False) -> Check:
    """Along one direction in parameters and inputs at once.

    Args:
        second: the derivative of the gradient (a Hessian-vector product) instead of that of the results. It is asked
            with lengths and resets, which a rule of second order has to handle, too.
    """
    asked = SequenceQuestion(lengths=second, resets=second)

    def answer(port: Port, case: Case, style: Any) -> Answers:
        def differentiate(point, direction, masks, targets, d_carry):
            def results(model, x):
                return port.apply(model, x, **masks)

            def scalar(model, x):
                carry, outputs = results(model, x)
                return jnp.sum(outputs * targets) + jnp.sum(carry * d_carry)

            def gradient(model, x):
                return port.value_and_grad(scalar)(model, x)[1]

            return jax.jvp(gradient if second else results, point, direction)

        point, direction = ((port.load(c.gru_config, c.params.gru), jnp.asarray(c.x)) for c in (case, _direction(case)))
        data = jax.tree.map(jnp.asarray, (asked.masks(case), case.targets, case.d_carry))
        _, (first, last) = jit(differentiate)(point, direction, *data)
        return leaves(port.dump(first)) | {"x": last} if second else {"carry": first, "outputs": last}

    def expect(case: Case) -> Answers:
        moved, step = _direction(case), 1j * COMPLEX_STEP
        params = jax.tree.map(lambda p, v: p + step * v, case.params.gru, moved.params.gru)
        tape = oracle.forward(params, case.x + step * moved.x, **asked.masks(case))
        found: Answers = {"carry": tape.carry, "outputs": tape.outputs}
        if second:
            gradients = oracle.backward(params, tape, case.targets, case.d_carry.astype(complex))
            found = gradients.params._asdict() | {"x": gradients.x}
        return {quantity: array.imag / COMPLEX_STEP for quantity, array in found.items()}

    return Check(name, catches, answer, expect)


def _direction(case: Case) -> Case:
    """Random like the case, and not along it."""

    def rolled(a: np.ndarray) -> np.ndarray:
        return np.roll(a, 1)

    return replace(case, params=jax.tree.map(rolled, case.params), x=rolled(case.x))
