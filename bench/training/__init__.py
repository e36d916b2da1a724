"""Does it pay to learn the initial state? Real sequences, trained in each framework as its users write a training loop.

`linen`, `nnx` and `equinox` have the loops, one a file, readable side by side, and `pure` the one they are held to;
`experiments` the data; `fit` what training means in all of them; `study` the seeds and what they bear out; `vanishing`
the gradient that reaches the initial state. `trigru train` runs them.
"""

import importlib

from ...common.errors import UnknownNameError
from .trainer import Minibatch, Trainer, TrainerMaker

__all__ = ["FRAMEWORKS", "REFERENCE", "Minibatch", "Trainer", "TrainerMaker", "get_trainer"]

#: The frameworks with a training loop here, by the name of their port.
FRAMEWORKS = ("linen", "nnx", "equinox")
#: Whose loop is held up to theirs.
REFERENCE = "pure"


def get_trainer(name: str) -> TrainerMaker:
    """The training loop of a framework.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in (*FRAMEWORKS, REFERENCE):
        raise UnknownNameError("framework with a training loop", name, list(FRAMEWORKS))
    return importlib.import_module(f".{name}", __name__).trainer
