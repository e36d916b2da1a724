"""Read options as users write them: a plan, or an error that says why not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import lcm

from ...common.equality.checks import CHECKS, Check, get_checks
from ...common.errors import InputError, UnknownNameError
from ...common.gru.kernels import STOCK
from ...common.port.names import LABELS, PHASES
from ...common.port.styles import styles_called
from ...impls import get_port, port_names, unavailable
from ..arms.arms import first_look
from ..arms.workloads import (
    OWN,
    QUICK,
    STANDARD,
    WORKLOADS,
    get_workload,
    parse_devices,
    parse_size,
)
from ..reporting.console import say
from ..reporting.numbers import format_bytes
from ..results.arm import Plan, Sized
from ..timing.machine import memory
from .arguments import Names

#: Fresh processes, each of which measures everything; and those of a first look.
PROCESSES = 10
QUICK_PROCESSES = 4
#: About how long a sample takes, in seconds: see `Plan`.
SAMPLE_TIME_S = 2.5e-3
#: The checks of a phase that is timed, in a first look: one time step is called
#: directly, the others in call styles.
PHASE_CHECKS = {
    "forward": ("styles",),
    "gradient": ("styles",),
    "train_step": ("styles",),
    "step": ("step",),
}
#: A group has about as many arms, and all of them are ready at the same time.
ARMS_AT_ONCE = 11


def make_plan(
    ports: Names,
    workloads: Names,
    phases: Names,
    styles: Names,
    kernels: Names,
    *,
    quick: bool,
    sizes: Names = None,
    devices: str | None = None,
    processes: int | None = None,
    dtype: str = "float32",
    precision: str = "highest",
) -> Plan:
    """A plan from the command line's options.

    An option that was not given is None or False. Raises an InputError or
    UnknownNameError at what no plan can be made of.
    """
    if any("@" in name for name in workloads or ()):
        raise InputError(
            "--workload takes no sizes: --size sets them, as in --workload tiny "
            "--size hidden=8."
        )
    quick = quick or is_quick(sizes)
    choose("port", ports, port_names())
    ports_timed = read_ports(ports)
    kernels_timed = read_kernels(kernels, ports_timed)
    devices_timed = (1,) if devices is None else parse_devices(devices)
    scope = _Scope(
        quick=quick,
        stock=all(kernel == STOCK for kernel in kernels_timed),
        spread=len(devices_timed) > 1,
    )

    workloads_timed = _read_workloads(workloads, sizes, scope)
    for workload in workloads_timed:
        _check(workload, devices_timed)

    possible_phases = list(PHASES)
    if styles:
        _check_styles(styles, ports_timed)
        possible_phases = _phases_of(styles, ports_timed)
    phases_timed = _read_phases(phases, possible_phases, scope)
    absent = [phase for phase in phases_timed if phase not in possible_phases]
    if absent:
        raise InputError(
            f"nothing has the phase {absent[0]} in the call styles "
            f"{', '.join(styles or ())}."
        )

    styles_timed = None
    if styles:
        styles_timed = tuple(dict.fromkeys(styles))
    elif quick and scope.of_frameworks:
        styles_timed = first_look(ports_timed)
    return Plan(
        workloads=workloads_timed,
        phases=phases_timed,
        ports=ports_timed,
        styles=styles_timed,
        kernels=kernels_timed,
        processes=processes or (QUICK_PROCESSES if quick else PROCESSES),
        rounds=None,
        sample_time_s=SAMPLE_TIME_S,
        dtype=dtype,
        precision=precision,
        devices=devices_timed,
    )


@dataclass(frozen=True)
class _Scope:
    """What is compared, on which depends what is usual.

    Attributes:
        quick: a first look.
        stock: frameworks with their own kernel alone.
        spread: a batch over several devices, too.
    """

    quick: bool
    stock: bool
    spread: bool

    @property
    def of_frameworks(self) -> bool:
        """Whether only frameworks are compared, and neither kernels nor devices."""
        return self.stock and not self.spread


def _read_workloads(names: Names, sizes: Names, scope: _Scope) -> tuple[Sized, ...]:
    """The workloads of options, each once; those that are usual if none is named."""
    chosen = []
    for name in names or [OWN]:
        for text in sizes or ():
            chosen.extend(parse_size(text, name))
    if not chosen:
        chosen = [Sized(name) for name in names or _usual_workloads(scope)]
    by_name = {str(workload): workload for workload in chosen}
    return tuple(by_name.values())


def _usual_workloads(scope: _Scope) -> Sequence[str]:
    if scope.spread:
        return "medium", "large"  # whose batch several devices can share
    if scope.quick:
        return QUICK
    if scope.stock:
        return STANDARD
    return [workload.name for workload in WORKLOADS]


def _read_phases(
    names: Names, possible: Sequence[str], scope: _Scope
) -> tuple[str, ...]:
    """The phases of options; those that are usual, and possible, if none is named."""
    if names:
        return choose("phase", names, PHASES)
    usual = _usual_phases(scope)
    return tuple(phase for phase in usual if phase in possible) or usual


def _usual_phases(scope: _Scope) -> tuple[str, ...]:
    # one time step has no loop, and runs the framework's cell with every kernel
    if not scope.of_frameworks:
        return "forward", "train_step"
    # `gradient` is most of `train_step`
    if scope.quick:
        return "train_step", "step"
    return "forward", "train_step", "step"


def _check_styles(styles: Sequence[str], ports: Sequence[str]) -> None:
    """Raise an UnknownNameError at a call style, or label, that no port has."""
    names = set()
    for port in ports:
        if not unavailable(port):
            names.update(style.name for style in get_port(port).call_styles)
    choose(f"call style of {', '.join(ports)}", styles, [*sorted(names), *LABELS])


def _phases_of(styles: Sequence[str], ports: Sequence[str]) -> list[str]:
    """The phases that some port has in one of some call styles."""
    phases = []
    for phase in PHASES:
        if any(_may_have(port, styles, phase) for port in ports):
            phases.append(phase)
    return phases


def _may_have(port: str, styles: Sequence[str], phase: str) -> bool:
    """Whether a port has a phase in one of some call styles; true if it is missing."""
    if unavailable(port):
        return True
    return bool(styles_called(get_port(port), styles, phase))


def is_quick(sizes: Names) -> bool:
    """Whether sizes are answered as with --quick: those of one model.

    Several values of a size are measured in full.
    """
    if not sizes:
        return False
    return all(len(parse_size(text)) == 1 for text in sizes)


def _check(sized: Sized, devices: tuple[int, ...]) -> None:
    """Raise an InputError at a workload that cannot be measured.

    Devices have to share its batch equally, and its arms have to be in memory together.
    """
    workload = get_workload(sized)
    multiple = lcm(*devices)
    for count in devices:
        if workload.batch_size % count:
            next_batch = multiple * -(-workload.batch_size // multiple)
            raise InputError(
                f"{sized} has a batch of {workload.batch_size}, which {count} devices "
                "cannot share equally. Pass another --workload, or --size "
                f"batch={next_batch}."
            )
    needed_bytes = ARMS_AT_ONCE * workload.bytes
    memory_bytes = memory()
    if memory_bytes is not None and needed_bytes > memory_bytes:
        raise InputError(
            f"{sized} needs about {format_bytes(needed_bytes)} of memory for "
            f"{ARMS_AT_ONCE} arms, and this machine has {format_bytes(memory_bytes)}."
        )


def read_ports(names: Names) -> tuple[str, ...]:
    """The ports with these names, or all. A port that is named must be available."""
    for name in names or ():
        get_port(name)
    return tuple(dict.fromkeys(names or port_names()))


def say_missing(names: Iterable[str]) -> dict[str, str]:
    """The ports that are not available, with the reasons, which are also said."""
    missing = {}
    for name in names:
        reason = unavailable(name)
        if reason:
            missing[name] = reason
            say(reason)
    return missing


def read_kernels(names: Names, ports: tuple[str, ...]) -> tuple[str, ...]:
    """The kernels with these names, or the stock one. Some port must offer each."""
    chosen = names or [STOCK]
    available = [get_port(port) for port in ports if not unavailable(port)]
    if not available:  # what they offer is not known
        return tuple(dict.fromkeys(chosen))
    offered = [STOCK]
    for port in available:
        offered.extend(port.kernels)
    return choose(f"kernel of {', '.join(ports)}", chosen, list(dict.fromkeys(offered)))


def read_checks(names: Names) -> tuple[Check, ...]:
    """The checks with these names, or all."""
    if not names:
        return CHECKS
    return get_checks(*dict.fromkeys(names))


def checks_of(plan: Plan) -> tuple[Check, ...]:
    """The checks of the phases that a plan times."""
    names = []
    for phase in plan.phases:
        names.extend(PHASE_CHECKS[phase])
    return get_checks(*dict.fromkeys(names))


def choose(
    kind: str, names: Iterable[str] | None, known: Sequence[str]
) -> tuple[str, ...]:
    """The names, each once, or all that are known.

    Raises an UnknownNameError at any other.
    """
    for name in names or ():
        if name not in known:
            raise UnknownNameError(kind, name, list(known))
    return tuple(dict.fromkeys(names or known))
