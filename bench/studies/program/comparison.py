"""The agents with the same parameters: that they learn alike, and the update of each as an arm."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ....common.config import GRUConfig
from ....impls import equinox, linen
from ..record import Shown
from . import exchanged, in_equinox, own
from .environments import Environment, from_gymnax
from .ppo import Agent, Settings, make_update, start

#: By arm, the framework and the kernel; the first is the program as it was.
AGENTS = {
    "own cell": ("own", "stock"),
    "linen": ("exchanged", "stock"),
    "linen:fused": ("exchanged", "fused"),
    "equinox": ("in_equinox", "stock"),
    "equinox:fused": ("in_equinox", "fused"),
}
OWN = "own cell"
#: Of logits and values, relative to the largest of them, in float64.
BOUND = 1e-12
#: Of parameters after all updates: each update amplifies rounding.
TRAINED_BOUND = 1e-6
SEED = 0


def settings(short: bool) -> dict[str, Any]:
    """Of the environment, and of the loop."""
    loop = Settings(environments=2, steps=8, epochs=2, minibatches=2, hidden=8) if short else Settings()
    agents = [OWN, "linen:fused"] if short else [*AGENTS]
    own = {"environment": "CartPole-v1", "visible": [0, 2], "updates": 3 if short else 20, "agents": agents}
    return own | loop._asdict()


def loop_of(asked: dict[str, Any]) -> Settings:
    """The settings of the loop among those of the study."""
    return Settings(**{name: asked[name] for name in Settings._fields})


@cache
def _environment(name: str, visible: tuple[int, ...]) -> Environment:
    return from_gymnax(name, visible)


def environment_of(asked: dict[str, Any]) -> Environment:
    """The environment that the settings name."""
    return _environment(asked["environment"], tuple(asked["visible"]))


def make_agent(name: str, environment: Environment, hidden: int, dtype: Any, *, random: bool = False) -> Agent:
    """An agent by its arm, with the parameters that the program's own draws.

    Args:
        random: draw every parameter from a normal distribution, biases too, so that none is zero.
    """
    source, kernel = AGENTS[name]
    D, A = environment.observations, environment.actions
    module = own.ActorCritic(hidden, A, dtype)
    carry, starts = jnp.zeros((1, hidden), dtype), jnp.zeros((1, 1), bool)
    params = module.init(jax.random.key(SEED), carry, jnp.zeros((1, 1, D), dtype), starts)["params"]
    if random:
        rng = np.random.default_rng(SEED)
        params = jax.tree.map(lambda p: jnp.asarray(rng.normal(scale=0.3, size=p.shape), dtype), params)
    if source == "own":
        return Agent(params, _applied(module), dtype)
    gru = {"cell": params["gru"], "initial_carry": jnp.zeros(hidden, dtype)}
    if source == "exchanged":
        return Agent({**params, "gru": gru}, _applied(exchanged.ActorCritic(hidden, A, dtype, kernel)), dtype)
    return _in_equinox(params, gru, (D, hidden, A), dtype, kernel)


def _applied(module: Any) -> Callable[..., Any]:
    return lambda params, *arrays: module.apply({"params": params}, *arrays)


def _in_equinox(params: Any, gru: Any, sizes: tuple[int, int, int], dtype: Any, kernel: str) -> Agent:
    """The same parameters in Equinox, whose layers keep (features_out, features_in)."""
    model = in_equinox.ActorCritic(*sizes, dtype=dtype, kernel=kernel, key=jax.random.key(SEED))
    config = GRUConfig(sizes[1], sizes[1], param_dtype=jnp.dtype(dtype).name, kernel=kernel)
    canonical = linen.PORT.dump(linen.Model(gru, linen.GRU(sizes[1])))
    layers = {"embed": "Dense_0", "actor": "Dense_1", "critic": "Dense_2", "logits": "Dense_3", "value": "Dense_4"}
    for layer, of_linen in layers.items():
        new = params[of_linen]["kernel"].T, params[of_linen]["bias"]
        model = eqx.tree_at(lambda m, n=layer: (getattr(m, n).weight, getattr(m, n).bias), model, new)
    model = eqx.tree_at(lambda m: m.gru, model, equinox.PORT.load(config, canonical))
    arrays, static = eqx.partition(model, eqx.is_array)
    return Agent(arrays, lambda arrays, *inputs: eqx.combine(arrays, static)(*inputs), dtype)


def show(asked: dict[str, Any]) -> tuple[list[Shown], dict[str, list[float]]]:
    """In float64, all agents have the same logits and values, and get the same returns while they learn."""
    environment, loop = environment_of(asked), loop_of(asked)
    with jax.enable_x64(True):
        return show_equal(environment, loop, asked["updates"], asked["agents"])


def show_equal(
    environment: Environment, loop: Settings, updates: int, names: Sequence[str] = tuple(AGENTS)
) -> tuple[list[Shown], dict[str, list[float]]]:
    """As `show`, of the agents with these names, OWN first; jax_enable_x64 has to be set."""
    found = []
    H = loop.hidden
    agents = {name: make_agent(name, environment, H, jnp.float64, random=True) for name in names}
    outputs = {name: _outputs(agent, environment, H) for name, agent in agents.items()}
    for name in names[1:]:
        for what, mine, its in zip(("logits", "values"), outputs[name], outputs[OWN], strict=True):
            found.append(Shown(f"{what} of {name}", float(np.abs(mine - its).max() / np.abs(its).max()), BOUND))
    trained = {name: _train(name, environment, loop, updates) for name in names}
    returns, ends, params = trained[OWN]
    for name in names[1:]:
        its_returns, _, its_params = trained[name]
        apart = float(np.abs(its_returns - returns).max())
        found.append(Shown(f"returns of {name} over {updates} updates", apart, 0.0))
        apart = float(np.abs(its_params - params).max() / np.abs(params).max())
        found.append(Shown(f"embedding of {name} after {updates} updates", apart, TRAINED_BOUND))
    ended = ends.sum((1, 2))
    means = returns.sum((1, 2)) / np.maximum(ended, 1)
    return found, {"mean return": means.tolist(), "episodes": ended.astype(float).tolist()}


def _outputs(agent: Agent, environment: Environment, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits and values of a random sequence, with episodes that start within it, from a random carry."""
    rng, T, E = np.random.default_rng(SEED + 1), 16, 3
    carry, observations = rng.uniform(-1, 1, (E, hidden)), rng.normal(size=(T, E, environment.observations))
    arrays = map(jnp.asarray, (carry, observations, rng.random((T, E)) < 0.2))
    _, logits, values = jax.jit(agent.run)(agent.params, *arrays)
    return np.asarray(logits), np.asarray(values)


def _train(name: str, environment: Environment, loop: Settings, updates: int) -> tuple[np.ndarray, ...]:
    """The returns by update (U, T, E), where episodes ended (U, T, E), and the first layer (D, H) at the end."""
    agent = make_agent(name, environment, loop.hidden, jnp.float64)
    update, runner = make_update(agent, environment, loop), start(agent, environment, loop, jax.random.key(SEED))
    seen = []
    for _ in range(updates):
        runner, episodes = update(runner)
        seen.append(jax.tree.map(np.asarray, episodes))
    returns, ends = map(np.stack, zip(*seen, strict=True))
    return returns, ends, np.asarray(_embedding(runner.params))


def _embedding(params: Any) -> Any:
    """The weights of the first layer (D, H), of an agent in either framework."""
    return params["Dense_0"]["kernel"] if isinstance(params, dict) else params.embed.weight.T


def arms(asked: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """The update of each agent, from the same parameters and the same state of the environments."""
    return {name: partial(_arm, name, asked) for name in asked["agents"]}


def _arm(name: str, asked: dict[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    environment, loop = environment_of(asked), loop_of(asked)
    agent = make_agent(name, environment, loop.hidden, jnp.float32)
    return make_update(agent, environment, loop), (start(agent, environment, loop, jax.random.key(SEED)),)
