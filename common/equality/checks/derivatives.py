"""Checks of derivatives: along a direction, of second order, of each example by itself, and of some parameters."""

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
from .sequences import SequenceQuestion, two_batch_axes

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
                return _scalar(results(model, x), targets, d_carry)

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


def per_example_check(name: str, catches: str) -> Check:
    """The gradient of each example of two batch axes, by `jax.vmap` of the gradient, with lengths and resets."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        def differentiate(model, x, lengths, resets, targets, d_carry):
            def scalar(model):
                return _scalar(port.apply(model, x, lengths=lengths, resets=resets), targets, d_carry)

            _, (gradient,) = port.value_and_grad(scalar)(model)
            return gradient

        model, data = port.load(case.gru_config, case.params.gru), two_batch_axes(case)
        by_axis = jax.vmap(jax.vmap(differentiate, (None, *[0] * 5)), (None, *[0] * 5))
        arrays = jax.tree.map(jnp.asarray, (data.x, data.lengths, data.resets, data.targets, data.d_carry))
        gradients = jit(by_axis)(model, *arrays)
        found = [
            [_named(port.dump(jax.tree.map(lambda a, at=(i, j): a[at], gradients))) for j in range(data.x.shape[1])]
            for i in range(2)
        ]
        return jax.tree.map(
            lambda *rows: np.stack(rows), *[jax.tree.map(lambda *a: np.stack(a), *row) for row in found]
        )

    def expect(case: Case) -> Answers:
        def of_example(b: int) -> Answers:
            one = slice(b, b + 1)
            tape = oracle.forward(case.params.gru, case.x[one], lengths=case.lengths[one], resets=case.resets[one])
            return _named(oracle.backward(case.params.gru, tape, case.targets[one], case.d_carry[one]).params)

        row = jax.tree.map(lambda *a: np.stack(a), *[of_example(b) for b in range(len(case.x))])
        return jax.tree.map(lambda a: np.stack([a, a[::-1]]), row)

    return Check(name, catches, answer, expect)


def halves_check(name: str, catches: str) -> Check:
    """The gradient of every other parameter while the rest is held, as where some are frozen; then that of the rest."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        def differentiate(model, x, targets, d_carry):
            def of_half(held: int) -> Any:
                def scalar(model):
                    arrays, structure = jax.tree.flatten(model)
                    some = [jax.lax.stop_gradient(a) if n % 2 == held else a for n, a in enumerate(arrays)]
                    return _scalar(port.apply(jax.tree.unflatten(structure, some), x), targets, d_carry)

                return port.value_and_grad(scalar)(model)[1][0]

            return jax.tree.map(jnp.add, of_half(0), of_half(1))

        model = port.load(case.gru_config, case.params.gru)
        return _named(port.dump(jit(differentiate)(model, *map(jnp.asarray, (case.x, case.targets, case.d_carry)))))

    def expect(case: Case) -> Answers:
        tape = oracle.forward(case.params.gru, case.x)
        return _named(oracle.backward(case.params.gru, tape, case.targets, case.d_carry).params)

    return Check(name, catches, answer, expect)


def _scalar(found: tuple[Any, Any], targets: Any, d_carry: Any) -> Any:
    carry, outputs = found
    return jnp.sum(outputs * targets) + jnp.sum(carry * d_carry)


def _named(gradient: Any) -> Answers:
    return {f"d {name}": array for name, array in leaves(gradient).items()}


def _direction(case: Case) -> Case:
    """Random like the case, and not along it."""

    def rolled(a: np.ndarray) -> np.ndarray:
        return np.roll(a, 1)

    return replace(case, params=jax.tree.map(rolled, case.params), x=rolled(case.x))
