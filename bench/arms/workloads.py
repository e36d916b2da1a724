"""The workloads, from sizes where dispatch dominates to those where matrix products do, and the least work of a call.

Adding a workload is adding a row to `WORKLOADS`.
"""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from ...common.config import GRUConfig
from ...common.datasets import japanese_vowels
from ...common.errors import InputError, UnknownNameError
from ...common.parameters.record import leaf_shapes
from ...common.port.task import Batch
from ..results.arm import Sized

SEED = 0
#: Of Adam.
LEARNING_RATE = 1e-3
#: Sums, products and activations of a cell, without its matrix products, for each unit, example and time step: r and z
#: take two sums and a sigmoid each, n three sums, a product and a tanh, h' a difference, two products and a sum.
CELL_FLOPS = 15
#: Their derivatives, and the sums that accumulate the gradients of biases and state.
CELL_GRADIENT_FLOPS = 30
#: Adam, for each parameter: two moments, their corrections, a root, a quotient and the move.
ADAM_FLOPS = 14
ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Workload:
    """Sizes and data of one model under test."""

    name: str
    summary: str
    batch_size: int  # B, sequences
    time: int  # T, steps of the longest sequence
    input_size: int  # D
    hidden_size: int  # H
    classes: int | None = (
        None  # C of a readout with cross-entropy, on real utterances; None for random targets
    )
    few_styles: bool = False  # those of a first look: crossing the jit boundary makes no difference to so long a call

    def batch(self) -> Batch:
        """The data, float32 NumPy arrays; the same at each call."""
        B, T, D, H = self.batch_size, self.time, self.input_size, self.hidden_size
        rng = np.random.default_rng(SEED)
        carry = (
            np.random.default_rng(SEED + 1).uniform(-1, 1, (B, H)).astype(np.float32)
        )
        if self.classes is not None:
            data = japanese_vowels("train")
            rows = rng.permutation(len(data.labels))[:B]
            return Batch(
                data.inputs[rows], data.labels[rows], data.lengths[rows], carry
            )
        x, targets = rng.normal(size=(B, T, D)), rng.normal(scale=0.5, size=(B, T, H))
        return Batch(x.astype(np.float32), targets.astype(np.float32), carry=carry)

    def config(
        self, phase: str = "forward", kernel: str = "stock", dtype: str = "float32"
    ) -> GRUConfig:
        """The model's configuration, computed in a dtype. One time step is a GRU's, without the readout."""
        classes = None if phase == "step" else self.classes
        computed = None if dtype == "float32" else dtype
        return GRUConfig(
            self.input_size, self.hidden_size, classes, kernel=kernel, dtype=computed
        )

    @property
    def steps(self) -> int:
        """Time steps that count in a batch: all of them, or those within the sequences' lengths."""
        return (
            self.batch_size * self.time
            if self.classes is None
            else int(self.batch().lengths.sum())
        )

    def parameters(self, phase: str = "forward") -> int:
        config = self.config(phase)
        return sum(
            map(
                math.prod,
                leaf_shapes(
                    config.input_size, config.hidden_size, config.classes
                ).values(),
            )
        )

    @property
    def bytes(self) -> int:
        """The approximate memory of an arm in a train step, in float32: parameters, gradient, Adam, and activations.

        >>> get_workload(Sized("question")).bytes
        2405600
        """
        B, T, D, H = self.batch_size, self.time, self.input_size, self.hidden_size
        return 4 * (4 * 3 * H * (D + H + 1) + B * T * (D + 7 * H))

    @property
    def shape(self) -> str:
        """The sizes in a few characters."""
        return f"B={self.batch_size} T={self.time} D={self.input_size} H={self.hidden_size}"


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
        "vowels", "real utterances of unequal length, nine speakers", 32, 29, 12, 64, 9
    ),
    Workload("medium", "a model of common size", 32, 128, 64, 128),
    Workload("large", "matrix products dominate", 64, 128, 256, 512, few_styles=True),
    Workload(
        "long", "a long sequence: many steps with little work each", 16, 512, 32, 64
    ),
)

#: The workloads of a first look, `--quick`.
QUICK = ("question", "vowels")
#: The workloads of a run with the stock kernel alone. With every call style, they take ten minutes on two cores.
STANDARD = ("tiny", "question", "vowels", "medium", "large")
#: The workload that a size of one's own is a variation of: random data, and no readout.
OWN = "question"
#: What a sweep may vary: its name, and the workload's.
SIZES = {
    "batch": "batch_size",
    "time": "time",
    "inputs": "input_size",
    "hidden": "hidden_size",
}


def get_workload(sized: Sized) -> Workload:
    """A workload. Raises an UnknownNameError if there is none of its name, and an InputError if its data fix a size."""
    known = {workload.name: workload for workload in WORKLOADS}
    if sized.name not in known:
        raise UnknownNameError("workload", sized.name, list(known))
    workload = known[sized.name]
    for size in sized.sizes:
        if workload.classes is not None and size != "hidden":
            raise InputError(
                f"{sized.name} has real data, which fix its {size}. Change its hidden size, or take another workload."
            )
    return replace(
        workload,
        name=str(sized),
        **{SIZES[size]: value for size, value in sized.sizes.items()},
    )


def parse_size(text: str, of: str = OWN) -> list[Sized]:
    """A workload for each combination of the sizes that a text has, which may each have several values.

    The other sizes are those of a workload. Raises an InputError if the text has another form, and as `get_workload`.

    >>> [str(sized) for sized in parse_size("hidden=8,32,batch=2,inputs=20")]
    ['question@batch=2@hidden=8', 'question@batch=2@hidden=32']
    """
    given, size = dict[str, list[int]](), ""
    for part in text.split(","):
        before, equals, value = (word.strip() for word in part.rpartition("="))
        size = before if equals else size
        if size not in SIZES or not _is_size(value) or (equals and size in given):
            raise InputError(
                f"cannot read the size {text!r}: expected {', '.join(SIZES)}, each at most once, with values of 1 or "
                "more, as in inputs=20,hidden=200,batch=1,time=50 or hidden=8,32,128."
            )
        given.setdefault(size, []).append(int(value))
    get_workload(Sized(of, dict.fromkeys(given, 1)))  # refuses what its data fix
    usual = {
        size: [getattr(get_workload(Sized(of)), name)] for size, name in SIZES.items()
    }
    chosen = {
        size: dict.fromkeys(given[size])
        for size in SIZES
        if given.get(size, usual[size]) != usual[size]
    }
    return [
        Sized(of, dict(zip(chosen, values, strict=True)))
        for values in product(*chosen.values())
    ]


def parse_devices(text: str) -> tuple[int, ...]:
    """Read numbers of devices, as users write them; 1 is always among them. Raises an InputError.

    >>> parse_devices("4,2")
    (1, 2, 4)
    """
    parts = text.split(",")
    if not all(_is_size(part.strip()) for part in parts):
        raise InputError(
            f"cannot read the devices {text!r}: expected numbers from 1 on, as in 1,2,4."
        )
    return tuple(sorted({1, *map(int, parts)}))


def _is_size(text: str) -> bool:
    return text.isdecimal() and len(text) < 20 and int(text) > 0


class Work(NamedTuple):
    """The least that any implementation of a phase does in a call."""

    flops: float  # a multiply-add is two, an activation is one
    moved_bytes: float


def work_of(workload: Workload, phase: str, dtype: str = "float32") -> Work:
    """Analytic work of a call.

    Bytes are of parameters, inputs, outputs, targets, gradients and optimiser state, each read or written once, and of
    the states that the backward pass needs, written and read once. Steps at or past a sequence's length do not count:
    else a library that packs the sequences would get credit for steps that it leaves out.
    """
    B, D, H = workload.batch_size, workload.input_size, workload.hidden_size
    steps = B if phase == "step" else workload.steps  # of all sequences
    C, P = workload.classes or 0, workload.parameters(phase)
    inputs, states = 2 * 3 * H * D, 2 * 3 * H * H  # products of a sequence's time step
    readout = 2 * B * H * C
    scan = steps * (inputs + states + CELL_FLOPS * H)
    if phase == "step":
        flops, numbers = scan, P + B * D + 2 * B * H
    elif phase == "forward":
        flops, numbers = scan + readout, P + steps * D + (B * C if C else steps * H)
    else:
        back = steps * (inputs + 2 * states + CELL_GRADIENT_FLOPS * H) + 2 * readout
        targets = B if C else steps * H
        flops, numbers = (
            scan + readout + back,
            2 * P + steps * D + targets + 2 * steps * H,
        )
    if phase == "train_step":
        flops, numbers = (
            flops + ADAM_FLOPS * P,
            numbers + 4 * P,
        )  # both moments, read and written
    return Work(float(flops), float(numbers * ITEM_BYTES[dtype]))
