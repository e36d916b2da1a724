"""From a plan to the arms that are measured, and how an arm is prepared for timing.

An arm is one port in one call style, on one phase of one workload: `trigru.bench.results.arm.Arm`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...common.errors import UnavailableError
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL, Port, Program
from ...common.port.spread import WAYS, spread_of
from ...common.port.styles import labels_of, make_task, styles_called
from ...impls import get_port, get_style
from ..results.arm import Arm, Plan, Sized
from .admission import OPTIMIZER, TRAIN_STEPS, Reference, get_reference
from .peers import PEERS, Peer, get_peer
from .workloads import get_workload, workload_of

#: The port and style that ratios are relative to.
BASELINE = ("pure", "jit")
#: With so many processes or fewer, one of them compiles.
FEW_PROCESSES = 4


@dataclass(frozen=True)
class Ready:
    """An arm that is compiled, and whose first results are the oracle's.

    Args:
        gate: largest error of these, as a share of what is allowed.
        first_call_s: seconds to build the program and to get its first result.
    """

    arm: Arm
    program: Program
    arguments: list[Any]
    gate: float
    first_call_s: float

    def call(self) -> Any:
        """Start what the phase computes."""
        return self.program.call(*self.arguments)

    def wait(self, outputs: Any) -> Any:
        """Block until outputs are ready."""
        return self.program.wait(outputs)


def expand(plan: Plan) -> list[Arm]:
    """All arms of a plan, group by group. Each kernel has a division."""
    arithmetic = plan.dtype, plan.precision
    groups = [
        arms
        for workload in plan.workloads
        for phase in plan.phases
        for kernel in plan.kernels
        for arms in [arms_of(workload, phase, plan.ports, plan.styles, [kernel], plan.peers, *arithmetic, plan.devices)]
    ]
    return [arm for arms in groups for arm in arms]


def compiling_processes(processes: int) -> int:
    """How many of a run's processes compile its arms; the others take the programs of the last one that did.

    Compiling is a part of how processes differ, so two do; of a few, as in a first look, one.

    >>> compiling_processes(10), compiling_processes(4)
    (2, 1)
    """
    return 2 if processes > FEW_PROCESSES else 1


def packages_of_plan(plan: Plan) -> list[str]:
    """The distributions whose versions can change what is measured."""
    return [package for name in (*plan.ports, *plan.peers) for package in packages_of(name)]


def arms_of(
    workload: Sized,
    phase: str,
    ports: Sequence[str],
    styles: Sequence[str] | None = None,
    kernels: Sequence[str] = (STOCK,),
    peers: Sequence[str] = (),
    dtype: str = "float32",
    precision: str = "highest",
    devices: Sequence[int] = (1,),
) -> list[Arm]:
    """The arms of one group. The baseline and its duplicate always come first.

    Args:
        ports: names. A port that is not available has one arm, without a style.
        styles: only the ports' call styles with these names or labels. None for all; of a large workload for the
            documented and the functional one, and where a kernel is compared with the stock cell, or one device with
            several, for the documented.
        kernels: of one division, whose name they share. Each port has its stock arm in every division.
        peers: names; all styles of each.
        dtype, precision: of all of them.
        devices: over how many each port's batch is spread, in each way.
    """
    (division,) = set(kernels)
    if styles is None and (division != STOCK or len(devices) > 1):
        styles = (DOCUMENTED,)
    elif styles is None and get_workload(workload).few_styles:
        styles = (DOCUMENTED, FUNCTIONAL)

    def make(
        port: str, style: str | None, kernel: str, role: Any = "arm", copy: int = 1, over: int = 1, way: str = ""
    ) -> Arm:
        labels = labels_by_source[port].get(style or "", ())
        return Arm(
            workload, phase, dtype, division, port, style, kernel, role, copy, labels, precision,
            over, way,
        )  # fmt: skip

    labels_by_source = {name: _labels_of(name, phase) for name in (BASELINE[0], *ports, *peers)}

    own = [STOCK, *(kernel for kernel in kernels if kernel != STOCK)]
    found = [make(*BASELINE, STOCK, "baseline"), make(*BASELINE, STOCK, "duplicate", 2)]
    for name in (*ports, *peers):
        if name in peers:
            known = [None] if unavailable(name) else [style.name for style in get_peer(name).call_styles]
            found += [make(name, style, STOCK) for style in known]
            continue
        asked = [None] if unavailable(name) else styles_called(get_port(name), styles, phase)
        several = [(over, way) for over in devices if over > 1 for way in WAYS.get(phase, ("placed",))]
        found += [
            make(name, style, kernel, over=over, way=way)
            for style in asked
            for kernel in own
            for over, way in [(1, ""), *(several if style else ())]
            if not (kernel == STOCK and (name, style) == BASELINE and over == 1)
        ]
    return found


def _labels_of(name: str, phase: str) -> dict[str, tuple[str, ...]]:
    """What the styles of a port or a peer are called, by name; of a peer, the first is the documented one."""
    if unavailable(name):
        return {}
    source = get_source(name)
    return {source.call_styles[0].name: (DOCUMENTED,)} if isinstance(source, Peer) else labels_of(source, phase)


def get_source(name: str) -> Port | Peer:
    """A port, or a peer, by name."""
    return get_peer(name) if name in PEERS else get_port(name)


def unavailable(name: str) -> str | None:
    """Why a port or a peer cannot be used here, or None."""
    try:
        get_source(name)
    except UnavailableError as error:
        return str(error)
    return None


def packages_of(name: str) -> tuple[str, ...]:
    """The distributions that can change a port's or a peer's results; empty where it is not available."""
    return () if unavailable(name) else get_source(name).packages


def expected_of(arm: Arm) -> Reference:
    """What an arm has to compute, by the oracle.

    Peers may have two biases where the model has one. Then they train like the model for one step only.
    """
    steps = 1 if arm.port in PEERS else TRAIN_STEPS
    return get_reference(workload_of(arm), arm.phase, arm.dtype, arm.precision, steps)


def prepare(arm: Arm) -> Ready:
    """Build and compile an arm, and compare its first results with the oracle.

    Raises:
        UnavailableError: the port or the style is not available here.
        NotEqualError: the results are not those of the oracle.
    """
    source = get_source(arm.port)
    config = workload_of(arm).config(arm.phase, arm.kernel, arm.dtype)
    expected = expected_of(arm)
    start = time.perf_counter()
    style = get_style(source, arm.style or "?")
    if isinstance(source, Peer):
        if arm.dtype != "float32":
            raise UnavailableError(f"{arm.port} is timed in float32 alone.")
        program = style.build(config, expected.params, arm.phase)
    else:
        task, model = make_task(source, config, arm.phase, OPTIMIZER), source.load(config, expected.params)
        if arm.devices > 1:
            spread = spread_of(arm.devices, arm.way)
            program = replace(style.build(source, spread.model(model), spread.task(task)), put=spread.put)
        else:
            program = style.build(source, model, task)
    arguments = [program.put(array) for array in expected.batch.arguments(arm.phase)]
    first_call_s = 0.0

    def call() -> Any:
        nonlocal first_call_s
        outputs = program.call(*arguments)
        program.wait(outputs)
        first_call_s = first_call_s or time.perf_counter() - start
        return outputs

    gate = expected.hold(program, call)
    return Ready(arm, program, arguments, gate, first_call_s)
