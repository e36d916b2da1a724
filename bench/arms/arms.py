"""From a plan to the arms that are measured, and how an arm is prepared for timing."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from itertools import product
from typing import Any

from ...common.errors import UnavailableError, what_to_install
from ...common.gru.kernels import STOCK
from ...common.port.protocol import (
    DOCUMENTED,
    FUNCTIONAL,
    LEAVES,
    CallStyle,
    Port,
    Program,
)
from ...common.port.styles import labels_of, make_task, styles_called
from ...common.port.task import WAYS, spread_of
from ...impls import get_port, get_style
from ..results.arm import Arm, Plan, Sized
from ..results.build import Build
from .admission import OPTIMIZER, TRAIN_STEPS, Reference, get_reference
from .workloads import get_workload

#: The port and style that ratios are relative to.
BASELINE = ("pure", "jit")
#: With so many processes or fewer, as in a first look, one of them compiles; else two do, since compiling is a part of
#: how processes differ.
FEW_PROCESSES = 4
#: The peers, and the modules beside this one that have them as `PEER`.
PEERS = {"torch": "torch_gru"}


@dataclass(frozen=True)
class Peer:
    """A GRU of another library with a learned initial state, to time beside the ports. It may offer less."""

    name: str
    packages: tuple[str, ...]  # the distributions whose versions can change its results
    call_styles: tuple[
        CallStyle, ...
    ]  # first that of its documentation; build takes (config, canonical params, phase)


@cache
def get_peer(name: str) -> Peer:
    """The peer of that name. Raises an UnavailableError if its library is not installed, or does not import."""
    try:
        return import_module(f".{PEERS[name]}", __package__).PEER
    except Exception as error:  # a broken library must not stop the others
        reason = what_to_install(error) or f"{type(error).__name__}: {error}"
        raise UnavailableError(f"peer {name!r} is not available: {reason}") from error


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
    """All arms of a plan, group by group, each of which begins with the baseline and its duplicate.

    Each kernel has a division, in which a port also has its stock arm. A port that is not available has one arm,
    without a style. A plan without call styles has all of them; of a large workload those of `first_look`; and where a
    kernel is compared with the stock cell, or one device with several, the documented one. Peers have all their styles.
    """
    return [
        arm
        for of in product(plan.workloads, plan.phases, plan.kernels)
        for arm in _group(plan, *of)
    ]


def _group(plan: Plan, workload: Sized, phase: str, division: str) -> Iterator[Arm]:
    styles = plan.styles
    if styles is None and (division != STOCK or len(plan.devices) > 1):
        styles = (DOCUMENTED,)
    elif styles is None and get_workload(workload).few_styles:
        styles = first_look(plan.ports)

    def make(
        port: str,
        style: str | None,
        kernel: str = STOCK,
        role: Any = "arm",
        **more: Any,
    ) -> Arm:
        source = find_source(port)
        labels = labels_of(source, phase) if source else {}
        work, copy = (
            (workload, phase, plan.dtype, division),
            2 if role == "duplicate" else 1,
        )
        return Arm(
            *work,
            port,
            style,
            kernel,
            role,
            copy,
            labels.get(style or "", ()),
            plan.precision,
            **more,
        )

    yield make(*BASELINE, role="baseline")
    yield make(*BASELINE, role="duplicate")
    several = [
        (over, way)
        for over in plan.devices
        if over > 1
        for way in WAYS.get(phase, ("placed",))
    ]
    for name in (*plan.ports, *plan.peers):
        is_port, source = name in plan.ports, find_source(name)
        for style in (
            styles_called(source, styles if is_port else None, phase)
            if source
            else [None]
        ):
            for kernel in dict.fromkeys((STOCK, division if is_port else STOCK)):
                if (name, style, kernel) != (*BASELINE, STOCK):
                    yield make(name, style, kernel)
                for over, way in several if is_port and style else ():
                    yield make(name, style, kernel, devices=over, way=way)


def first_look(ports: Iterable[str]) -> tuple[str, ...]:
    """The call styles of most interest: documented, those that keep state in less time, functional, and leaves."""
    sources = filter(None, map(find_source, ports))
    keeping = (
        style.name
        for source in sources
        for style in source.call_styles
        if style.keeps_updates
    )
    return tuple(dict.fromkeys((DOCUMENTED, *keeping, FUNCTIONAL, LEAVES)))


def packages_of(names: Iterable[str]) -> list[str]:
    """The distributions that can change the results of ports and peers, of those that are available."""
    return [
        package
        for source in filter(None, map(find_source, names))
        for package in source.packages
    ]


def find_source(name: str) -> Port | Peer | None:
    """A port, or a peer, by name; None where it is not available."""
    with suppress(UnavailableError):
        return get_peer(name) if name in PEERS else get_port(name)
    return None


def expected_of(arm: Arm) -> Reference:
    """The answers of the oracle that an arm is compared with.

    Peers may have two biases where the model has one. Then they train like the model for one step only.
    """
    steps = 1 if arm.port in PEERS else TRAIN_STEPS
    return get_reference(
        get_workload(arm.workload), arm.phase, arm.dtype, arm.precision, steps
    )


def prepare(arm: Arm) -> Ready:
    """Build and compile an arm, and compare its first results with the oracle.

    Raises an UnavailableError if the port or the style is not available here, and a NotEqualError.
    """
    source = get_peer(arm.port) if arm.port in PEERS else get_port(arm.port)
    config = get_workload(arm.workload).config(arm.phase, arm.kernel, arm.dtype)
    expected = expected_of(arm)
    start = time.perf_counter()
    style = get_style(source, arm.style or "?")
    if isinstance(source, Peer):
        if arm.dtype != "float32":
            raise UnavailableError(f"{arm.port} is timed in float32 alone.")
        program = style.build(config, expected.params, arm.phase)
    else:
        task, model = (
            make_task(source, config, arm.phase, OPTIMIZER),
            source.load(config, expected.params),
        )
        if arm.devices > 1:
            spread = spread_of(arm.devices, arm.way)
            program = replace(
                style.build(source, spread.model(model), spread.task(task)),
                put=spread.put,
            )
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

    gate = expected.compare(program, call)
    return Ready(arm, program, arguments, gate, first_call_s)
