"""Environments that are functions of JAX: those of gymnax, seen in part, so that an agent has to remember."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ....common.errors import UnavailableError


@dataclass(frozen=True)
class Environment:
    """One episode after the other: a step that ends an episode returns the first observation of the next.

    Args:
        reset: key -> observation (D,), state.
        step: key, state, action -> observation (D,), state, reward, whether the episode ended.
        observations: D.
        actions: how many there are to choose from.
    """

    reset: Callable[[Any], tuple[Any, Any]]
    step: Callable[[Any, Any, Any], tuple[Any, Any, Any, Any]]
    observations: int
    actions: int


def from_gymnax(name: str, visible: Sequence[int]) -> Environment:
    """An environment of https://github.com/RobertTLange/gymnax, of which an agent sees some observations alone.

    Args:
        name: in gymnax's registry.
        visible: which observations are seen. Of `CartPole-v1`, 0 and 2 are positions, and the rest velocities.

    Raises:
        UnavailableError: gymnax is not installed.
    """
    try:
        import gymnax  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UnavailableError(
            f"gymnax is not installed ({error}). Run `uv sync --group program` in Python 3.11: gymnax 1.0 takes no jax "
            "from 0.12 on, which later Pythons have."
        ) from error
    environment, params = gymnax.make(name)
    seen = jnp.asarray(visible)

    def reset(key: Any) -> tuple[Any, Any]:
        observation, state = environment.reset(key, params)
        return observation[seen], jax.tree.map(jnp.asarray, state)

    def step(key: Any, state: Any, action: Any) -> tuple[Any, Any, Any, Any]:
        observation, after, reward, ended, *_ = environment.step(key, state, action, params)
        after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state)  # as a scan's carry has to be
        return observation[seen], after, reward, ended

    return Environment(reset, step, len(visible), int(environment.num_actions))
