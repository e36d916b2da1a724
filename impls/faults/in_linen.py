"""A faulty port of Flax linen."""

from dataclasses import replace

import jax
from jax.nn import initializers

from ..linen import LinenPort


class OneKey(LinenPort):
    """The initial carry's key is not the model's."""

    def _module(self, config):
        init = config.carry_init or initializers.zeros
        return super()._module(replace(config, carry_init=lambda key, *rest: init(jax.random.key(0), *rest)))
