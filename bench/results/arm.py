"""The plan of a run, and its arms.

Before them, the types of single values in all records.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from ...common.gru.kernels import STOCK
from ...common.port.names import LABELS, PHASES
from .grouping import first_twice

#: Names that are known.
Phase = Annotated[str, Meta(pattern=f"^({'|'.join(PHASES)})$")]
Dtype = Annotated[str, Meta(pattern="^(float64|float32|bfloat16|float16)$")]
Precision = Annotated[str, Meta(pattern="^(highest|high|default)$")]
Way = Literal["", "placed", "shard_map"]
Clock = Annotated[str, Meta(pattern="^(blocked|pipelined)$")]
Label = Annotated[str, Meta(pattern=f"^({'|'.join(LABELS)})$")]
Size = Annotated[str, Meta(pattern="^(batch|time|inputs|hidden)$")]

#: Numbers as a measurement gives them: seconds of a sample, numbers from 0, and counts
#: from 1.
SampleSeconds = Annotated[float, Meta(ge=1e-12, le=1e7)]
NotNegative = Annotated[float, Meta(ge=0, le=1e18)]
Natural = Annotated[int, Meta(ge=1, le=2**53)]
#: Runnable processes.
Load = Annotated[float, Meta(ge=0, le=1e6)]

#: The clock that does not lead, by the one that does.
OTHER_CLOCK: dict[Clock, Clock] = {"blocked": "pipelined", "pipelined": "blocked"}


def leading_clock(backend: str) -> Clock:
    """The clock that leads on a platform.

    By the clock "blocked" each call is waited for before the next; by "pipelined" all
    calls of a sample are started before the first is waited for. On an accelerator the
    latter leads: it is the throughput of a training loop, and the other one is latency.
    """
    return "blocked" if backend == "cpu" else "pipelined"


Role = Literal["baseline", "duplicate", "arm"]
#: How the reason begins why an arm has no number whose port differs from the oracle.
NOT_PROVEN = "not proven equal"
#: And why no arm of a group has one without these.
NO_BASELINE = (
    "the baseline or its duplicate has no number, so there is nothing to compare with"
)


def check_date(text: str) -> None:
    """Raise a ValueError unless a text is a date and time as this package writes
    them.
    """
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"datetime is {text[:40]!r}, expected one like 2026-01-31T12:00:00+00:00"
        ) from None


class Sized(Struct, frozen=True, forbid_unknown_fields=True):
    """A workload by name, and those of its sizes that were changed.

    >>> str(Sized("question", {"hidden": 64}))
    'question@hidden=64'
    """

    name: str  # a row of `trigru.bench.arms.workloads.WORKLOADS`
    sizes: dict[Size, Natural] = {}  # "batch", "time", "inputs" or "hidden"

    def __str__(self) -> str:
        """Its name in ids of arms."""
        text = self.name
        for size, value in self.sizes.items():
            text += f"@{size}={value}"
        return text


def _arithmetic(dtype: str, precision: str) -> str:
    """Both in a word, as in "float32@default"; "highest" is left out."""
    return dtype if precision == "highest" else f"{dtype}@{precision}"


class Arm(Struct, frozen=True, forbid_unknown_fields=True):
    """A port in a call style, on a phase of a workload: what is timed.

    Its parameters are float32. Arms are compared where they have workload, phase,
    dtype, precision and division in common.
    """

    workload: Sized  # the sizes and the data
    phase: Phase  # what is computed
    dtype: Dtype  # of the computation
    #: "stock", or the name of the kernel that the group compares with the stock one.
    division: str
    port: str  # by name
    #: The call style; None where the port is not available, and so has no styles.
    style: str | None
    kernel: str  # the arm's own
    #: Ratios are relative to the "baseline". Its "duplicate", the same code compiled
    #: again, shows the noise floor. An "arm" gets a verdict.
    role: Role
    copy: Natural  # 1; 2 for the duplicate
    #: What the style is, whatever its name; see `trigru.common.port.names.LABELS`.
    labels: tuple[Label, ...] = ()
    precision: Precision = "highest"  # JAX's, of matrix products
    devices: Natural = 1  # over how many the batch is spread
    #: How: "placed", where XLA finds out the rest, or by "shard_map"; "" on one device.
    way: Way = ""

    @property
    def arithmetic(self) -> str:
        """Dtype and precision in a word, as in "float32@default"."""
        return _arithmetic(self.dtype, self.precision)

    @property
    def group(self) -> str:
        """The group of arms that this arm is compared with: the same work, divided
        likewise.
        """
        return f"{self.workload}/{self.phase}/{self.arithmetic}/{self.division}"

    @property
    def name(self) -> str:
        """Short, and unique within the group.

        As in "linen[apply]", "pure[jit]#2" or "pure[jit]:fused".
        """
        name = f"{self.port}[{self.style or '?'}]"
        if self.kernel != STOCK:
            name += f":{self.kernel}"
        if self.copy > 1:
            name += f"#{self.copy}"
        if self.devices > 1:
            name += f" on {self.devices}, {self.way}"
        return name

    @property
    def id(self) -> str:
        """Stable and unique. Results of different runs are matched by it."""
        return f"{self.group}/{self.name}"

    @property
    def is_baseline(self) -> bool:
        return self.role == "baseline"


class Untimed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """An arm without a number."""

    arm: Arm  # of the plan
    reason: Annotated[str, Meta(min_length=1)]  # why, in words


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """The arms that a run times, as the user chose them, and how often."""

    #: Sizes and data.
    workloads: Annotated[tuple[Sized, ...], Meta(min_length=1)]
    #: What is computed.
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]
    ports: tuple[str, ...]  # by name
    #: Call styles; None for those of `trigru.bench.arms.arms.expand`.
    styles: tuple[str, ...] | None
    kernels: Annotated[tuple[str, ...], Meta(min_length=1)]  # by name
    #: Fresh interpreters, each of which measures everything.
    processes: Annotated[int, Meta(ge=1, le=1000)]
    #: For each group in each process, fewer if they would take too long; None for as
    #: many as fit a time.
    rounds: Natural | None
    #: A sample on a CPU is as many calls as fill this time, but at most twenty; on an
    #: accelerator, as many as fill the longer of this time and 50 ms, but at least
    #: fifty.
    sample_time_s: SampleSeconds
    dtype: Dtype = "float32"  # of all arms; see `Arm`
    precision: Precision = "highest"  # of all arms; see `Arm`
    #: Over how many each port's batch is spread; 1 is always among them.
    devices: Annotated[tuple[Natural, ...], Meta(min_length=1)] = (1,)

    def __post_init__(self) -> None:
        for name, values in asdict(self).items():
            if isinstance(values, tuple):
                twice = first_twice(map(str, values))
                if twice is not None:
                    raise ValueError(f"{name} of the plan have {twice} twice")
        if 1 not in self.devices:
            raise ValueError(
                "devices of the plan lack 1, which the others are compared with"
            )

    @property
    def arithmetic(self) -> str:
        """Dtype and precision in a word, as in "float32@default"."""
        return _arithmetic(self.dtype, self.precision)

    @property
    def swept(self) -> str | None:
        """The one size in which the workloads differ.

        None where they differ in another way, or not at all.
        """
        first = self.workloads[0]
        varied = set()
        for workload in self.workloads:
            if (workload.name, set(workload.sizes)) != (first.name, set(first.sizes)):
                return None
            for size, value in workload.sizes.items():
                if value != first.sizes[size]:
                    varied.add(size)
        return varied.pop() if len(varied) == 1 else None
