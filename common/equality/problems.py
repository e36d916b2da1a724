"""Short descriptions of a port's exceptions."""

import jax

from ..config import GRUConfig
from ..parameters.record import random_params
from ..port.protocol import Port
from .measurement import NOT_OFFERED

#: Characters of an exception that a problem quotes.
LONGEST_REASON = 160

#: What JAX says of an argument that is no pytree of arrays, and Python of a leaf that is no array.
NO_PYTREE = (
    "TypeError: Error interpreting argument",
    "is not a valid JAX type",
    "TypeError: Cannot interpret value of",
)
NO_PYTREE += ("has no attribute 'astype'",)


def problem_of(port: Port, error: Exception) -> str:
    """The message for an exception of a port; it says so if the framework does not let JAX transform its models."""
    said = f"{type(error).__name__}: {brief_of(error)}"
    if any(words in said for words in NO_PYTREE) and not _has_pytrees(port):
        packages = ", ".join(port.packages)
        return f"{NOT_OFFERED}: a model that is a pytree, with the installed versions of {packages} ({said})"
    return said


def _has_pytrees(port: Port) -> bool:
    config = GRUConfig(1, 1)
    try:
        leaves = jax.tree.leaves(port.load(config, random_params(config)))
    except Exception:  # a port may fail in any way
        return True
    return all(hasattr(leaf, "dtype") for leaf in leaves)


def brief_of(error: Exception) -> str:
    """The first line of what an exception says, or its beginning: JAX's may hold a whole pytree."""
    line = str(error).strip().partition("\n")[0]
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} ..."
