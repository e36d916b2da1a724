"""What does exchanging the GRU of a recurrent PPO loop change? `python bench/studies/ppo_update.py`

Needs gymnax: `uv sync --group program`, in Python 3.11. docs/results/program.json has what was found on one machine.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ppo import Agent, Environment, Settings, cart_pole, make_update, start
from ppo_agents import ActorCritic, EquinoxActorCritic, linear
from timed import Arms, compare
from trigru.common.config import GRUConfig
from trigru.impls import equinox, linen

#: By name, the framework and the kernel; the first is the program as it was.
AGENTS = {
    "own cell": ("linen", None),
    "linen": ("linen", "stock"),
    "linen:fused": ("linen", "fused"),
    "equinox": ("equinox", "stock"),
    "equinox:fused": ("equinox", "fused"),
}
UPDATES = 20


def make_agent(name: str, environment: Environment, hidden: int, dtype: Any) -> Agent:
    """An agent by its name, with the parameters that the program's own draws."""
    (framework, kernel), actions = AGENTS[name], environment.actions
    own = ActorCritic(hidden, actions, dtype)
    carry, starts = jnp.zeros((1, hidden), dtype), jnp.zeros((1, 1), bool)
    params = own.init(jax.random.key(0), carry, jnp.zeros((1, 1, environment.observations), dtype), starts)["params"]
    if kernel is not None:
        params = {**params, "gru": {"cell": params["gru"], "initial_carry": jnp.zeros(hidden, dtype)}}
    if framework == "linen":
        module = ActorCritic(hidden, actions, dtype, kernel)
        return Agent(params, lambda params, *arrays: module.apply({"params": params}, *arrays), dtype)
    canonical = linen.PORT.dump(linen.Model(params["gru"], linen.GRU(hidden)))
    config = GRUConfig(hidden, hidden, param_dtype=jnp.dtype(dtype).name, kernel=kernel or "stock")
    layers = [linear(params[f"Dense_{number}"]) for number in range(5)]
    arrays, static = eqx.partition(EquinoxActorCritic(*layers, equinox.PORT.load(config, canonical)), eqx.is_array)
    return Agent(arrays, lambda arrays, *inputs: eqx.combine(arrays, static)(*inputs), dtype)


def check(environment: Environment, settings: Settings, updates: int = UPDATES) -> np.ndarray:
    """In float64, every agent gets the same rewards and episodes (U, 2, T, E) while it learns."""
    rewards: dict[str, np.ndarray] = {}
    with jax.enable_x64(True):
        for name in AGENTS:
            agent = make_agent(name, environment, settings.hidden, jnp.float64)
            update = make_update(agent, environment, settings)
            runner, seen = start(agent, environment, settings, jax.random.key(0)), []
            for _ in range(updates):
                runner, episodes = update(runner)
                seen.append(np.stack(episodes))
            rewards[name] = np.stack(seen)
            assert np.array_equal(rewards[name], rewards["own cell"]), f"{name} learns something else"
    return rewards["own cell"]


def arm(name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The update of an agent, from the same parameters and the same state of the environments."""
    environment, settings = cart_pole(), Settings()
    agent = make_agent(name, environment, settings.hidden, jnp.float32)
    update = make_update(agent, environment, settings)
    return update, (start(agent, environment, settings, jax.random.key(0)),)


def arms() -> Arms:
    """The update of each agent."""
    return {name: partial(arm, name) for name in AGENTS}


if __name__ == "__main__":
    check(cart_pole(), Settings())
    compare(arms)
