"""An arm: one port in one call style, on one phase of one workload; and how it is made ready for the clock."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...common.errors import UnavailableError
from ...common.gru.kernels import STOCK
from ...common.port.protocol import Port, Program
from ...common.port.styles import make_task
from ...impls import get_port, get_style
from .admission import OPTIMIZER, TRAIN_STEPS, Reference, reference
from .peers import PEERS, Peer, get_peer
from .workloads import get_workload

__all__ = [
    "BASELINE",
    "Arm",
    "Ready",
    "arms_of",
    "calibration_arms",
    "divisions_of",
    "expected_of",
    "packages_of",
    "prepare",
]

#: The port and style that ratios are relative to.
BASELINE = ("pure", "jit")
#: Of a calibration: copies of the baseline in a group, and by how much the others are slowed.
COPIES = 9
SLOWED = (0.03, 0.05)


@dataclass(frozen=True)
class Arm:
    """What is timed, by name.

    Args:
        kernel: the arm's own; with choices in it, as in "fused@save=none".
        copy: 1; 2 for the duplicate of the baseline, whose ratio shows the noise floor; more while calibrating.
        slowed: the share by which the arm is made to take longer, while calibrating.
        trial: the number of a calibration's group, from 1.
        division: "stock", or the kernel that the group sets against each framework's own cell.
    """

    workload: str
    phase: str
    port: str
    style: str
    kernel: str = STOCK
    dtype: str = "float32"
    copy: int = 1
    slowed: float = 0.0
    trial: int = 0
    division: str = STOCK

    @property
    def group(self) -> str:
        """What an arm may be compared within: the same work, in the same division.

        >>> Arm("tiny", "forward", "pure", "jit").group
        'tiny/forward/float32/stock'
        """
        trial = f"~{self.trial}" if self.trial else ""
        return f"{self.workload}{trial}/{self.phase}/{self.dtype}/{self.division}"

    @property
    def name(self) -> str:
        """Short, unique within the group.

        >>> Arm("tiny", "forward", "pure", "jit", copy=2).name
        'pure[jit]#2'
        >>> Arm("tiny", "forward", "pure", "jit", slowed=0.05).name
        'pure[jit]+5%'
        >>> Arm("tiny", "forward", "pure", "jit", "fused@save=none", division="fused").name
        'pure[jit]:fused@save=none'
        """
        kernel = f":{self.kernel}" if self.kernel != STOCK else ""
        copy = f"#{self.copy}" if self.copy > 1 else ""
        return f"{self.port}[{self.style}]{kernel}{copy}" + (f"+{self.slowed:.0%}" if self.slowed else "")

    @property
    def id(self) -> str:
        """Stable and unique: results of different runs are matched by it."""
        return f"{self.group}/{self.name}"

    @property
    def differs(self) -> str | None:
        """How its equations differ from the oracle's, so that it is not held to it; None where they do not."""
        source = _find(self.port)
        return source.differs if isinstance(source, Peer) else None

    @property
    def is_baseline(self) -> bool:
        """Whether ratios of the group are relative to this arm."""
        return (self.port, self.style, self.kernel) == (*BASELINE, STOCK) and self.copy == 1 and not self.slowed


@dataclass(frozen=True)
class Ready:
    """An arm that is compiled, and proven equal where its equations are the oracle's.

    Args:
        program: what is called.
        arguments: with what.
        gate: largest error of its first results, as a share of what is allowed; None where not held to the oracle.
        first_call_s: of building the program and its first result.
    """

    arm: Arm
    program: Program
    arguments: list[Any]
    gate: float | None
    first_call_s: float

    @property
    def slowed(self) -> float:
        """The share by which the clock is made to see it slower."""
        return self.arm.slowed

    def call(self) -> Any:
        """Start what the phase computes."""
        return self.program.call(*self.arguments)

    def wait(self, outputs: Any) -> Any:
        """Block until outputs are ready."""
        return self.program.wait(outputs)


def arms_of(
    workload: str,
    phase: str,
    ports: Sequence[str],
    styles: Sequence[str] | None = None,
    kernels: Sequence[str] = (STOCK,),
    peers: Sequence[str] = (),
) -> list[Arm]:
    """The arms of one group, the baseline and its duplicate first whatever else is asked for.

    Args:
        ports: names; one that is not available is left to `prepare` to refuse, with the reason.
        styles: only these call styles of the ports; None for all, or for the first where the workload is large or
            another kernel is set against the stock one.
        kernels: of one division; each port has its stock arm in any.
        peers: names; all styles of each.
    """
    (division,) = divisions_of(kernels)
    make = partial(Arm, workload, phase, division=division)
    found = [make(*BASELINE), make(*BASELINE, copy=2)]
    first = styles is None and (division != STOCK or get_workload(workload).first_style)
    for name in (*ports, *peers):
        try:
            names = [style.name for style in _find(name).call_styles]
        except UnavailableError:
            names = ["?"]
        found += [
            make(name, style, kernel)
            for style in (names[:1] if first and name not in peers else names)
            if styles is None or style in styles or style == "?" or name in peers
            for kernel in ((STOCK,) if name in peers else dict.fromkeys((STOCK, *kernels)))
            if (name, style, kernel) != (*BASELINE, STOCK)
        ]
    return found


def divisions_of(kernels: Sequence[str]) -> dict[str, list[str]]:
    """Kernels by the division that they are timed in, which all choices of one kernel share.

    >>> divisions_of(["stock", "fused", "fused@save=none"])
    {'stock': ['stock'], 'fused': ['fused', 'fused@save=none']}
    """
    found: dict[str, list[str]] = {}
    for kernel in dict.fromkeys(kernels):
        found.setdefault(kernel.partition("@")[0], []).append(kernel)
    return found


def calibration_arms(workload: str, phase: str, trial: int) -> list[Arm]:
    """Copies of the baseline, which should be called alike, and copies that are slowed, which should not."""
    make = partial(Arm, workload, phase, *BASELINE, trial=trial)
    return [make(copy=copy + 1) for copy in range(COPIES)] + [make(slowed=slowed) for slowed in SLOWED]


def packages_of(name: str) -> tuple[str, ...]:
    """The distributions that can change a port's or a peer's results; none where it is not to be had."""
    try:
        return _find(name).packages
    except UnavailableError:
        return ()


def expected_of(arm: Arm) -> Reference:
    """What the oracle says that an arm computes.

    Peers may keep two biases where the model has one, and train alike for one step only.
    """
    return reference(arm.workload, arm.phase, arm.dtype, 1 if arm.port in PEERS else TRAIN_STEPS)


def prepare(arm: Arm) -> Ready:
    """Build and compile an arm, and hold its first results to the oracle.

    Raises:
        UnavailableError: the port or the style is not to be had here.
        NotEqualError: the results are not those of the oracle.
    """
    source = _find(arm.port)
    config = get_workload(arm.workload).config(arm.phase, arm.kernel, arm.dtype)
    expected = expected_of(arm)
    start = time.perf_counter()
    if isinstance(source, Peer):
        style = next(style for style in source.call_styles if style.name == arm.style)
        if missing := style.missing():
            raise UnavailableError(f"{arm.name} is not available: {missing}.")
        program, differs = style.build(config, expected.params, arm.phase), source.differs
    else:
        style = get_style(source, arm.style)
        task = make_task(source, config, arm.phase, OPTIMIZER)
        program, differs = style.build(source, source.load(config, expected.params), task), None
    arguments = [program.put(array) for array in expected.batch.arguments(arm.phase)]
    first_call_s = 0.0

    def call() -> Any:
        nonlocal first_call_s
        outputs = program.call(*arguments)
        program.wait(outputs)
        first_call_s = first_call_s or time.perf_counter() - start
        return outputs

    if differs is None:
        gate = expected.hold(program, call)
    else:
        call()
        gate = None
    return Ready(arm, program, arguments, gate, first_call_s)


def _find(name: str) -> Port | Peer:
    if name in PEERS:
        return get_peer(name)
    return get_port(name)
