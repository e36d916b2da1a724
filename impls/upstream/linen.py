"""`nn.RNN(nn.GRUCell)`, unchanged, with a learned initial carry."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.nn import initializers

from ...common.errors import NotOfferedError
from ..linen import Classifier, LinenPort


class GRU(nn.Module):
    """The answer of the README: `self.param` for the initial carry, everything else linen's own."""

    features: int
    carry_init: Callable[..., Any] = initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32
    unroll: int = 1
    remat: bool = False

    def setup(self):
        make = nn.remat(nn.GRUCell) if self.remat else nn.GRUCell
        self.cell = make(self.features, dtype=self.dtype, param_dtype=self.param_dtype)
        self.rnn = nn.RNN(self.cell, return_carry=True, unroll=self.unroll)
        self.initial_carry = self.param("initial_carry", self.carry_init, (self.features,), self.param_dtype)

    def __call__(self, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False):
        """Run like `trigru.impls.linen.GRU`, where linen's own parts allow it."""
        if resets is not None:
            raise NotOfferedError("nn.RNN takes no resets")
        batch = x.shape[1:-1] if time_major else x.shape[:-2]
        h = jnp.broadcast_to(self.initial_carry if carry is None else carry, (*batch, self.features))
        return self.rnn(
            x, initial_carry=h, seq_lengths=lengths, reverse=reverse, keep_order=True, time_major=time_major
        )

    def step(self, x, carry=None, *, reset=None):
        """One time step by the cell alone."""
        if reset is not None:
            raise NotOfferedError("nn.GRUCell takes no reset")
        h = jnp.broadcast_to(self.initial_carry if carry is None else carry, (*x.shape[:-1], self.features))
        return self.cell(h, x)


class UpstreamLinenPort(LinenPort):
    """`trigru.common.Port` of linen's own parts; its parameters are laid out as those of trigru's port."""

    name = "nn.RNN"
    title = "linen nn.RNN(nn.GRUCell)"
    kernels = ("stock",)
    model_class = None  # which is of trigru's own

    def initial_carry(self, model, batch_shape=()):
        raise NotOfferedError("nn.RNN hands out no learned state")

    def _module(self, config) -> Any:
        options = {name: getattr(config, name) for name in ("dtype", "unroll", "remat")}
        param_dtype = jnp.dtype(config.param_dtype)
        carry_init = config.carry_init or initializers.zeros
        gru: Any = GRU(config.hidden_size, carry_init, param_dtype=param_dtype, **options)
        return gru if config.classes is None else Classifier(gru, config.classes)


PORT = UpstreamLinenPort()
