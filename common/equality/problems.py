"""What an exception of a port says, in a few words."""

import jax

from ..config import GRUConfig
from ..parameters.record import random_params
from ..port.protocol import Port
from .measurement import NOT_OFFERED

#: Characters of an exception that a problem quotes.
LONGEST_REASON = 160


def problem_of(port: Port, error: Exception) -> str:
    """What an exception of a port says; of models that this framework does not let JAX transform, that it does not."""
    if isinstance(error, TypeError | AttributeError) and not _has_pytrees(port):
        return f"{NOT_OFFERED}: a model that is a pytree, with the installed versions of {', '.join(port.packages)}"
    return f"{type(error).__name__}: {brief_of(error)}"


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
