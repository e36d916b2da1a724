"""The agent of `exchanged` in Equinox."""

import equinox as eqx
import jax

from ....impls.equinox import GRU, time_major


class ActorCritic(eqx.Module):
    """Logits and values (T, E) of observations (T, E, D); starts (T, E) says where an episode begins."""

    embed: eqx.nn.Linear
    gru: GRU
    actor: eqx.nn.Linear
    critic: eqx.nn.Linear
    logits: eqx.nn.Linear
    value: eqx.nn.Linear

    def __init__(self, observations, hidden, actions, *, dtype, kernel, key):
        of_embed, of_gru, of_actor, of_critic, of_logits, of_value = jax.random.split(key, 6)
        self.embed = eqx.nn.Linear(observations, hidden, dtype=dtype, key=of_embed)
        self.gru = GRU(hidden, hidden, param_dtype=dtype, kernel=kernel, key=of_gru)
        self.actor = eqx.nn.Linear(hidden, hidden, dtype=dtype, key=of_actor)
        self.critic = eqx.nn.Linear(hidden, hidden, dtype=dtype, key=of_critic)
        self.logits = eqx.nn.Linear(hidden, actions, dtype=dtype, key=of_logits)
        self.value = eqx.nn.Linear(hidden, 1, dtype=dtype, key=of_value)

    def __call__(self, carry, observations, starts):
        x = jax.nn.relu(each(self.embed)(observations))  # (T, E, H)
        carry, memory = time_major(self.gru, x, carry, resets=starts)  # (E, H), (T, E, H)
        actor = jax.nn.relu(each(self.actor)(memory))
        critic = jax.nn.relu(each(self.critic)(memory))
        return carry, each(self.logits)(actor), each(self.value)(critic)[..., 0]


def each(layer):
    """A layer of one example, over steps and environments."""
    return jax.vmap(jax.vmap(layer))
