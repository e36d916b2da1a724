"""The plan of a run, and its arms. Before them, the types of single values in all records."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from ...common.gru.kernels import STOCK
from .grouping import first_twice

#: Names that are known.
Phase = Annotated[str, Meta(pattern="^(forward|gradient|train_step|step)$")]
Dtype = Annotated[str, Meta(pattern="^(float64|float32|bfloat16|float16)$")]
Precision = Annotated[str, Meta(pattern="^(highest|high|default)$")]
Way = Literal["", "placed", "shard_map"]
Clock = Annotated[str, Meta(pattern="^(blocked|pipelined)$")]
Label = Annotated[str, Meta(pattern="^(documented|functional|leaves|donated)$")]
Size = Annotated[str, Meta(pattern="^(batch|time|inputs|hidden)$")]

#: Numbers as a measurement gives them: seconds of a sample, numbers from 0, and counts from 1.
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
    """Raise a ValueError unless a text is a date and time as this package writes them."""
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
        return self.name + "".join(
            f"@{size}={value}" for size, value in self.sizes.items()
        )


def _arithmetic(of: "Arm | Plan") -> str:
    """Dtype and precision in a word, as in "float32@default"; "highest" is left out."""
    return of.dtype if of.precision == "highest" else f"{of.dtype}@{of.precision}"


class Arm(Struct, frozen=True, forbid_unknown_fields=True):
    """A port in a call style, on a phase of a workload, which is timed. Parameters are float32.

    Arms are compared where they have workload, phase, dtype, precision and division in common.
    """

    workload: Sized  # the sizes and the data
    phase: Phase  # what is computed
    dtype: Dtype  # of the computation
    division: str  # "stock", or the name of the kernel that the group compares with the stock one
    port: str  # by name
    style: (
        str | None
    )  # the call style; None where the port is not available, so that its styles are not known
    kernel: str  # the arm's own
    #: Ratios are relative to the "baseline". Its "duplicate", the same code compiled again, shows the noise floor. An
    #: "arm" gets a verdict.
    role: Role
    copy: Natural  # 1; 2 for the duplicate
    labels: tuple[
        Label, ...
    ] = ()  # of `trigru.common.port.protocol.LABELS`: what the style is, whatever its name
    precision: Precision = "highest"  # JAX's, of matrix products
    devices: Natural = 1  # over how many the batch is spread
    way: Way = ""  # in which it is: "placed", where XLA finds out the rest, or by "shard_map"; "" on one device

    arithmetic = property(_arithmetic)

    @property
    def group(self) -> str:
        """The group of arms that this arm may be compared with: the same work, in the same division."""
        return f"{self.workload}/{self.phase}/{self.arithmetic}/{self.division}"

    @property
    def name(self) -> str:
        """Short, and unique within the group: "linen[apply]", "pure[jit]#2" or "pure[jit]:fused"."""
        kernel = "" if self.kernel == STOCK else f":{self.kernel}"
        copy = f"#{self.copy}" if self.copy > 1 else ""
        spread = f" on {self.devices}, {self.way}" if self.devices > 1 else ""
        return f"{self.port}[{self.style or '?'}]{kernel}{copy}{spread}"

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

    workloads: Annotated[tuple[Sized, ...], Meta(min_length=1)]  # by name
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]  # by name
    ports: tuple[str, ...]  # by name
    styles: (
        tuple[str, ...] | None
    )  # call styles; None for those of `trigru.bench.arms.arms.expand`
    kernels: Annotated[tuple[str, ...], Meta(min_length=1)]  # by name
    processes: Annotated[
        int, Meta(ge=1, le=1000)
    ]  # fresh interpreters, each of which measures everything
    #: For each group in each process, fewer if they would take too long; None for as many as fit a time.
    rounds: Natural | None
    #: A sample on a CPU is as many calls as fill this time, but at most twenty; on an accelerator, as many as fill the
    #: longer of this time and 50 ms, but at least fifty.
    sample_time_s: SampleSeconds
    dtype: Dtype = "float32"  # of all arms; see `Arm`
    precision: Precision = "highest"  # of all arms; see `Arm`
    #: Over how many each port's batch is spread; 1 is always among them.
    devices: Annotated[tuple[Natural, ...], Meta(min_length=1)] = (1,)

    arithmetic = property(_arithmetic)

    def __post_init__(self) -> None:
        for name, values in asdict(self).items():
            if isinstance(values, tuple) and (twice := first_twice(map(str, values))):
                raise ValueError(f"{name} of the plan have {twice} twice")
        if 1 not in self.devices:
            raise ValueError(
                "devices of the plan lack 1, which the others are compared with"
            )

    @property
    def swept(self) -> str | None:
        """The one size in which the workloads differ; None where they differ in another way."""
        if len({(w.name, frozenset(w.sizes)) for w in self.workloads}) > 1:
            return None
        varied = [
            size
            for size in self.workloads[0].sizes
            if len({w.sizes[size] for w in self.workloads}) > 1
        ]
        return varied[0] if len(varied) == 1 else None
