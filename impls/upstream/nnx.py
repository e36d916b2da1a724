"""`nnx.RNN(nnx.GRUCell)`, unchanged, with a learned initial carry."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.nn import initializers

from ...common.errors import NotOfferedError
from ..nnx import LAYOUT, Classifier, NNXPort


class GRU(nnx.Module):
    """The answer of the README: `nnx.Param` for the initial carry, everything else NNX's own."""

    def __init__(self, config: Any, *, rngs: nnx.Rngs):
        H, param_dtype = config.hidden_size, jnp.dtype(config.param_dtype)
        cell = nnx.GRUCell(config.input_size, H, dtype=config.dtype, param_dtype=param_dtype, rngs=rngs)
        self.rnn = nnx.RNN(cell, return_carry=True, unroll=config.unroll, rngs=False)
        self.initial_carry = nnx.Param((config.carry_init or initializers.zeros)(rngs.params(), (H,), param_dtype))

    def __call__(self, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False):
        """Run like `trigru.impls.nnx.GRU`, where NNX's own parts allow it."""
        if resets is not None:
            raise NotOfferedError("nnx.RNN takes no resets")
        h = self._start(x.shape[1:-1] if time_major else x.shape[:-2], carry)
        return self.rnn(
            x, initial_carry=h, seq_lengths=lengths, reverse=reverse, keep_order=True, time_major=time_major
        )

    def step(self, x, carry=None, *, reset=None):
        """One time step by the cell alone."""
        if reset is not None:
            raise NotOfferedError("nnx.GRUCell takes no reset")
        return self.cell(self._start(x.shape[:-1], carry), x)

    @property
    def cell(self) -> Any:
        """Where trigru's has it."""
        return self.rnn.cell

    def _start(self, batch, carry):
        h = self.initial_carry[...] if carry is None else carry
        return jnp.broadcast_to(h, (*batch, h.shape[-1]))


class UpstreamNNXPort(NNXPort):
    """`trigru.common.Port` of NNX's own parts. They have no place for b_hn: it is lost, and its gradient is 0."""

    name = "nnx.RNN"
    title = "nnx.RNN(nnx.GRUCell)"
    kernels = ("stock",)
    model_class = None  # which is of trigru's own
    layout = replace(LAYOUT, cell="rnn.cell.", rows=tuple(row for row in LAYOUT.rows if row.field != "bias_n"))

    def initial_carry(self, model, batch_shape=()):
        raise NotOfferedError("nnx.RNN hands out no learned state")

    def make(self, config, key) -> Any:
        if config.remat:
            raise NotOfferedError("nnx.RNN has no rematerialisation")
        rngs = nnx.Rngs(key)
        gru = GRU(config, rngs=rngs)
        return gru if config.classes is None else Classifier(gru, config.classes, rngs=rngs)


PORT = UpstreamNNXPort()
