"""One actor-critic with a GRU three ways: its own scan of a cell, trigru's GRU in linen, and the same in Equinox."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import orthogonal
from trigru.impls import equinox, linen


class ActorCritic(nn.Module):
    """Logits and values (T, E) of observations (T, E, D); starts (T, E) says where an episode begins.

    Args:
        kernel: of trigru's GRU; None for a scan of `nn.GRUCell` that starts from zero at each episode.
    """

    hidden: int
    actions: int
    dtype: Any = jnp.float32
    kernel: str | None = None

    @nn.compact
    def __call__(self, carry, observations, starts):
        x = nn.relu(self.dense(self.hidden, 2**0.5)(observations))  # (T, E, H)
        carry, memory = self.remember(carry, x, starts)  # (E, H), (T, E, H)
        actor = nn.relu(self.dense(self.hidden, 2.0)(memory))
        critic = nn.relu(self.dense(self.hidden, 2.0)(memory))
        return carry, self.dense(self.actions, 0.01)(actor), self.dense(1, 1.0)(critic)[..., 0]

    def remember(self, carry, x, starts):
        """The GRU."""
        if self.kernel is not None:
            gru = linen.GRU(self.hidden, param_dtype=self.dtype, kernel=self.kernel, name="gru")
            return gru(x, carry, resets=starts, time_major=True)

        def advance(cell, carry, inputs):
            x, start = inputs
            return cell(jnp.where(start[:, None], jnp.zeros_like(carry), carry), x)

        cell = nn.GRUCell(self.hidden, param_dtype=self.dtype, name="gru")
        scan = nn.scan(advance, variable_broadcast="params", split_rngs={"params": False})
        return scan(cell, carry, (x, starts))

    def dense(self, features, scale):
        """A layer with orthogonal weights."""
        return nn.Dense(features, kernel_init=orthogonal(scale), param_dtype=self.dtype)


class EquinoxActorCritic(eqx.Module):
    """The same, of layers that are made already."""

    embed: eqx.nn.Linear
    actor: eqx.nn.Linear
    critic: eqx.nn.Linear
    logits: eqx.nn.Linear
    value: eqx.nn.Linear
    gru: equinox.GRU

    def __call__(self, carry, observations, starts):
        x = jax.nn.relu(each(self.embed)(observations))  # (T, E, H)
        carry, memory = equinox.time_major(self.gru, x, carry, resets=starts)  # (E, H), (T, E, H)
        actor = jax.nn.relu(each(self.actor)(memory))
        critic = jax.nn.relu(each(self.critic)(memory))
        return carry, each(self.logits)(actor), each(self.value)(critic)[..., 0]


def each(layer):
    """A layer of one example, over steps and environments."""
    return jax.vmap(jax.vmap(layer))


def linear(dense):
    """A linen layer's parameters in an Equinox layer, which keeps (features_out, features_in)."""
    layer = eqx.nn.Linear(*dense["kernel"].shape, key=jax.random.key(0))
    return eqx.tree_at(lambda m: (m.weight, m.bias), layer, (dense["kernel"].T, dense["bias"]))
