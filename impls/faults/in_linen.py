"""Faulty ports of Flax linen."""

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax.nn import initializers

from ...common.parameters.layouts import Layout
from ..linen import LAYOUT, LinenPort, Model
from .contract import drops_steps


class Anew(LinenPort):
    """Every module has a function of its own, so that no two are equal."""

    def _module(self, config):
        init = config.carry_init or initializers.zeros
        return super()._module(replace(config, carry_init=lambda *arguments: init(*arguments)))


class OneKey(LinenPort):
    """The initial carry's key is not the model's."""

    def _module(self, config):
        init = config.carry_init or initializers.zeros
        return super()._module(replace(config, carry_init=lambda key, *rest: init(jax.random.key(0), *rest)))


class CastsTheCarry(LinenPort):
    """Makes numbers of what is no number of the model's kind."""

    def apply(self, model, x, carry=None, **options):
        if getattr(carry, "dtype", None) in ("int32", "bool"):
            carry = jnp.asarray(carry, x.dtype)
        return super().apply(model, x, carry, **options)


class SavesEverything(LinenPort):
    """Saves all that there is, as a policy can."""

    def apply(self, model, x, carry=None, **options):
        if not model.module.remat:
            return super().apply(model, x, carry, **options)
        plain = Model(model.params, model.module.clone(remat=False))
        call = super().apply

        def run(model, x, carry):
            return call(model, x, carry, **options)

        return jax.checkpoint(run, policy=jax.checkpoint_policies.everything_saveable)(plain, x, carry)


class DropsSteps(LinenPort):
    """Computes 32 steps."""

    def apply(self, model, x, carry=None, **options):
        return drops_steps(super().apply, model, x, carry, **options)


class _Untransposed(Layout):
    """Says shapes of rows that it transposes as if it did not."""

    def shapes(self, *sizes, **options):
        return {name: shape[::-1] for name, shape in super().shapes(*sizes, **options).items()}


class MisstatesShapes(LinenPort):
    """A layout by which no file of the framework is read."""

    layout = _Untransposed(**vars(LAYOUT))
