"""Contradictions: what a file of results claims, and its other records or this version do not bear out.

The file's checksum shows whether somebody changed it. Ratios, intervals, floors and verdicts are computed from the
samples. What cannot be computed, as a machine or a date, is the word of the file.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from msgspec.structs import replace

from ...common.errors import brief
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, own_ports, port_names, unavailable
from ..arms.arms import BASELINE, expand
from ..results.arm import NOT_PROVEN, Arm
from ..results.grouping import first_twice, grouped
from ..results.machine import version_differences
from ..results.proof import contradictions, passes
from ..results.run import Run, Timed

#: What is checked of a phase that is timed, where nothing else is: the step is called directly, the others in styles.
PHASE_CHECKS = {
    "forward": ("styles",),
    "gradient": ("styles",),
    "train_step": ("styles",),
    "step": ("step",),
}
#: Labels that every port of a run has in each of its groups.
BOTH = (DOCUMENTED, FUNCTIONAL)


def check_evidence(run: Run) -> None:
    """Raise a ValueError with what contradicts what, if the file of a run claims more than its records bear out."""
    arms, own = {arm.id: arm for arm in run.begun.arms}, own_ports()
    # our ports that are here; without call styles, a plan may have all of theirs
    here = tuple(
        name for name in run.plan.ports if name in own and not unavailable(name)
    )
    styles = run.plan.styles or tuple(
        {style.name for name in here for style in get_port(name).call_styles}
    )
    planned = {
        arm.id: arm
        for arm in expand(replace(run.plan, ports=here, peers=(), styles=styles))
    }
    timed = [(arms[t.arm], t) for line in run.groups_timed for t in line.timed]
    rules = (
        _arms(run, planned),
        _absent(run, planned),
        _numbers(run, timed),
        _proof(run, timed),
        _alike(run, timed),
    )
    for sentence in chain(*rules):
        raise ValueError(sentence)


def _arms(run: Run, planned: dict[str, Arm]) -> Iterator[str]:
    """Each arm is one of the plan; of peers, and of ports that are not here, any call style may be."""
    plan, here, groups = (
        run.plan,
        {arm.port for arm in planned.values()},
        {arm.group for arm in planned.values()},
    )
    for name in {*plan.peers} & {*port_names()}:
        yield f"the plan has {name} as a peer, which is a port"
    for arm in run.begun.arms:
        if known := planned.get(arm.id):
            for name in Arm.__struct_fields__:
                came, expected = getattr(arm, name), getattr(known, name)
                if came != expected and (name != "labels" or {*came} != {*expected}):
                    yield f"{arm.id} has {name} {came!r}, expected {expected!r}"
        elif (
            (arm.style and arm.port in here)
            or arm.group not in groups
            or arm.port not in (*plan.ports, *plan.peers)
            or (arm.role, arm.copy) != ("arm", 1)
            or arm.kernel not in (STOCK, arm.division)
            or arm.devices not in plan.devices
            or (arm.devices == 1) == bool(arm.way)
        ):
            yield f"{arm.id} is not what the plan asked for"
    if twice := first_twice(
        f"{arm.group} has two call styles with one label: {arm.port} {arm.kernel} {arm.devices} {arm.way} {label}"
        for arm in run.begun.arms
        for label in arm.labels
        if label in BOTH and arm.copy == 1
    ):
        yield twice


def _absent(run: Run, planned: dict[str, Arm]) -> Iterator[str]:
    """Nothing of the plan lacks both a number and a reason why it has none."""
    plan, groups, arms = run.plan, run.groups(), run.begun.arms
    there, ids, over = (
        {arm.port for arm in arms},
        {arm.id for arm in arms},
        {arm.devices for arm in arms},
    )
    has_all = plan.styles is None or {*BOTH} & {*plan.styles}  # which every port has
    absent = [
        name for name in (*plan.ports, *plan.peers) if has_all and name not in there
    ]
    absent += [
        name for name, arm in planned.items() if arm.role != "arm" and name not in ids
    ]
    for of_phase in grouped(arms, lambda arm: (arm.phase, arm.division)).values():
        named = {
            (arm.port, label)
            for arm in of_phase
            for label in BOTH
            if label in arm.labels
        }
        if (
            plan.styles is None
            and of_phase[0].division == STOCK
            and len(plan.devices) == 1
        ):
            named |= {
                (arm.port, FUNCTIONAL) for arm in of_phase if arm.port in own_ports()
            }
        for group, some in grouped(of_phase, lambda arm: arm.group).items():
            has = {
                (arm.port, label)
                for arm in some
                for label in (arm.labels if arm.style else BOTH)
            }
            absent += [
                f"{group}/{port}[{label}]" for port, label in sorted(named - has)
            ]
    absent += [
        f"{devices} devices"
        for devices in plan.devices
        if devices not in over and plan.ports
    ]
    for line in run.groups_timed:
        known = {t.arm for t in line.timed} | run.reasons.keys()
        absent += [arm.id for arm in groups[line.group] if arm.id not in known]
    for name in absent:
        yield f"the plan has {name}, which has neither a number nor a reason"
    if run.ended and not run.complete:
        yield f"it ended, and not all of its {plan.processes} processes measured everything"


def _numbers(run: Run, timed: list[tuple[Arm, Timed]]) -> Iterator[str]:
    """An arm has a number, and then agreed with the oracle, or a reason that the file bears out; all on one machine."""
    failed, machine = (
        {(m.port, m.kernel) for m in run.begun.equality or () if not passes(m)},
        run.machine,
    )
    measured = Counter(t.arm for _, t in timed)
    for name, untimed in run.reasons.items():
        arm, reason = untimed.arm, untimed.reason
        if measured[name] == run.plan.processes:
            yield f"{name} has a number, and a reason why it has none"
        is_proven = (
            run.begun.equality
            and not {(arm.port, STOCK), (arm.port, arm.kernel)} & failed
        )
        if is_proven and reason.startswith(NOT_PROVEN):
            yield f"{name} has no number since it is not proven equal, and its proof passes"
    for arm, t in timed:
        if t.clock != ("blocked" if machine.backend == "cpu" else "pipelined"):
            yield f"{arm.id} was timed by the {t.clock} clock on {machine.backend}"
        if arm.port in run.plan.peers:
            continue
        if t.gate is None:
            yield f"{arm.id} has a number, but its first results were not compared with the oracle"
        if (t.backend, t.device) != (machine.backend, machine.device):
            yield f"{arm.id} ran on {t.device} ({t.backend}), and its process on {machine.device}"


def _proof(run: Run, timed: list[tuple[Arm, Timed]]) -> Iterator[str]:
    """A proof is of what the plan asked for, was made where the samples were, and covers what was timed in float64."""
    begun, plan, machine, found = run.begun, run.plan, run.machine, run.begun.equality
    if found is None:
        return
    then = {"backend": begun.backend, "commit": begun.commit or machine.commit} | (
        begun.versions or machine.versions
    )
    now = {"backend": machine.backend, "commit": machine.commit} | machine.versions
    if run.started and (differences := version_differences(then, now)):
        yield f"its proof was made elsewhere than its samples: {', '.join(differences)}"
    yield from contradictions(found)
    for m in found:
        if m.passed and not (
            m.port in (BASELINE[0], *plan.ports) and m.kernel in (STOCK, *plan.kernels)
        ):
            yield f"its proof is of {m.port} with the kernel {brief(m.kernel)}, which the plan did not ask for"
    failed = {(m.port, m.kernel) for m in found if not passes(m)}
    proven = grouped(
        (m for m in found if m.dtype == "float64" and passes(m)),
        lambda m: (m.port, m.kernel),
    )
    needed = {check for phase in plan.phases for check in PHASE_CHECKS[phase]}
    for arm, _ in timed:
        for kernel in () if arm.port in plan.peers else (STOCK, arm.kernel):
            if (arm.port, kernel) in failed:
                yield f"{arm.id} has a number, but was not proven equal"
            of_port = proven.get((arm.port, kernel), ())
            names = {m.check for m in of_port}
            varied = {factor for m in of_port for factor in m.levels or ()}
            is_whole = {"entry", "phase", "carry", "lengths", "resets"} <= varied
            is_older = needed <= names or {"sequence", "step", "training"} <= names
            if not (is_whole if "contract" in names else is_older):
                yield f"{arm.id} has a number, but no proof in float64 of what was timed"


def _alike(run: Run, timed: list[tuple[Arm, Timed]]) -> Iterator[str]:
    """Of each port of ours as much was measured as of the others, and of each call style that was timed something."""
    for kernel, found in grouped(run.begun.equality or [], lambda m: m.kernel).items():
        own = grouped((m for m in found if m.port in own_ports()), lambda m: m.port)
        if any(not passes(m) for of in own.values() for m in of):
            continue  # rows that fail are measured with fewer levels
        # each check, and what was compared outside of rows and call styles
        measured = {
            port: {f"{m.check} in {m.dtype}" for m in of}
            | {
                f"{m.check} in {m.dtype}: {m.quantity}"
                for m in of
                if m.style is None and m.levels is None
            }
            for port, of in own.items()
        }
        for port, parts in measured.items():
            if absent := sorted({*chain(*measured.values())} - parts):
                yield f"its proof lacks {absent[0]} of {port} with the kernel {kernel}, and has it of another port"
        styles = {
            (m.port, m.style)
            for of in own.values()
            for m in of
            if m.style and m.dtype == "float64"
        }
        for arm, _ in timed:
            if (
                styles
                and arm.port in own
                and arm.phase != "step"
                and (arm.port, arm.style) not in styles
            ):
                yield f"its proof lacks the call style of {arm.id} with the kernel {kernel}"
