"""Does it pay to learn the initial state? Each framework is trained on real sequences, in its users' training loop.

- `linen`, `nnx` and `equinox` have the loops, one in each file, readable side by side. They are compared with `pure`.
- `experiments` has the data.
- `fit` defines what training means in all of them.
- `study` trains over many seeds and compares the results.
- `vanishing` measures the gradient that reaches the initial state.

`trigru train` runs them.
"""

import importlib

from ...common.errors import UnknownNameError
from .trainer import Minibatch, Trainer, TrainerMaker

__all__ = ["FRAMEWORKS", "REFERENCE", "Minibatch", "Trainer", "TrainerMaker", "get_trainer"]

#: The frameworks with a training loop here, by the name of their port.
FRAMEWORKS = ("linen", "nnx", "equinox")
#: The framework whose loop theirs are compared with.
REFERENCE = "pure"


def get_trainer(name: str) -> TrainerMaker:
    """The training loop of a framework.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in (*FRAMEWORKS, REFERENCE):
        raise UnknownNameError("framework with a training loop", name, list(FRAMEWORKS))
    return importlib.import_module(f".{name}", __name__).trainer
