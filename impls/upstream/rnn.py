"""Calls of the RNN and the GRUCell of linen and of NNX, which take the same arguments; and what ports of them share."""

from typing import Any

from jax import numpy as jnp

from ...common.errors import NotOfferedError


class OwnParts:
    """The base, before trigru's port, of a port of a framework's own parts; parameters are laid out as trigru's."""

    name: str
    kernels = ("stock",)
    model_class = None  # which is of trigru's own

    def initial_carry(self, model: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """Refuse: a user of these parts writes that themselves."""
        raise NotOfferedError(f"{self.name} hands out no learned state")


def run(self, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False):
    """Run `self.rnn` like trigru's GRU, where Flax's own parts allow it."""
    require_none("Flax's RNN", resets=resets)
    h = _start(self, x.shape[1:-1] if time_major else x.shape[:-2], carry)
    return self.rnn(x, initial_carry=h, seq_lengths=lengths, reverse=reverse, keep_order=True, time_major=time_major)


def step(self, x, carry=None, *, reset=None):
    """Run one time step by `self.cell` alone."""
    require_none("Flax's GRUCell", reset=reset)
    return self.cell(_start(self, x.shape[:-1], carry), x)


def require_none(part: str, **masks: Any) -> None:
    """Raise a NotOfferedError for a mask that is passed to a part that takes none."""
    for name, mask in masks.items():
        if mask is not None:
            raise NotOfferedError(f"{part} takes no {name}")


def _start(module, batch, carry):
    h = module.initial_carry[...] if carry is None else carry
    return jnp.broadcast_to(h, (*batch, h.shape[-1]))
