"""What is timed: sizes from where dispatch is everything to where the matrix products are, and real data.

Adding a workload is adding a row to `WORKLOADS`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..common.config import GRUConfig
from ..common.datasets import japanese_vowels
from ..common.errors import UnknownNameError
from ..common.params import leaves, random_params
from ..common.task import Batch

__all__ = ["QUICK", "WORKLOADS", "Workload", "find_workload"]

SEED = 0


def _random_batch(workload: "Workload") -> Batch:
    rng = np.random.default_rng(SEED)
    shape = (workload.batch_size, workload.time)
    x = rng.normal(size=(*shape, workload.input_size))
    targets = rng.normal(scale=0.5, size=(*shape, workload.hidden_size))
    return Batch(x.astype(np.float32), targets.astype(np.float32))


def _vowels_batch(workload: "Workload") -> Batch:
    data = japanese_vowels("train")
    rows = np.random.default_rng(SEED).permutation(len(data.labels))[: workload.batch_size]
    return Batch(data.inputs[rows], data.labels[rows], data.lengths[rows])


@dataclass(frozen=True)
class Workload:
    """Sizes and data of one model under test.

    Args:
        name: stable, part of benchmark ids.
        summary: what it stands for.
        batch_size: B, sequences.
        time: T, steps of the longest sequence.
        input_size: D.
        hidden_size: H.
        classes: C of a readout with cross-entropy; None trains the outputs on a mean squared error.
        make: draws the batch, the same one at each call.
    """

    name: str
    summary: str
    batch_size: int
    time: int
    input_size: int
    hidden_size: int
    classes: int | None = None
    make: Callable[["Workload"], Batch] = _random_batch

    def batch(self) -> Batch:
        """The data, float32 NumPy arrays."""
        return self.make(self)

    def config(self, kernel: str = "stock", param_dtype: str = "float32") -> GRUConfig:
        """The model's configuration."""
        return GRUConfig(self.input_size, self.hidden_size, self.classes, kernel=kernel, param_dtype=param_dtype)

    @property
    def steps(self) -> int:
        """Time steps that count in a batch: all of them, or those within the sequences' lengths."""
        lengths = self.batch().lengths
        return self.batch_size * self.time if lengths is None else int(lengths.sum())

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(array.size for array in leaves(random_params(self.config())).values())

    @property
    def shape(self) -> str:
        """The sizes in a few characters.

        >>> find_workload("tiny").shape
        'B=1 T=8 D=4 H=8'
        """
        return f"B={self.batch_size} T={self.time} D={self.input_size} H={self.hidden_size}"


WORKLOADS: tuple[Workload, ...] = (
    Workload("tiny", "dispatch: next to nothing to compute", 1, 8, 4, 8),
    Workload("question", "the sizes people ask about: 20 inputs, 200 units, one sequence", 1, 50, 20, 200),
    Workload("vowels", "real utterances of unequal length, nine speakers", 32, 29, 12, 64, 9, _vowels_batch),
    Workload("medium", "a model of everyday size", 32, 128, 64, 128),
    Workload("large", "matrix products dominate", 64, 128, 256, 512),
)

#: Those of a first look.
QUICK = ("tiny", "question", "vowels")


def find_workload(name: str) -> Workload:
    """A workload by name; raises UnknownNameError."""
    for workload in WORKLOADS:
        if workload.name == name:
            return workload
    raise UnknownNameError("workload", name, [workload.name for workload in WORKLOADS])
