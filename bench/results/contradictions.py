"""What cannot be true of one run together. Each function raises a ValueError that names what contradicts what."""

from collections.abc import Iterable, Sequence
from collections.abc import Sized as HasLength
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...common.gru.kernels import STOCK
from .grouping import grouped
from .lines import first_twice

if TYPE_CHECKING:
    from .arm import Arm, Plan
    from .run import Begun, GroupTimed, Line, Machine, Timed

_COPY = {"baseline": 1, "duplicate": 2, "arm": 1}


def check_lengths(length: int, **lists: HasLength) -> None:
    """Raise a ValueError if one of the lists has another length."""
    for name, found in lists.items():
        if len(found) != length:
            raise ValueError(f"{name} has {len(found)} items, expected {length}")


def check_date(text: str) -> None:
    """Raise a ValueError unless a text is a date and time as this package writes them."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"datetime is {text[:40]!r}, expected one like 2026-01-31T12:00:00+00:00") from None


def check_plan(plan: "Plan") -> None:
    """Raise a ValueError if a plan asks for something twice."""
    asked = {
        "workloads": map(str, plan.workloads),
        "phases": plan.phases,
        "ports": (*plan.ports, *plan.peers),
        "styles": plan.styles or (),
        "kernels": plan.kernels,
        "devices": map(str, plan.devices),
    }
    for name, values in asked.items():
        if twice := first_twice(values):
            raise ValueError(f"{name} of the plan have {twice} twice")
    if 1 not in plan.devices:
        raise ValueError("devices of the plan lack 1, which the others are compared with")


def check_arm(arm: "Arm") -> None:
    """Raise a ValueError if an arm's role does not fit its other facts."""
    if arm.division != STOCK and arm.kernel not in (STOCK, arm.division):
        raise ValueError(f"the kernel {arm.kernel} is in the division {arm.division}")
    if (arm.devices == 1) != (not arm.way):
        raise ValueError(f"{arm.name} is spread {arm.way or 'in no way'} over {arm.devices} devices")
    if (
        arm.copy != _COPY[arm.role]
        or (arm.role in ("baseline", "duplicate") and arm.style is None)
        or (arm.role != "arm" and arm.devices > 1)
    ):
        raise ValueError(f"{arm.name} cannot be the {arm.role} of its group")


def check_timed(timed: "Timed") -> None:
    """Raise a ValueError if the samples of an arm do not fit each other."""
    check_lengths(len(timed.time_s), position=timed.position, started_s=timed.started_s)
    if timed.gate is not None and timed.differs is not None:
        raise ValueError("gate is there, and so is differs")


def check_group(line: "GroupTimed") -> None:
    """Raise a ValueError if a group has an arm twice, or not as many rounds of each."""
    if twice := first_twice(t.arm for t in line.timed):
        raise ValueError(f"{twice} is there twice")
    for t in line.timed:
        check_lengths(len(line.timed[0].time_s), **{f"time_s of {t.arm}": t.time_s})


def check_run(lines: "Sequence[Line]") -> None:
    """Raise a ValueError if records cannot be those of one run."""
    from .arm import Untimed
    from .run import Begun, Ended, GroupTimed, Started

    begun, *others = lines or [None]
    if not isinstance(begun, Begun):
        raise ValueError("it has no beginning")
    groups = grouped(begun.arms, lambda arm: arm.group)
    arms, without = {arm.id: arm for arm in begun.arms}, {u.arm.id for u in begun.untimed}
    if twice := first_twice([arm.id for arm in begun.arms]) or first_twice(u.arm.id for u in begun.untimed):
        raise ValueError(f"the arm {twice} is there twice")
    check_asked(begun.plan, begun.arms)
    for group, of_group in groups.items():
        check_roles(group, of_group)
    started: list[Started] = []
    done: set[tuple[str, int]] = set()
    for line in [*begun.untimed, *others]:
        if isinstance(line, Begun) or (isinstance(line, Ended) and line is not lines[-1]):
            raise ValueError("it has a second beginning, or goes on after its end")
        if isinstance(line, Untimed) and line.arm != arms.get(line.arm.id):
            raise ValueError(f"{line.arm.id} is no arm of the run")
        if isinstance(line, Started):
            if line.ceilings.keys() != {arm.arithmetic for arm in begun.arms}:
                raise ValueError("a process lacks the limits of the machine in a dtype of the arms")
            if started and _software(line.machine) != _software(started[0].machine):
                raise ValueError("its processes ran on different machines, versions or commits")
            started.append(line)
        if isinstance(line, GroupTimed):
            _check_part(line, begun, groups.get(line.group, []), without, done)
            done.add((line.group, line.process))
    if len({process for _, process in done}) > len(started):
        raise ValueError("a group was timed before its process started")
    if len({t.clock for line in others if isinstance(line, GroupTimed) for t in line.timed}) > 1:
        raise ValueError("it was timed by two clocks")


def _check_part(
    line: "GroupTimed", begun: "Begun", arms: "list[Arm]", without: set[str], done: set[tuple[str, int]]
) -> None:
    """Raise a ValueError if a group in a process is none of the run, or has arms that cannot have numbers."""
    timed = {t.arm for t in line.timed}
    is_new = (line.group, line.process) not in done and line.process < begun.plan.processes
    if not (is_new and arms and timed <= {arm.id for arm in arms}):
        raise ValueError(f"process {line.process} has {line.group} twice, or is none of the run, or has other arms")
    if timed & without:
        raise ValueError(
            f"{min(timed & without)} has a number, though the run began with a reason why it cannot have one"
        )


def _software(machine: "Machine") -> tuple[Any, ...]:
    """What is the same in all processes of a run; clocks and temperatures of a GPU are not."""
    return (*(getattr(machine, field) for field in machine.__struct_fields__ if field != "gpus"),)


def check_roles(group: str, arms: "Sequence[Arm]") -> None:
    """Raise a ValueError unless a group has one baseline and its duplicate."""
    of_role = {role: [arm for arm in arms if arm.role == role] for role in ("baseline", "duplicate")}
    for role, found in of_role.items():
        if len(found) != 1:
            raise ValueError(f"group {group} has no {role}, or several")
    (baseline,), (duplicate,) = of_role.values()
    if (baseline.port, baseline.style, baseline.kernel) != (duplicate.port, duplicate.style, duplicate.kernel):
        raise ValueError(f"the duplicate of group {group} is not of its baseline")


def check_asked(plan: "Plan", arms: "Iterable[Arm]") -> None:
    """Raise a ValueError if there is an arm that the plan did not ask for."""
    workloads, kernels = set(map(str, plan.workloads)), {*plan.kernels, STOCK}
    sources, divisions = {*plan.ports, *plan.peers}, set(plan.kernels)
    for arm in arms:
        is_own = arm.port in sources or arm.role in ("baseline", "duplicate")
        fits = str(arm.workload) in workloads and arm.phase in plan.phases and arm.kernel in kernels
        fits = fits and (arm.dtype, arm.precision) == (plan.dtype, plan.precision)
        fits = fits and arm.devices in plan.devices
        if not (is_own and fits and arm.division in divisions):
            raise ValueError(f"{arm.id} is not what the plan asked for")
