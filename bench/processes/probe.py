"""A check in a child that JAX starts with the environment's settings, before anything depends on it."""

import os
from functools import cache
from importlib.util import find_spec

from ...common.errors import TrigruError
from .child import ChildDiedError, answers_of

#: Seconds until a JAX that has not started is given up.
LIMIT_S = 120.0
TRIED = "trigru.bench.processes.probe:answer_request"


class JaxEnvironmentError(TrigruError):
    """JAX does not start with the settings of the environment."""


def check_jax() -> None:
    """Raise a JaxEnvironmentError with JAX's own message if it does not start here.

    It is tried only if a variable is set that could be the reason, and by what `trigru[bench]` brings.
    """
    if find_spec("msgspec") is None:
        return
    names = ("JAX_", "XLA_", "CUDA_VISIBLE_DEVICES", "TF_XLA_FLAGS", "LIBTPU_")
    if settings := tuple((name, value) for name, value in sorted(os.environ.items()) if name.startswith(names)):
        _try(settings)


@cache
def _try(settings: tuple[tuple[str, str], ...]) -> None:
    try:
        list(answers_of(TRIED, None, None, LIMIT_S))
    except ChildDiedError as error:
        message = str(error).removeprefix("the measuring process ").removeprefix("died: ")
        named = ", ".join(f"{name}={value}" for name, value in settings)
        raise JaxEnvironmentError(f"JAX does not start with {named}: {message[:500]}") from error


def answer_request(request: None, answer: object) -> None:
    """Start JAX, in the child. Raises a JaxEnvironmentError with the message that the user has to read."""
    try:
        import jax
        import jax.numpy as jnp

        jax.block_until_ready(jax.jit(jnp.dot)(jnp.ones((2, 2)), jnp.ones((2, 2))))
    except Exception as error:
        why = str(error).strip() or f"{type(error).__name__}, without a word. Is there such a device?"
        raise JaxEnvironmentError(why) from error
