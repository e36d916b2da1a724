"""The plan of a run, and its arms. Before them, the types of single values in all records."""

from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import asdict

from ...common.gru.kernels import STOCK
from .lines import first_twice

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

Role = Literal["baseline", "duplicate", "arm"]
#: How the reason begins why an arm has no number whose port differs from the oracle.
NOT_PROVEN = "not proven equal"
#: And why no arm of a group has one without these.
NO_BASELINE = "the baseline or its duplicate has no number, so there is nothing to compare with"


class Sized(Struct, frozen=True, forbid_unknown_fields=True):
    """A workload by name, and those of its sizes that were changed.

    Args:
        name: a row of `trigru.bench.arms.workloads.WORKLOADS`.
        sizes: "batch", "time", "inputs" or "hidden".

    >>> str(Sized("question", {"hidden": 64}))
    'question@hidden=64'
    """

    name: str
    sizes: dict[Size, Natural] = {}

    def __str__(self) -> str:
        """The text that users write."""
        return self.name + "".join(f"@{size}={value}" for size, value in self.sizes.items())


def _arithmetic(of: "Arm | Plan") -> str:
    """Dtype and precision in a word, as in "float32@default"; "highest" is left out."""
    return of.dtype if of.precision == "highest" else f"{of.dtype}@{of.precision}"


class Arm(Struct, frozen=True, forbid_unknown_fields=True):
    """A port in a call style, on a phase of a workload, which is timed.

    Args:
        workload, phase, dtype, precision: the work. Arms are compared where they have these and the division in common.
            dtype is that of the computation, and precision JAX's of matrix products. Parameters are float32.
        division: "stock", or the name of the kernel that the group compares with the stock one.
        port: its name, or a peer's.
        style: the call style; None where the port is not available, so that its styles are not known.
        kernel: the arm's own.
        role: ratios are relative to the "baseline". Its "duplicate", the same code compiled again, shows the noise
            floor. An "arm" gets a verdict.
        copy: 1; 2 for the duplicate.
        devices: over how many the batch is spread.
        way: in which it is: "placed", where XLA finds out the rest, or by "shard_map"; "" on one device.
        labels: what the call style is, whatever its port calls it: of `trigru.common.port.protocol.LABELS`.
    """

    workload: Sized
    phase: Phase
    dtype: Dtype
    division: str
    port: str
    style: str | None
    kernel: str
    role: Role
    copy: Natural
    labels: tuple[Label, ...] = ()
    precision: Precision = "highest"
    devices: Natural = 1
    way: Way = ""

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
        """Whether ratios of the group are relative to this arm."""
        return self.role == "baseline"


class Untimed(Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """An arm without a number.

    Args:
        reason: why, in words.
    """

    arm: Arm
    reason: Annotated[str, Meta(min_length=1)]


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """The arms that a run times, as the user chose them, and how often.

    Args:
        workloads, phases, ports, peers, kernels: by name.
        styles: call styles; None for those of `trigru.bench.arms.arms.expand`.
        processes: fresh interpreters, each of which measures everything.
        rounds: for each group in each process, fewer if they would take too long; None for as many as fit a time.
        sample_time_s: a sample on a CPU is as many calls as fill this time, but at most twenty; on an accelerator, as
            many as fill the longer of this time and 50 ms, but at least fifty.
        dtype, precision: of all arms; see `Arm`.
        devices: over how many each port's batch is spread; 1 is always among them.
    """

    workloads: Annotated[tuple[Sized, ...], Meta(min_length=1)]
    phases: Annotated[tuple[Phase, ...], Meta(min_length=1)]
    ports: tuple[str, ...]
    peers: tuple[str, ...]
    styles: tuple[str, ...] | None
    kernels: Annotated[tuple[str, ...], Meta(min_length=1)]
    processes: Annotated[int, Meta(ge=1, le=1000)]
    rounds: Natural | None
    sample_time_s: SampleSeconds
    dtype: Dtype = "float32"
    precision: Precision = "highest"
    devices: Annotated[tuple[Natural, ...], Meta(min_length=1)] = (1,)

    arithmetic = property(_arithmetic)

    def __post_init__(self) -> None:
        for name, values in (asdict(self) | {"ports": (*self.ports, *self.peers)}).items():
            if isinstance(values, tuple) and (twice := first_twice(map(str, values))):
                raise ValueError(f"{name} of the plan have {twice} twice")
        if 1 not in self.devices:
            raise ValueError("devices of the plan lack 1, which the others are compared with")

    @property
    def swept(self) -> str | None:
        """The one size in which the workloads differ; None where they differ in another way."""
        if len({(w.name, frozenset(w.sizes)) for w in self.workloads}) > 1:
            return None
        varied = [size for size in self.workloads[0].sizes if len({w.sizes[size] for w in self.workloads}) > 1]
        return varied[0] if len(varied) == 1 else None
