"""A scan over `eqx.nn.GRUCell`, unchanged, with a learned initial carry."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.nn import initializers

from ...common.errors import NotOfferedError
from ..equinox import EquinoxPort
from . import OwnParts, require_none


class GRU(eqx.Module):
    """The GRU of the README: an array field for the initial carry, everything else Equinox's own."""

    cell: eqx.nn.GRUCell
    initial_carry: jax.Array
    unroll: int = eqx.field(static=True)
    remat: bool = eqx.field(static=True)

    def __call__(self, x, carry=None, *, lengths=None, resets=None, reverse=False):
        require_none("a scan over eqx.nn.GRUCell", lengths=lengths, resets=resets)

        def advance(h, x):
            h = self.cell(x, h)
            return h, h

        h = self.initial_carry if carry is None else carry
        advance = eqx.filter_checkpoint(advance) if self.remat else advance
        return jax.lax.scan(advance, h, x, reverse=reverse, unroll=self.unroll)

    def step(self, x, carry=None, *, reset=None):
        require_none("eqx.nn.GRUCell", reset=reset)
        h = self.cell(x, self.initial_carry if carry is None else carry)
        return h, h


class UpstreamEquinoxPort(OwnParts, EquinoxPort):
    """`trigru.common.Port` of Equinox's own parts."""

    name = "eqx.nn.GRUCell"
    title = "scan over eqx.nn.GRUCell"

    def _gru(self, config, key) -> Any:
        if config.dtype is not None and config.dtype != config.param_dtype:
            raise NotOfferedError(
                "eqx.nn.GRUCell has no dtype of the computation beside that of its parameters"
            )
        cell_key, carry_key = jax.random.split(key)
        H, dtype = config.hidden_size, jnp.dtype(config.param_dtype)
        cell = eqx.nn.GRUCell(config.input_size, H, dtype=dtype, key=cell_key)
        start = (config.carry_init or initializers.zeros)(carry_key, (H,), dtype)
        return GRU(cell, start, config.unroll, config.remat)


PORT = UpstreamEquinoxPort()
