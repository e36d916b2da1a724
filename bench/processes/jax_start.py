"""Whether JAX starts with the settings of the environment, tried in a child process."""

import os
from functools import cache
from importlib.util import find_spec

from ...common.errors import TrigruError
from .child import Parent
from .pool import ChildDiedError, messages_of

#: Beginnings of variables that could keep JAX from starting.
VARIABLES = ("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES", "TF_XLA_FLAGS", "LIBTPU_")
#: Seconds until a JAX that has not started is given up.
LIMIT_S = 120.0
STARTER = "trigru.bench.processes.jax_start:start_jax"


class JaxEnvironmentError(TrigruError):
    """JAX does not start with the settings of the environment."""


def check_jax(worker: str = STARTER, limit_s: float = LIMIT_S) -> None:
    """Try to start JAX, if a variable of the environment could keep it from starting.

    The same settings are tried once.

    Args:
        worker: what the child process runs.
        limit_s: seconds until it is given up.

    Raises:
        JaxEnvironmentError: with JAX's own message.
    """
    if find_spec("msgspec") is None:  # without `trigru[bench]` there are no children
        return
    settings = []
    for name, value in sorted(os.environ.items()):
        if name.startswith(VARIABLES):
            settings.append(f"{name}={value}")
    if settings:
        _try_to_start(worker, limit_s, ", ".join(settings))


@cache  # the same settings are tried once
def _try_to_start(worker: str, limit_s: float, settings: str) -> None:
    try:
        for _ in messages_of(worker, None, None, limit_s):
            pass
    except ChildDiedError as error:
        message = str(error).removeprefix("the process ").removeprefix("died: ")
        raise JaxEnvironmentError(
            f"JAX does not start with {settings}: {message[:500]}"
        ) from error


def start_jax(parent: Parent[None]) -> None:
    """Start JAX, in the child.

    Raises a JaxEnvironmentError with the message that the user has to read.
    """
    for _ in parent.tasks():
        try:
            import jax
            import jax.numpy as jnp

            ones = jnp.ones((2, 2))
            jax.block_until_ready(jax.jit(jnp.dot)(ones, ones))
        except Exception as error:
            why = str(error).strip()
            if not why:
                name = type(error).__name__
                why = f"{name}, without a word. Is there such a device?"
            raise JaxEnvironmentError(why) from error
