"""`nn.RNN(nn.GRUCell)`, unchanged, with a learned initial carry."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.nn import initializers

from ..linen import LinenPort
from . import OwnParts, run, step


class GRU(nn.Module):
    """`self.param` for the initial carry, everything else linen's own."""

    config: Any
    __call__, step = run, step
    dtype = property(lambda self: self.config.dtype)
    param_dtype = property(lambda self: jnp.dtype(self.config.param_dtype))

    def setup(self):
        c, param_dtype = self.config, jnp.dtype(self.config.param_dtype)
        make = nn.remat(nn.GRUCell) if c.remat else nn.GRUCell
        self.cell = make(c.hidden_size, dtype=c.dtype, param_dtype=param_dtype)
        self.rnn = nn.RNN(self.cell, return_carry=True, unroll=c.unroll)
        carry_init = c.carry_init or initializers.zeros
        self.initial_carry = self.param(
            "initial_carry", carry_init, (c.hidden_size,), param_dtype
        )


class UpstreamLinenPort(OwnParts, LinenPort):
    """`trigru.common.Port` of linen's own parts."""

    name = "nn.RNN"
    title = "linen nn.RNN(nn.GRUCell)"

    def _gru(self, config) -> Any:
        return GRU(config)


PORT = UpstreamLinenPort()
