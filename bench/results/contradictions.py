"""What cannot be true of one run together. Each function raises a ValueError that names what contradicts what.

The records call them when they are made; `check_run` is for the door through which a file comes in.
"""

import math
from collections.abc import Iterable, Sequence
from collections.abc import Sized as HasLength
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import STOCK
from .grouping import grouped

if TYPE_CHECKING:
    from .arm import Arm, Plan
    from .record import Benchmark, Facts, Results

#: Numbers that are written and computed again may differ by their rounding.
ROUNDING = 1e-9
#: Fewer rounds, in a single process, bear no 95 % interval, and so no verdict.
LEAST_ROUNDS = 6
_COPY = {"baseline": 1, "duplicate": 2, "arm": 1}


def first_twice(names: Iterable[str]) -> str | None:
    """The first name that is there a second time."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)


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
    is_calibration = arm.role == "calibration"
    if (
        arm.copy != _COPY.get(arm.role, arm.copy)
        or (arm.slowed and not is_calibration)
        or (is_calibration and not arm.trial)
        or (arm.role in ("baseline", "duplicate") and arm.style is None)
        or (arm.role != "arm" and arm.devices > 1)
    ):
        raise ValueError(f"{arm.name} cannot be the {arm.role} of its group")


def check_admission(gate: float | None, differs: str | None) -> None:
    """Raise a ValueError if an arm was compared with the oracle, from which it differs."""
    if gate is not None and differs is not None:
        raise ValueError("gate is there, and so is differs")


def check_facts(facts: "Facts") -> None:
    """Raise a ValueError if an arm's facts do not fit each other."""
    check_lengths(len(facts.process), position=facts.position, started_s=facts.started_s)
    check_lengths(len(facts.other_process), other_s=facts.other_s)
    if not {*facts.other_process} <= {*facts.process}:
        raise ValueError("other_process has a process that measured nothing else")
    check_lengths(len(set(facts.process)), calls=facts.calls, warm_up_calls=facts.warm_up_calls, steady=facts.steady)
    check_admission(facts.gate, facts.differs)
    if not facts.ratio_low <= facts.ratio <= facts.ratio_high:
        raise ValueError("ratio is outside of its own interval")


def check_benchmark(benchmark: "Benchmark") -> None:
    """Raise a ValueError if an arm's names are not its own, or its samples are none. Other statistics are not read."""
    arm, stats = benchmark.arm, benchmark.stats
    if (benchmark.group, benchmark.name, benchmark.fullname) != (arm.group, arm.name, arm.id):
        raise ValueError(f"group, name and fullname are not those of the arm {arm.id}")
    if arm.style is None:
        raise ValueError(f"{arm.id} has a number, but no call style")
    data = stats.get("data")
    if not (isinstance(data, list) and data and all(type(t) in (int, float) and 0 < t <= 1e7 for t in data)):
        raise ValueError("stats.data has no samples, or some that are no seconds")
    check_lengths(len(data), process=benchmark.facts.process)


def check_results(results: "Results") -> None:
    """Raise a ValueError if the arms of a record cannot stand beside each other."""
    facts, timed = results.trigru, [b.arm for b in results.benchmarks]
    if twice := first_twice([arm.id for arm in timed] + [u.arm.id for u in results.untimed]):
        raise ValueError(f"{twice} is there twice")
    if (timed and not facts.ceilings) or any(c.keys() != {facts.plan.arithmetic} for c in facts.ceilings):
        raise ValueError("trigru.ceilings lack the limits of the machine in the dtype of the arms, or have others")
    if len({b.facts.clock for b in results.benchmarks}) > 1:
        raise ValueError("some arms were timed by another clock than others")
    for group, benchmarks in results.groups().items():
        if [b.arm.role for b in benchmarks].count("baseline") != 1:
            raise ValueError(f"group {group} has no baseline, or several")
        process = benchmarks[0].facts.process
        if any(b.facts.process != process for b in benchmarks) or max(process) >= facts.plan.processes:
            raise ValueError(f"group {group} has arms of different processes, or of more than the plan has")


def check_run(results: "Results") -> None:
    """Raise a ValueError if a record is not one that a run can have made."""
    facts = results.trigru
    plan, timed = facts.plan, [b.arm for b in results.benchmarks]
    check_date(results.datetime)
    check_asked(plan, [*timed, *(u.arm for u in results.untimed)])
    check_proven(facts.equality, timed)
    for group, benchmarks in results.groups().items():
        processes = set(benchmarks[0].facts.process)
        check_roles(group, [b.arm for b in benchmarks])
        _check_group(group, benchmarks, plan.rounds)
        if len(processes) > len(facts.ceilings):
            raise ValueError(f"trigru.ceilings are of fewer processes than measured {group}")
        if facts.complete and len(processes) < plan.processes:
            raise ValueError(f"trigru.complete is true, but group {group} was not measured in every process")


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
        fits = fits and arm.devices in plan.devices and arm.weak <= plan.weak
        is_trial = 1 <= arm.trial <= plan.trials if plan.trials else not arm.trial
        if not (is_own and fits and is_trial and arm.division in divisions):
            raise ValueError(f"{arm.id} is not what the plan asked for")


def check_proven(equality: Sequence[Measurement] | None, timed: "Iterable[Arm]") -> None:
    """Raise a ValueError if something was proven twice, or if an arm has a number whose port failed its proof."""
    passed = [m for m in equality or () if m.passed or m.levels is None]  # rows may fail for one reason
    measured = [f"{m.port} {m.kernel} {m.check} {m.style} {m.quantity} {m.dtype} {m.levels or ''}" for m in passed]
    if twice := first_twice(measured):
        raise ValueError(f"trigru.equality has {twice} twice")
    failed = {(m.port, m.kernel) for m in equality or () if not m.passed}
    for arm in timed:
        if failed & {(arm.port, STOCK), (arm.port, arm.kernel)}:
            raise ValueError(f"{arm.id} has a number, but was not proven equal")


def check_rounds(group: str, positions: Iterable[Sequence[int]], process: Sequence[int], most: int | None) -> None:
    """Raise a ValueError if two arms have one place in a round, or if a process has more rounds than were asked for."""
    places = np.array(list(positions))
    if any(len(set(of_round)) < len(of_round) for of_round in places.T.tolist()):
        raise ValueError(f"two arms of group {group} have one position in a round")
    if most is not None and max(len(rounds) for rounds in grouped(process, lambda p: p).values()) > most:
        raise ValueError(f"group {group} has more rounds than the plan")


def _check_group(group: str, benchmarks: "list[Benchmark]", most_rounds: int | None) -> None:
    first = benchmarks[0].facts
    for name in ("shape", "steps", "flops", "moved_bytes", "floor"):
        same_work = grouped(benchmarks, lambda b: b.arm.devices if b.arm.weak else 1).values()
        for alike in [benchmarks] if name == "floor" else same_work:
            if any(getattr(b.facts, name) != getattr(alike[0].facts, name) for b in alike):
                raise ValueError(f"arms of group {group} have a different {name}")
    if any(before > after for before, after in pairwise(first.process)):
        raise ValueError(f"process goes back to an earlier one in group {group}")
    check_rounds(group, (b.facts.position for b in benchmarks), first.process, most_rounds)
    process = np.array(first.process)
    has_verdicts = len(set(first.process)) > 1 or len(process) >= LEAST_ROUNDS
    (baseline_s,) = (b.time_s for b in benchmarks if b.arm.is_baseline)
    for b in benchmarks:
        facts, log_ratio = b.facts, np.log(b.time_s) - np.log(baseline_s)
        medians = [np.median(log_ratio[process == number]) for number in np.unique(process)]
        if not _is_close(facts.ratio, math.exp(np.mean(medians))):
            raise ValueError(f"ratio of {b.arm.id} is not that of its samples")
        if b.arm.is_baseline and not (_is_close(facts.ratio_low, 1.0) and _is_close(facts.ratio_high, 1.0)):
            raise ValueError(f"the interval of {b.arm.id}, whose ratio is to itself, is not 1")
        if b.arm.role == "duplicate" and not _reaches(facts.floor, facts.ratio):
            raise ValueError(f"the floor of group {group} is below what its duplicate shows")
        if facts.verdict == "indistinguishable":
            if has_verdicts and _differs(facts):
                raise ValueError(f"verdict of {b.arm.id} is indistinguishable, but its interval and the floor say more")
        elif not _differs(facts, -ROUNDING) or (facts.verdict == "slower") != (facts.ratio > 1):
            raise ValueError(f"verdict of {b.arm.id} is {facts.verdict}, which its interval or the floor do not bear")


def _differs(facts: "Facts", slack: float = ROUNDING) -> bool:
    """Whether the interval excludes 1 and the ratio lies beyond the floor; by more than rounding, or less than that."""
    return (facts.ratio_low > 1 + slack or facts.ratio_high < 1 - slack) and not _reaches(
        facts.floor, facts.ratio, slack
    )


def _reaches(floor: float, ratio: float, slack: float = ROUNDING) -> bool:
    return abs(math.log(ratio)) <= math.log1p(floor) + slack


def _is_close(said: int | float, value: Any) -> bool:
    try:
        return math.isclose(said, value, rel_tol=ROUNDING)
    except OverflowError:  # an integer of hundreds of digits
        return False
