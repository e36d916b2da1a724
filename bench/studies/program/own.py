"""An agent with a GRU of its own: `nn.GRUCell` in a scan that starts from zero at each episode."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.initializers import orthogonal


class ActorCritic(nn.Module):
    """Logits and values (T, E) of observations (T, E, D); starts (T, E) says where an episode begins."""

    hidden: int
    actions: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, carry, observations, starts):
        x = nn.relu(self.dense(self.hidden, 2**0.5)(observations))  # (T, E, H)

        def advance(cell, carry, inputs):
            x, start = inputs
            return cell(jnp.where(start[:, None], jnp.zeros_like(carry), carry), x)

        cell = nn.GRUCell(self.hidden, param_dtype=self.dtype, name="gru")
        scan = nn.scan(advance, variable_broadcast="params", split_rngs={"params": False})
        carry, memory = scan(cell, carry, (x, starts))  # (E, H), (T, E, H)
        actor = nn.relu(self.dense(self.hidden, 2.0)(memory))
        critic = nn.relu(self.dense(self.hidden, 2.0)(memory))
        return carry, self.dense(self.actions, 0.01)(actor), self.dense(1, 1.0)(critic)[..., 0]

    def dense(self, features, scale):
        """A layer with orthogonal weights."""
        return nn.Dense(features, kernel_init=orthogonal(scale), param_dtype=self.dtype)
