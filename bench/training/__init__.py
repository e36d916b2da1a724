"""Does it pay to learn the initial state? Each framework is trained on real sequences, in its users' training loop.

`linen`, `nnx` and `equinox` have the loops, one in each file, readable side by side. They are compared with `pure`.
`fit` defines what training means in all of them; `trigru train` runs it.
"""

import importlib

from ...common.errors import UnknownNameError
from .trainer import Trainer

#: The frameworks with a training loop here, by the name of their port.
FRAMEWORKS = ("linen", "nnx", "equinox")
#: The framework whose loop theirs are compared with.
REFERENCE = "pure"


def get_trainer(name: str) -> type[Trainer]:
    """The training loop of a framework. Raises an UnknownNameError if there is none."""
    if name not in (*FRAMEWORKS, REFERENCE):
        raise UnknownNameError("framework with a training loop", name, list(FRAMEWORKS))
    return importlib.import_module(f".{name}", __name__).Trainer
