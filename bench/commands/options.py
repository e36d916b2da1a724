"""Read the options that users write: they become a plan, or an error that says what was expected."""

from collections.abc import Iterable, Sequence
from math import lcm

from ...common.equality.checks import Check, get_checks
from ...common.errors import InputError, UnknownNameError
from ...common.gru.kernels import STOCK
from ...common.port.protocol import LABELS
from ...common.port.styles import styles_called
from ...common.port.task import PHASES
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

PROCESSES, QUICK_PROCESSES, SAMPLE_TIME_S = (
    10,
    4,
    2.5e-3,
)  # fresh processes; of a sample, see `Plan`
#: The checks of a phase that is timed, in a first look: one time step is called directly,
#: the others in call styles.
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
    """A plan from the command line's options. An option that was not given is None or False."""
    if any("@" in name for name in workloads or ()):
        raise InputError(
            "--workload takes no sizes: --size sets them, as in --workload tiny --size hidden=8."
        )
    own = [
        sized
        for of in workloads or [OWN]
        for text in sizes or ()
        for sized in parse_size(text, of)
    ]
    quick = quick or is_quick(sizes)
    choose("port", ports, port_names())
    names = read_ports(ports)
    timed = read_kernels(kernels, names)
    over = (1,) if devices is None else parse_devices(devices)
    is_stock, spread = all(kernel == STOCK for kernel in timed), len(over) > 1
    usual = STANDARD if is_stock else tuple(workload.name for workload in WORKLOADS)
    usual = (
        ("medium", "large") if spread else QUICK if quick else usual
    )  # whose batch several devices can share
    chosen = {
        str(sized): sized
        for sized in own or [Sized(name) for name in workloads or usual]
    }
    for workload in chosen.values():
        _check(workload, over)
    # `gradient` is most of `train_step`; one time step has no loop, and runs the framework's cell with every kernel
    usual_phases = (
        ("train_step", "step") if quick else ("forward", "train_step", "step")
    )
    usual_phases = (
        usual_phases if is_stock and not spread else ("forward", "train_step")
    )
    possible = list(PHASES)
    if styles:
        known = {
            style.name
            for port in names
            if not unavailable(port)
            for style in get_port(port).call_styles
        }
        choose(f"call style of {', '.join(names)}", styles, [*sorted(known), *LABELS])
        # a port that is not available may have the phase
        possible = [
            p
            for p in PHASES
            if any(
                unavailable(n) or styles_called(get_port(n), styles, p) for n in names
            )
        ]
        usual_phases = (
            tuple(phase for phase in usual_phases if phase in possible) or usual_phases
        )
    chosen_phases = choose("phase", phases or usual_phases, PHASES)
    if absent := [phase for phase in chosen_phases if phase not in possible]:
        raise InputError(
            f"nothing has the phase {absent[0]} in the call styles {', '.join(styles or ())}."
        )
    few = first_look(names) if quick and is_stock and not spread else None
    return Plan(
        workloads=tuple(chosen.values()),
        phases=chosen_phases,
        ports=names,
        styles=tuple(dict.fromkeys(styles)) if styles else few,
        kernels=timed,
        processes=processes or (QUICK_PROCESSES if quick else PROCESSES),
        rounds=None,
        sample_time_s=SAMPLE_TIME_S,
        dtype=dtype,
        precision=precision,
        devices=over,
    )


def is_quick(sizes: Names) -> bool:
    """Whether sizes are answered as with --quick: those of one model. Several values of a size are measured in full."""
    return bool(sizes) and all(len(parse_size(text)) == 1 for text in sizes or ())


def _check(sized: Sized, devices: tuple[int, ...]) -> None:
    """Raise an InputError if devices cannot have equal parts of a workload's batch, or its arms not be in memory."""
    workload, whole = get_workload(sized), lcm(*devices)
    for over in devices:
        if workload.batch_size % over:
            raise InputError(
                f"{sized} has a batch of {workload.batch_size}, which {over} devices cannot share equally. Pass "
                f"another --workload, or --size batch={whole * -(-workload.batch_size // whole)}."
            )
    needed, there = ARMS_AT_ONCE * workload.bytes, memory()
    if there is not None and needed > there:
        raise InputError(
            f"{sized} needs about {format_bytes(needed)} of memory for {ARMS_AT_ONCE} arms, and this machine has "
            f"{format_bytes(there)}."
        )


def read_ports(names: Names) -> tuple[str, ...]:
    """The ports with these names, or all. A port that is named must be available."""
    for name in names or ():
        get_port(name)
    return tuple(dict.fromkeys(names or port_names()))


def say_missing(names: Iterable[str]) -> dict[str, str]:
    """The ports that are not available, with the reasons, which are also said."""
    missing = {name: reason for name in names if (reason := unavailable(name))}
    for reason in missing.values():
        say(reason)
    return missing


def read_kernels(names: Names, ports: tuple[str, ...]) -> tuple[str, ...]:
    """The kernels with these names, or the stock one. Some port must offer each of them."""
    present = [get_port(port) for port in ports if not unavailable(port)]
    offered = dict.fromkeys(
        [STOCK, *(kernel for port in present for kernel in port.kernels)]
    )
    return choose(
        f"kernel of {', '.join(ports)}",
        names or [STOCK],
        list(offered) if present else names or [STOCK],
    )


def read_checks(names: Names) -> tuple[Check, ...] | None:
    """The checks with these names; None means all."""
    return get_checks(*dict.fromkeys(names)) if names else None


def checks_of(plan: Plan) -> tuple[Check, ...]:
    """The checks of what a plan times: of its phases."""
    names = [name for phase in plan.phases for name in PHASE_CHECKS[phase]]
    return get_checks(*dict.fromkeys(names))


def choose(
    kind: str, names: Iterable[str] | None, known: Sequence[str]
) -> tuple[str, ...]:
    """The names, each once, or all that are known. Raises an UnknownNameError at any other."""
    for name in names or ():
        if name not in known:
            raise UnknownNameError(kind, name, list(known))
    return tuple(dict.fromkeys(names or known))
