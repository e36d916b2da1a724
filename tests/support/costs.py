"""What everything costs on the virtual machine, and what its programs are made of: numbers that tell arms apart."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Of each port and peer in each call style: dispatch in ns beside its leaves', device time as a share, leaves.
STYLES = {
    ("pure", "jit"): (124_000, 1.00, 6),
    ("linen", "apply"): (208_000, 1.31, 11),
    ("nnx", "jit"): (692_000, 1.00, 8),
    ("nnx", "split"): (236_000, 1.00, 7),
    ("equinox", "filter_jit"): (332_000, 0.93, 9),
    ("equinox", "partition"): (136_000, 0.91, 10),
    ("torch", "compiled"): (164_000, 1.47, 12),
}
#: The styles that pass the parameters as one pytree; a port's first style is the documented one.
FUNCTIONAL = ("jit", "apply", "split", "partition")
#: Device time as a share.
PHASES = {"forward": 1.0, "gradient": 2.3, "train_step": 2.9, "step": 1.0}
KERNELS = {"stock": 1.0, "fused": 0.61}
#: Device time of each process as a share; the best is not the first.
PROCESSES = (1.04, 1.00, 1.02)
LEAF_NS = 3_600
#: Extra device time of the first calls of a program.
COLD_NS, COLD_CALLS = 1_000_000, 3
INIT_NS = 7_000_000
GEMM_GFLOP_PER_S, COPY_GBYTE_PER_S = 37.0, 3.1
LIMIT_DISPATCH_NS = 5_000


def labels_of(port: str, style: str) -> tuple[str, ...]:
    """Of a port's style, beside that of its first."""
    return ("functional",) * (style in FUNCTIONAL and (port, style) != ("nnx", "jit"))


class Called(NamedTuple):
    """What is called: a phase in one port, style and kernel, on arrays of these sizes; copies of one are told apart."""

    sizes: tuple[int, int, int, int]  # B, T, D, H; one time step has a T of 1
    phase: str
    port: str
    style: str
    kernel: str = "stock"
    copy: int = 1

    @property
    def name(self) -> str:
        """As in tables."""
        return f"{self.port}[{self.style}]" + (f":{self.kernel}" if self.kernel != "stock" else "")

    @property
    def leaves(self) -> int:
        """With Adam's two moments of each parameter, and its count."""
        n = STYLES[self.port, self.style][2]
        return 3 * n + 1 if self.phase == "train_step" else n

    @property
    def build_ns(self) -> tuple[int, int, int]:
        """Of tracing, lowering and compiling."""
        number = 10 * list(STYLES).index((self.port, self.style)) + 3 * list(PHASES).index(self.phase)
        number += len(self.kernel) + self.sizes[0]
        return 11_000_000 + 310_000 * number, 3_000_000 + 41_000 * number, 101_000_000 + 1_700_000 * number

    @property
    def counts(self) -> dict[str, int]:
        """Operations of the program: linen's is its own, as is that of another kernel; the others share one."""
        kind = (self.port == "linen") + 2 * (self.kernel != "stock") + 4 * (self.phase == "train_step")
        return {"dot": 2 + kind, "while": 12 + kind, "fusion": 31 + 2 * kind, "transpose": 61 + 3 * kind}

    @property
    def temp_bytes(self) -> int:
        """Of the program."""
        B, T, _, H = self.sizes
        share = PHASES[self.phase] * KERNELS[self.kernel] * STYLES[self.port, self.style][1]
        return 5000 + round(4 * B * T * H * share + 300 * self.leaves)


class Cost(NamedTuple):
    """Of a call, in ns."""

    dispatch: int
    device: int


def hlo_of(counts: dict[str, int]) -> str:
    """The text of a program with so many operations of each name."""
    body = "".join(f"  %{name}.{n} = f32[3]{{0}} {name}(%p)\n" for name, count in counts.items() for n in range(count))
    return f"ENTRY %main (p: f32[3]) -> f32[3] {{\n  %p = f32[3]{{0}} parameter(0)\n{body}}}\n"


def copies_of(arms: list[Any]) -> dict[str, int]:
    """Which copy of the baseline an arm is, by its id, in the order in which its group has them; 0 is none."""
    found: dict[str, int] = {}
    for arm in arms:
        is_copy = (arm.port, str(arm.kernel)) == ("pure", "stock")
        before = sum(1 for id in found if found[id] and id.startswith(f"{arm.group}/"))
        found[arm.id] = 1 + before if is_copy else 0
    return found


@dataclass
class Costs:
    """What a machine makes of the numbers above.

    Args:
        whole, device: by how much all is slower, or what the device does alone.
        slower: by how much an arm is slower, by its name.
        copies: the same for the baseline's copies, in the order in which a group has them.
    """

    whole: float = 1.0
    device: float = 1.0
    slower: dict[str, float] = field(default_factory=dict)
    copies: tuple[float, ...] = (1.0, 1.03)

    def cost(self, called: Called, process: int) -> Cost:
        """What a call costs that is not the program's first."""
        B, T, D, H = called.sizes
        dispatch, device, _ = STYLES[called.port, called.style]
        kernel = KERNELS[called.kernel] ** (1 + list(STYLES).index((called.port, called.style)) / 10)
        work = 20_000 + 40 * B * T * (D + 2 * H) + 700 * B + 300 * T + 110 * D + 50 * H
        slower = self.whole * self.slower.get(called.name, 1.0) * self.copies[called.copy - 1]
        device *= work * PHASES[called.phase] * kernel * self.device * PROCESSES[process]
        return Cost(round((dispatch + LEAF_NS * called.leaves) * slower), round(device * slower))

    def limits(self, process: int) -> tuple[float, float]:
        """GFLOP/s of a product of 1024 rows, GB/s of a copy of 256 MiB: what the fastest call makes of them."""
        slower = self.device * PROCESSES[process]
        flops, moved = 2 * 1024**3, 2 * 256 * 2**20
        gemm_ns, copy_ns = flops / GEMM_GFLOP_PER_S * slower, moved / COPY_GBYTE_PER_S * slower
        return flops / (gemm_ns + LIMIT_DISPATCH_NS), moved / (copy_ns + LIMIT_DISPATCH_NS)
