"""The workloads, from sizes where dispatch dominates to those where matrix products do.

Adding a workload is adding a row to `WORKLOADS`.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ...common.config import GRUConfig
from ...common.datasets import japanese_vowels
from ...common.errors import InputError, UnknownNameError
from ...common.port.task import Batch
from ..results.arm import Sized

SEED = 0
#: Of Adam.
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Workload:
    """Sizes and data of one model under test."""

    name: str
    summary: str
    batch_size: int  # B, sequences
    time: int  # T, steps of the longest sequence
    input_size: int  # D
    hidden_size: int  # H
    #: Whether the inputs are spoken utterances of unequal length; else they are random.
    is_speech: bool = False
    #: Whether a run times the call styles of a first look alone, since crossing the jit
    #: boundary makes no difference to so long a call.
    few_styles: bool = False

    def batch(self) -> Batch:
        """The data, float32 NumPy arrays; the same at each call.

        At and past its length, a sequence has zero outputs in every port, and zero
        targets here. So the squared error is that of the valid steps alone.
        """
        B, T, D, H = self.batch_size, self.time, self.input_size, self.hidden_size
        rng = np.random.default_rng(SEED)
        carry_rng = np.random.default_rng(SEED + 1)
        carry = carry_rng.uniform(-1, 1, (B, H)).astype(np.float32)

        lengths = None
        if self.is_speech:
            utterances = japanese_vowels("train")
            rows = rng.permutation(len(utterances.lengths))[:B]
            x, lengths = utterances.inputs[rows], utterances.lengths[rows]
        else:
            x = rng.normal(size=(B, T, D)).astype(np.float32)

        targets = rng.normal(scale=0.5, size=(B, T, H)).astype(np.float32)
        if lengths is not None:
            is_valid = np.arange(T) < lengths[:, None]  # (B, T)
            targets = targets * is_valid[:, :, None]
        return Batch(x, targets, lengths, carry)

    def config(self, kernel: str = "stock", dtype: str = "float32") -> GRUConfig:
        """The model's configuration, computed in a dtype."""
        computed = None if dtype == "float32" else dtype
        return GRUConfig(
            self.input_size, self.hidden_size, kernel=kernel, dtype=computed
        )

    @property
    def steps(self) -> int:
        """Time steps of a batch that count: those within the sequences' lengths."""
        lengths = self.batch().lengths
        return self.batch_size * self.time if lengths is None else int(lengths.sum())

    @property
    def parameters(self) -> int:
        """Numbers that are trained: weights, biases and the initial carry."""
        D, H = self.input_size, self.hidden_size
        return 3 * H * (D + H) + 5 * H

    @property
    def bytes(self) -> int:
        """About how much memory an arm needs in a train step, in float32.

        It holds the parameters, their gradient, both of Adam's moments, and
        activations.

        >>> get_workload(Sized("question")).bytes
        2405600
        """
        B, T, D, H = self.batch_size, self.time, self.input_size, self.hidden_size
        parameters = 3 * H * (D + H + 1)
        activations = B * T * (D + 7 * H)
        return 4 * (4 * parameters + activations)

    @property
    def shape(self) -> str:
        """The sizes in a few characters."""
        B, T, D, H = self.batch_size, self.time, self.input_size, self.hidden_size
        return f"B={B} T={T} D={D} H={H}"


WORKLOADS: tuple[Workload, ...] = (
    Workload("tiny", "dispatch: almost nothing to compute", 1, 8, 4, 8),
    Workload(
        "question",
        "the sizes people ask about: 20 inputs, 200 units, one sequence",
        1,
        50,
        20,
        200,
    ),
    Workload(
        "utterances",
        "spoken vowels, sequences of unequal length",
        32,
        29,
        12,
        64,
        is_speech=True,
    ),
    Workload("medium", "a model of common size", 32, 128, 64, 128),
    Workload("large", "matrix products dominate", 64, 128, 256, 512, few_styles=True),
    Workload(
        "long", "a long sequence: many steps with little work each", 16, 512, 32, 64
    ),
)

#: The workloads of a first look, `--quick`.
QUICK = ("question", "utterances")
#: The workloads of a run with the stock kernel alone. With every call style, they take
#: ten minutes on two cores.
STANDARD = ("tiny", "question", "utterances", "medium", "large")
#: The workload that a size of one's own is a variation of.
OWN = "question"
#: What a sweep may vary: its name, and the workload's.
SIZES = {
    "batch": "batch_size",
    "time": "time",
    "inputs": "input_size",
    "hidden": "hidden_size",
}


def get_workload(sized: Sized) -> Workload:
    """A workload with its sizes changed.

    Raises an UnknownNameError if there is none of its name, and an InputError if its
    data fix a size that is to change.
    """
    workloads = {workload.name: workload for workload in WORKLOADS}
    if sized.name not in workloads:
        raise UnknownNameError("workload", sized.name, list(workloads))
    workload = workloads[sized.name]

    changes = {}
    for size, value in sized.sizes.items():
        if workload.is_speech and size != "hidden":
            raise InputError(
                f"{sized.name} has real data, which fix its {size}. "
                "Change its hidden size, or take another workload."
            )
        changes[SIZES[size]] = value
    return replace(workload, name=str(sized), **changes)


def parse_size(text: str, workload: str = OWN) -> list[Sized]:
    """Read sizes as users write them: a workload for each combination of their values.

    The other sizes are those of the named workload. Raises an InputError if the text
    has another form, and as `get_workload` does.

    >>> [str(sized) for sized in parse_size("hidden=8,32,batch=2,inputs=20")]
    ['question@batch=2@hidden=8', 'question@batch=2@hidden=32']
    """
    values_by_size: dict[str, list[int]] = {}
    size = ""
    for part in text.split(","):
        before, equals, value = part.rpartition("=")
        if equals:
            size = before.strip()
        is_repeated = bool(equals) and size in values_by_size
        if size not in SIZES or is_repeated or not _is_size(value.strip()):
            raise InputError(
                f"cannot read the size {text!r}: expected {', '.join(SIZES)}, each at "
                "most once, with values of 1 or more, as in "
                "inputs=20,hidden=200,batch=1,time=50 or hidden=8,32,128."
            )
        values_by_size.setdefault(size, []).append(int(value))

    get_workload(Sized(workload, dict.fromkeys(values_by_size, 1)))  # it may refuse
    usual = get_workload(Sized(workload))
    changed = {}
    for size, attribute in SIZES.items():
        values = values_by_size.get(size)
        if values is not None and values != [getattr(usual, attribute)]:
            changed[size] = list(dict.fromkeys(values))
    combinations = product(*changed.values())
    return [
        Sized(workload, dict(zip(changed, values, strict=True)))
        for values in combinations
    ]


def parse_devices(text: str) -> tuple[int, ...]:
    """Read numbers of devices, as users write them; 1 is always among them.

    Raises an InputError if one is no number from 1 on.

    >>> parse_devices("4,2")
    (1, 2, 4)
    """
    parts = text.split(",")
    if not all(_is_size(part.strip()) for part in parts):
        raise InputError(
            f"cannot read the devices {text!r}: expected numbers from 1 on, "
            "as in 1,2,4."
        )
    return tuple(sorted({1, *map(int, parts)}))


def _is_size(text: str) -> bool:
    return text.isdecimal() and len(text) < 20 and int(text) > 0
