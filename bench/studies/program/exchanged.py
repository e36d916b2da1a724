"""The agent of `own` with trigru's GRU, which has the scan, the resets and the initial state."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.initializers import orthogonal

from ....impls.linen import GRU


class ActorCritic(nn.Module):
    """Logits and values (T, E) of observations (T, E, D); starts (T, E) says where an episode begins."""

    hidden: int
    actions: int
    dtype: Any = jnp.float32
    kernel: str = "stock"

    @nn.compact
    def __call__(self, carry, observations, starts):
        x = nn.relu(self.dense(self.hidden, 2**0.5)(observations))  # (T, E, H)
        gru = GRU(self.hidden, param_dtype=self.dtype, kernel=self.kernel, name="gru")
        carry, memory = gru(x, carry, resets=starts, time_major=True)  # (E, H), (T, E, H)
        actor = nn.relu(self.dense(self.hidden, 2.0)(memory))
        critic = nn.relu(self.dense(self.hidden, 2.0)(memory))
        return carry, self.dense(self.actions, 0.01)(actor), self.dense(1, 1.0)(critic)[..., 0]

    def dense(self, features, scale):
        """A layer with orthogonal weights."""
        return nn.Dense(features, kernel_init=orthogonal(scale), param_dtype=self.dtype)
