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
from .sequences import SequenceQuestion, named_gradients, weighted_sum

#: Nothing is subtracted, so that the step may be very small.
COMPLEX_STEP = 1e-30


def derivative_check(name: str, catches: str, *, second: bool = False) -> Check:
    """Along one direction in parameters and inputs at once.

    Args:
        second: the derivative of the gradient (a Hessian-vector product) instead of that of the results. It is asked
            with lengths and resets, which a rule of second order has to handle, too. Reverse mode is asked as well, of
            two models at once: the gradient of a gradient penalty, half the squared norm of each model's gradient g.
            It is the Hessian times g.
    """
    asked = SequenceQuestion(lengths=second, resets=second)

    def answer(port: Port, case: Case, style: Any) -> Answers:
        def differentiate(point, direction, masks, targets, d_carry):
            def results(model, x):
                return port.apply(model, x, **masks)

            def scalar(model, x):
                return weighted_sum(results(model, x), targets, d_carry)

            def gradient(model, x):
                return port.value_and_grad(scalar)(model, x)[1]

            def penalty(models):
                gradients, _ = jax.vmap(gradient, (0, None))(models, point[1])
                return sum(jnp.vdot(g, g) for g in jax.tree.leaves(gradients)) / 2

            found = jax.jvp(gradient if second else results, point, direction)[1]
            if not second:
                return found
            models = jax.tree.map(lambda *both: jnp.stack(both), point[0], direction[0])
            return *found, port.value_and_grad(penalty)(models)[1][0]

        point, direction = ((port.load(c.gru_config, c.params.gru), jnp.asarray(c.x)) for c in (case, _direction(case)))
        data = jax.tree.map(jnp.asarray, (asked.masks(case), case.targets, case.d_carry))
        first, last, *of_models = jit(differentiate)(point, direction, *data)
        if not second:
            return {"carry": first, "outputs": last}
        each = [port.dump(jax.tree.map(lambda a, n=n: a[n], of_models[0])) for n in range(2)]
        return leaves(port.dump(first)) | {"x": last} | _penalties(each)

    def moved_by(case: Case, d_params: Any, d_x: Any = 0.0) -> tuple[Any, Any]:
        """Parameters and results a complex step away: the imaginary part over the step is the derivative along it."""
        params = jax.tree.map(lambda p, v: p + 1j * COMPLEX_STEP * v, case.params.gru, d_params)
        return params, oracle.forward(params, case.x + 1j * COMPLEX_STEP * d_x, **asked.masks(case))

    def backward(case: Case, params: Any, tape: Any) -> Any:
        return oracle.backward(params, tape, case.targets, case.d_carry.astype(complex))

    def gradient_of(case: Case) -> Any:
        tape = oracle.forward(case.params.gru, case.x, **asked.masks(case))
        return oracle.backward(case.params.gru, tape, case.targets, case.d_carry).params

    def expect(case: Case) -> Answers:
        moved = _direction(case)
        params, tape = moved_by(case, moved.params.gru, moved.x)
        if not second:
            return {"carry": tape.carry.imag / COMPLEX_STEP, "outputs": tape.outputs.imag / COMPLEX_STEP}
        gradients = backward(case, params, tape)
        found = gradients.params._asdict() | {"x": gradients.x}
        of_models = [replace(case, params=params) for params in (case.params, moved.params)]
        each = [backward(of, *moved_by(of, gradient_of(of))).params for of in of_models]
        return {name: array.imag / COMPLEX_STEP for name, array in (found | _penalties(each)).items()}

    return Check(name, catches, answer, expect)


def per_example_check(name: str, catches: str) -> Check:
    """The gradient of each example of two batch axes, by `jax.vmap` of the gradient, with lengths and resets."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        def differentiate(model, x, lengths, resets, targets, d_carry):
            def scalar(model):
                return weighted_sum(port.apply(model, x, lengths=lengths, resets=resets), targets, d_carry)

            return port.value_and_grad(scalar)(model)[1]

        mapped = (None, *[0] * 5)
        data = case.x, case.lengths, case.resets, case.targets, case.d_carry
        twice = jax.tree.map(lambda a: jnp.stack([a, np.roll(a, 1, axis=0)]), data)  # (2, B, ...), of no symmetry
        model = port.load(case.gru_config, case.params.gru)
        (gradients,) = jit(jax.vmap(jax.vmap(differentiate, mapped), mapped))(model, *twice)
        places = [*np.ndindex(2, len(case.x))]
        return _stacked([port.dump(jax.tree.map(lambda a, at=at: a[at], gradients)) for at in places])

    def expect(case: Case) -> Answers:
        def of_example(b: int) -> Any:
            one = slice(b, b + 1)
            tape = oracle.forward(case.params.gru, case.x[one], lengths=case.lengths[one], resets=case.resets[one])
            return oracle.backward(case.params.gru, tape, case.targets[one], case.d_carry[one]).params

        found = [of_example(b) for b in range(len(case.x))]
        return _stacked([*found, found[-1], *found[:-1]])

    return Check(name, catches, answer, expect)


def frozen_check(name: str, catches: str) -> Check:
    """The gradient of each array of a model while all others are held fixed: together, they are the whole gradient."""

    def answer(port: Port, case: Case, style: Any) -> Answers:
        def differentiate(model, x, targets, d_carry):
            def of_one(trained: int) -> Any:
                def scalar(model):
                    arrays, structure = jax.tree.flatten(model)
                    held = [a if n == trained else jax.lax.stop_gradient(a) for n, a in enumerate(arrays)]
                    return weighted_sum(port.apply(jax.tree.unflatten(structure, held), x), targets, d_carry)

                return port.value_and_grad(scalar)(model)[1][0]

            return jax.tree.map(lambda *parts: sum(parts), *map(of_one, range(len(jax.tree.leaves(model)))))

        model = port.load(case.gru_config, case.params.gru)
        gradient = jit(differentiate)(model, *map(jnp.asarray, (case.x, case.targets, case.d_carry)))
        return named_gradients(leaves(port.dump(gradient)))

    def expect(case: Case) -> Answers:
        tape = oracle.forward(case.params.gru, case.x)
        return named_gradients(leaves(oracle.backward(case.params.gru, tape, case.targets, case.d_carry).params))

    return Check(name, catches, answer, expect)


def _penalties(gradients: list[Any]) -> Answers:
    return {f"penalty {name}": np.stack([leaves(of)[name] for of in gradients]) for name in leaves(gradients[0])}


def _stacked(gradients: list[Any]) -> Answers:
    named = [named_gradients(leaves(gradient)) for gradient in gradients]
    return {name: np.stack([of_one[name] for of_one in named]) for name in named[0]}


def _direction(case: Case) -> Case:
    """Random like the case, and not along it."""

    def rolled(a: np.ndarray) -> np.ndarray:
        return np.roll(a, 1)

    return replace(case, params=jax.tree.map(rolled, case.params), x=rolled(case.x))
