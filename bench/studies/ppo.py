"""Proximal policy optimisation (https://arxiv.org/abs/1707.06347) of a recurrent agent, an update in one program.

Minibatches are whole sequences of some environments, each from the carry with which its rollout started, as in
https://github.com/luchris429/purejaxrl, whose settings these are, but for the learning rate.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Settings(NamedTuple):
    """Of the loop."""

    environments: int = 4  # E
    steps: int = 128  # T of a rollout
    epochs: int = 4
    minibatches: int = 4
    hidden: int = 128  # H
    learning_rate: float = 1e-3
    discount: float = 0.99
    trace: float = 0.95  # lambda of generalised advantage estimation
    clip: float = 0.2
    value_weight: float = 0.5
    entropy_weight: float = 0.01
    max_gradient_norm: float = 0.5


class Agent(NamedTuple):
    """Parameters, and run: params, carry (E, H), observations (T, E, D), starts (T, E) -> carry, logits, values."""

    params: Any
    run: Callable[..., tuple[Any, Any, Any]]
    dtype: Any


class Runner(NamedTuple):
    """What goes from one update to the next."""

    params: Any
    optimizer: Any
    states: Any  # of the environments
    observations: Any  # (E, D)
    starts: Any  # (E,) whether the observation is an episode's first
    carry: Any  # (E, H)
    key: Any


class Rollout(NamedTuple):
    """What was seen and done, by step: (T, E), observations (T, E, D)."""

    observations: Any
    starts: Any
    actions: Any
    log_probs: Any
    values: Any
    rewards: Any
    ends: Any


class Environment(NamedTuple):
    """reset: key -> observation, state. step: key, state, action -> observation, state, reward, ended."""

    reset: Callable[..., Any]
    step: Callable[..., Any]
    observations: int  # D
    actions: int


def cart_pole() -> Environment:
    """`CartPole-v1` of https://github.com/RobertTLange/gymnax, without velocities: an agent has to remember."""
    import gymnax  # pyright: ignore[reportMissingImports]

    environment, params = gymnax.make("CartPole-v1")
    seen = jnp.asarray([0, 2])

    def reset(key: Any) -> Any:
        observation, state = environment.reset(key, params)
        return observation[seen], jax.tree.map(jnp.asarray, state)

    def step(key: Any, state: Any, action: Any) -> Any:
        observation, after, reward, ended, *_ = environment.step(key, state, action, params)
        after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state)  # as a scan's carry has to be
        return observation[seen], after, reward, ended

    return Environment(reset, step, 2, int(environment.num_actions))


def optimizer_of(settings: Settings) -> optax.GradientTransformation:
    """Adam with clipped gradients. An initial carry is left alone: episodes start from zero, as with a cell alone."""

    def initial_carries(params: Any) -> Any:
        return jax.tree.map_with_path(lambda path, _: "initial_carry" in jax.tree_util.keystr(path[-1:]), params)

    return optax.chain(
        optax.masked(optax.set_to_zero(), initial_carries),
        optax.clip_by_global_norm(settings.max_gradient_norm),
        optax.adam(settings.learning_rate, eps=1e-5),
    )


def start(agent: Agent, environment: Environment, settings: Settings, key: Any) -> Runner:
    """The state before the first update."""
    E, H = settings.environments, settings.hidden
    of_reset, key = jax.random.split(key)
    observations, states = jax.vmap(environment.reset)(jax.random.split(of_reset, E))
    optimizer = optimizer_of(settings).init(agent.params)
    observations = jnp.asarray(observations, agent.dtype)
    return Runner(agent.params, optimizer, states, observations, jnp.ones(E, bool), jnp.zeros((E, H), agent.dtype), key)


def make_update(agent: Agent, environment: Environment, settings: Settings) -> Callable[[Runner], tuple[Runner, Any]]:
    """An update, jitted: runner -> the next runner, and by step (T, E) the rewards and whether an episode ended."""
    optimizer = optimizer_of(settings)

    def act(runner: Runner, _: None) -> tuple[Runner, Rollout]:
        of_action, of_step, key = jax.random.split(runner.key, 3)
        one = runner.observations[None], runner.starts[None]  # a sequence of one step
        carry, logits, values = agent.run(runner.params, runner.carry, *one)
        actions = jax.random.categorical(of_action, logits[0])  # (E,)
        keys = jax.random.split(of_step, settings.environments)
        observations, states, rewards, ends = jax.vmap(environment.step)(keys, runner.states, actions)
        rewards, observations = jnp.asarray(rewards, agent.dtype), jnp.asarray(observations, agent.dtype)
        log_probs = log_prob(logits[0], actions)
        seen = Rollout(runner.observations, runner.starts, actions, log_probs, values[0], rewards, ends)
        return Runner(runner.params, runner.optimizer, states, observations, ends, carry, key), seen

    def loss_of(params: Any, carry: Any, rollout: Rollout, advantages: Any, targets: Any) -> Any:
        _, logits, values = agent.run(params, carry, rollout.observations, rollout.starts)
        near = rollout.values + jnp.clip(values - rollout.values, -settings.clip, settings.clip)
        value_loss = 0.5 * jnp.maximum((values - targets) ** 2, (near - targets) ** 2).mean()
        ratio = jnp.exp(log_prob(logits, rollout.actions) - rollout.log_probs)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        clipped = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
        actor_loss = -jnp.minimum(ratio * advantages, clipped * advantages).mean()
        log_probs = jax.nn.log_softmax(logits)
        entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
        return actor_loss + settings.value_weight * value_loss - settings.entropy_weight * entropy

    def descend(state: tuple[Any, Any], minibatch: tuple[Any, ...]) -> tuple[tuple[Any, Any], Any]:
        params, optimizer_state = state
        loss, gradients = jax.value_and_grad(loss_of)(params, *minibatch)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return (optax.apply_updates(params, updates), optimizer_state), loss

    @jax.jit
    def update(runner: Runner) -> tuple[Runner, Any]:
        first_carry, params = runner.carry, runner.params
        runner, rollout = jax.lax.scan(act, runner, None, settings.steps)
        _, _, last_values = agent.run(params, runner.carry, runner.observations[None], runner.starts[None])
        advantages = advantages_of(rollout, last_values[0], settings)
        targets = advantages + rollout.values

        def epoch(state: tuple[Any, Any], key: Any) -> tuple[tuple[Any, Any], Any]:
            order = jax.random.permutation(key, settings.environments).reshape(settings.minibatches, -1)
            by_time = jax.tree.map(lambda a: jnp.moveaxis(a[:, order], 1, 0), (rollout, advantages, targets))
            return jax.lax.scan(descend, state, (first_carry[order], *by_time))

        of_epochs, key = jax.random.split(runner.key)
        keys = jax.random.split(of_epochs, settings.epochs)
        (params, optimizer_state), _ = jax.lax.scan(epoch, (params, runner.optimizer), keys)
        return runner._replace(params=params, optimizer=optimizer_state, key=key), (rollout.rewards, rollout.ends)

    return update


def log_prob(logits: Any, actions: Any) -> Any:
    """Of the actions that were taken."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], axis=-1)[..., 0]


def advantages_of(rollout: Rollout, last_values: Any, settings: Settings) -> Any:
    """Generalised advantage estimation (https://arxiv.org/abs/1506.02438), (T, E)."""

    def back(after: tuple[Any, Any], step: tuple[Any, Any, Any]) -> tuple[tuple[Any, Any], Any]:
        advantage, next_value = after
        reward, value, ended = step
        going_on = jnp.where(ended, 0, settings.discount).astype(value.dtype)
        advantage = reward + going_on * (next_value + settings.trace * advantage) - value
        return (advantage, value), advantage

    steps = rollout.rewards, rollout.values, rollout.ends
    return jax.lax.scan(back, (jnp.zeros_like(last_values), last_values), steps, reverse=True)[1]
