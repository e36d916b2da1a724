"""From a plan to the arms that are measured, and how an arm is prepared for timing."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from ...common.errors import UnavailableError
from ...common.gru.kernels import STOCK
from ...common.port.names import DOCUMENTED, FUNCTIONAL, LEAVES
from ...common.port.protocol import Port, Program
from ...common.port.styles import labels_of, make_task, styles_called
from ...common.port.task import WAYS, spread_of
from ...impls import get_port, get_style
from ..results.arm import Arm, Phase, Plan, Role, Sized, Way
from ..results.build import Build
from .admission import OPTIMIZER, Reference, get_reference
from .workloads import get_workload

#: The port and style that ratios are relative to.
BASELINE = ("pure", "jit")
#: With so many processes or fewer, as in a first look, one of them compiles; else two
#: do, since compiling is a part of how processes differ.
FEW_PROCESSES = 4


@dataclass(frozen=True)
class Ready:
    """An arm that is compiled, and whose first results are the oracle's."""

    arm: Arm
    program: Program
    arguments: list[Any]
    gate: float  # largest error of its first results, as a share of what is allowed
    first_call_s: float  # seconds to build the program and to get its first result
    build: Build | None = None  # the parts of that; None where they were not measured

    def call(self) -> Any:
        return self.program.call(*self.arguments)

    def wait(self, outputs: Any) -> Any:
        return self.program.wait(outputs)


def expand(plan: Plan) -> list[Arm]:
    """All arms of a plan, group by group, each of which begins with the baseline and
    its duplicate.

    Each kernel has a division, in which a port also has its stock arm. A port that is
    not available has one arm, without a style. A plan without call styles has all of
    them; of a large workload those of `first_look`; and where a kernel is compared with
    the stock cell, or one device with several, the documented one.
    """
    arms = []
    for workload, phase, division in product(plan.workloads, plan.phases, plan.kernels):
        arms += _group(plan, workload, phase, division)
    return arms


def _group(plan: Plan, workload: Sized, phase: Phase, division: str) -> Iterator[Arm]:
    def make(
        port: str,
        style: str | None,
        *,
        kernel: str = STOCK,
        role: Role = "arm",
        devices: int = 1,
        way: Way = "",
    ) -> Arm:
        source = find_port(port)
        labels = labels_of(source, phase) if source else {}
        return Arm(
            workload=workload,
            phase=phase,
            dtype=plan.dtype,
            division=division,
            port=port,
            style=style,
            kernel=kernel,
            role=role,
            copy=2 if role == "duplicate" else 1,
            labels=labels.get(style or "", ()),
            precision=plan.precision,
            devices=devices,
            way=way,
        )

    yield make(*BASELINE, role="baseline")
    yield make(*BASELINE, role="duplicate")
    wanted = _styles_of(plan, workload, division)
    several_devices = [devices for devices in plan.devices if devices > 1]
    spreads = list(product(several_devices, WAYS.get(phase, ("placed",))))
    for port in plan.ports:
        source = find_port(port)
        styles = styles_called(source, wanted, phase) if source else [None]
        for style in styles:
            for kernel in dict.fromkeys((STOCK, division)):
                if (port, style, kernel) != (*BASELINE, STOCK):
                    yield make(port, style, kernel=kernel)
                if style is None:
                    continue
                for devices, way in spreads:
                    yield make(port, style, kernel=kernel, devices=devices, way=way)


def _styles_of(plan: Plan, workload: Sized, division: str) -> tuple[str, ...] | None:
    """The names or labels of the call styles to time in a division; None for all."""
    if plan.styles is not None:
        return plan.styles
    if division != STOCK or len(plan.devices) > 1:
        return (DOCUMENTED,)
    if get_workload(workload).few_styles:
        return first_look(plan.ports)
    return None


def first_look(ports: Iterable[str]) -> tuple[str, ...]:
    """The call styles of most interest: documented, those that keep state in less time,
    functional, and leaves.
    """
    styles = [DOCUMENTED]
    for source in map(find_port, ports):
        if source is not None:
            styles += [
                style.name for style in source.call_styles if style.keeps_updates
            ]
    return tuple(dict.fromkeys((*styles, FUNCTIONAL, LEAVES)))


def packages_of(ports: Iterable[str]) -> list[str]:
    """The distributions that can change the results of ports, of those available."""
    packages = []
    for source in map(find_port, ports):
        if source is not None:
            packages += source.packages
    return packages


def find_port(name: str) -> Port | None:
    """A port by name; None where it is not available."""
    with suppress(UnavailableError):
        return get_port(name)
    return None


def expected_of(arm: Arm, folder: Path | None = None) -> Reference:
    """The answers of the oracle that an arm is compared with; see `get_reference`."""
    workload = get_workload(arm.workload)
    return get_reference(workload, arm.phase, arm.dtype, arm.precision, folder)


def prepare(arm: Arm, folder: Path | None = None) -> Ready:
    """Build and compile an arm, and compare its first results with the oracle.

    Raises an UnavailableError if the port or the style is not available here, and a
    NotEqualError.

    Args:
        folder: where processes share the oracle's answers; see `get_reference`.
    """
    port = get_port(arm.port)
    config = get_workload(arm.workload).config(arm.kernel, arm.dtype)
    expected = expected_of(arm, folder)

    start_s = time.perf_counter()
    style = get_style(port, arm.style or "?")
    task = make_task(port, arm.phase, OPTIMIZER)
    model = port.load(config, expected.params)
    if arm.devices > 1:
        spread = spread_of(arm.devices, arm.way)
        program = style.build(port, spread.model(model), spread.task(task))
        program = replace(program, put=spread.put)
    else:
        program = style.build(port, model, task)
    arguments = [program.put(array) for array in expected.batch.arguments(arm.phase)]

    ends_s: list[float] = []

    def call() -> Any:
        outputs = program.call(*arguments)
        program.wait(outputs)
        ends_s.append(time.perf_counter())
        return outputs

    gate = expected.compare(program, call)
    return Ready(arm, program, arguments, gate, first_call_s=ends_s[0] - start_s)
