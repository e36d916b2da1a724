"""`nnx.RNN(nnx.GRUCell)`, unchanged, with a learned initial carry."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers

from ...common.errors import NotOfferedError
from ..nnx import LAYOUT, NNXPort
from . import OwnParts, run, step


class GRU(nnx.Module):
    """The GRU of the README: `nnx.Param` for the initial carry, everything else NNX's own."""

    __call__, step = run, step
    cell = property(lambda self: self.rnn.cell)  # as trigru's GRU has it

    def __init__(self, config: Any, *, rngs: nnx.Rngs):
        H, param_dtype = config.hidden_size, jnp.dtype(config.param_dtype)
        cell = nnx.GRUCell(
            config.input_size, H, dtype=config.dtype, param_dtype=param_dtype, rngs=rngs
        )
        self.rnn = nnx.RNN(cell, return_carry=True, unroll=config.unroll, rngs=False)
        self.initial_carry = nnx.Param(
            (config.carry_init or initializers.zeros)(rngs.params(), (H,), param_dtype)
        )


class UpstreamNNXPort(OwnParts, NNXPort):
    """`trigru.common.Port` of NNX's own parts. They have no b_hn: `load` drops it, and its gradient is 0."""

    name = "nnx.RNN"
    title = "nnx.RNN(nnx.GRUCell)"
    layout = replace(
        LAYOUT,
        cell="rnn.cell.",
        rows=tuple(row for row in LAYOUT.rows if row.field != "bias_n"),
    )

    def _gru(self, config, rngs) -> Any:
        if config.remat:
            raise NotOfferedError("nnx.RNN has no rematerialisation")
        return GRU(config, rngs=rngs)


PORT = UpstreamNNXPort()
