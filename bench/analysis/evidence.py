"""Contradictions: what a file of results claims, and its other records or this version do not bear out.

The file's checksum shows whether somebody changed it. Ratios, intervals, floors and verdicts are computed from the
samples. What cannot be computed, as a machine or a date, is the word of the file. Each rule is a function that yields a
sentence for each contradiction.
"""

from collections.abc import Iterator
from itertools import chain

from msgspec.structs import replace

from ...common.errors import brief
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, own_ports, port_names, unavailable
from ..arms.arms import BASELINE, expand
from ..results import proof
from ..results.arm import NOT_PROVEN, Arm
from ..results.grouping import first_twice, grouped
from ..results.proof import passes
from ..results.run import Run, Timed

#: What is checked of a phase that is timed, where nothing else is: the step is called directly, the others in styles.
PHASE_CHECKS = {"forward": ("styles",), "gradient": ("styles",), "train_step": ("styles",), "step": ("step",)}
#: Labels that every port of a run has in each of its groups.
BOTH = (DOCUMENTED, FUNCTIONAL)


def check_evidence(run: Run) -> None:
    """Raise a ValueError with what contradicts what, if the file of a run claims more than its records bear out."""
    for sentence in chain(_arms(run), _absent(run), _numbers(run), _proof(run), _proof_alike(run)):
        raise ValueError(sentence)


def _timed(run: Run) -> list[tuple[Arm, Timed]]:
    arms = {arm.id: arm for arm in run.begun.arms}
    return [(arms[t.arm], t) for line in run.groups_timed for t in line.timed]


def _planned(run: Run) -> dict[str, Arm]:
    """The arms that the plan allows, by id, of our ports that are here; without call styles it allows all of them."""
    own = tuple(name for name in run.plan.ports if name in own_ports() and not unavailable(name))
    styles = run.plan.styles or tuple({style.name for name in own for style in get_port(name).call_styles})
    return {arm.id: arm for arm in expand(replace(run.plan, ports=own, peers=(), styles=styles))}


def _arms(run: Run) -> Iterator[str]:
    """Each arm is one of the plan; of ports that are not ours, or not here, only the styles are not known."""
    plan, planned = run.plan, _planned(run)
    here, groups = {arm.port for arm in planned.values()}, {arm.group for arm in planned.values()}
    for name in {*plan.peers} & {*port_names()}:
        yield f"the plan has {name} as a peer, which is a port"
    for arm in run.begun.arms:
        known = planned.get(arm.id)
        if known and arm.role != known.role:
            yield f"{arm.id} cannot be the {arm.role} of its group"
        elif known and {*arm.labels} != {*known.labels}:
            yield f"{arm.id} is called {', '.join(arm.labels) or 'nothing'}, here {', '.join(known.labels)}"
        elif known and replace(arm, labels=known.labels) != known:
            yield f"{arm.id} is not what the plan has under its name"
        elif not known and arm.port in here and arm.style:
            yield f"{arm.id} is in a call style that {arm.port} does not have, or that the plan did not ask for"
        elif not known and not (
            arm.group in groups
            and arm.port in (*plan.ports, *plan.peers)
            and (arm.role, arm.copy) == ("arm", 1)
            and arm.kernel in (STOCK, arm.division)
            and arm.devices in plan.devices
            and (arm.devices == 1) == (not arm.way)
        ):
            yield f"{arm.id} is not what the plan asked for"
    named = [
        f"{arm.group} has two call styles with one label: {arm.port} {arm.kernel} {arm.devices} {arm.way} {label}"
        for arm in run.begun.arms
        for label in arm.labels
        if label in BOTH and arm.copy == 1
    ]
    if twice := first_twice(named):
        yield twice


def _absent(run: Run) -> Iterator[str]:
    """Nothing of the plan lacks both a number and a reason why it has none."""
    plan, groups, arms = run.plan, run.groups(), run.begun.arms
    there, ids = {arm.port for arm in arms}, {arm.id for arm in arms}
    has_all = plan.styles is None or {*BOTH} & {*plan.styles}  # which every port has
    absent = [name for name in (*plan.ports, *plan.peers) if has_all and name not in there]
    absent += [name for name, arm in _planned(run).items() if arm.role != "arm" and name not in ids]
    for of_phase in grouped(arms, lambda arm: (arm.phase, arm.division)).values():
        named = {(arm.port, label) for arm in of_phase for label in BOTH if label in arm.labels}
        if plan.styles is None and of_phase[0].division == STOCK and len(plan.devices) == 1:
            named |= {(arm.port, FUNCTIONAL) for arm in of_phase if arm.port in own_ports()}
        for group, some in grouped(of_phase, lambda arm: arm.group).items():
            has = {(arm.port, label) for arm in some for label in (arm.labels if arm.style else BOTH)}
            absent += [f"{group}/{port}[{label}]" for port, label in sorted(named - has)]
    over = {arm.devices for arm in arms}
    absent += [f"{devices} devices" for devices in plan.devices if devices not in over and plan.ports]
    untimed = run.reasons
    for line in run.groups_timed:
        timed = {t.arm for t in line.timed}
        absent += [arm.id for arm in groups[line.group] if arm.id not in timed and arm.id not in untimed]
    for name in absent:
        yield f"the plan has {name}, which has neither a number nor a reason"
    if run.ended and not run.complete:
        yield f"it ended, and not all of its {plan.processes} processes measured everything"


def _numbers(run: Run) -> Iterator[str]:
    """An arm has a number, and then agreed with the oracle, or a reason that the file bears out; all on one machine."""
    failed, machine = {(m.port, m.kernel) for m in run.begun.equality or () if not passes(m)}, run.machine
    for name, untimed in run.reasons.items():
        arm, reason = untimed.arm, untimed.reason
        is_proven = run.begun.equality and not {(arm.port, STOCK), (arm.port, arm.kernel)} & failed
        if is_proven and reason.startswith(NOT_PROVEN):
            yield f"{name} has no number since it is not proven equal, and its proof passes"
    for arm, t in _timed(run):
        if t.clock != ("blocked" if machine.backend == "cpu" else "pipelined"):
            yield f"{arm.id} was timed by the {t.clock} clock on {machine.backend}"
        if arm.port in run.plan.peers:
            continue
        if t.gate is None:
            yield f"{arm.id} has a number, but its first results were not compared with the oracle"
        if (t.backend, t.device) != (machine.backend, machine.device):
            yield f"{arm.id} ran on {t.device} ({t.backend}), and its process on {machine.device}"


def _proof(run: Run) -> Iterator[str]:
    """A proof is of what the plan asked for, was made where the samples were, and covers what was timed in float64."""
    begun, plan, machine, found = run.begun, run.plan, run.machine, run.begun.equality
    if found is None:
        return
    if run.started and begun.backend != machine.backend:
        yield f"its proof was made on {begun.backend}, and its samples on {machine.backend}"
    if run.started and begun.versions not in ({}, machine.versions):
        yield "its proof was made with other versions than its samples"
    if run.started and begun.commit not in ("", machine.commit):
        yield "its proof was made with another commit than its samples"
    yield from proof.contradictions(found)
    for m in found:
        if m.passed and m.port not in (BASELINE[0], *plan.ports):
            yield f"its proof is of {m.port}, which the plan did not ask for"
        if m.passed and m.kernel not in (STOCK, *plan.kernels):
            yield f"its proof is of the kernel {brief(m.kernel)}, which the plan did not ask for"
    failed = {(m.port, m.kernel) for m in found if not passes(m)}
    proven = grouped((m for m in found if m.dtype == "float64" and passes(m)), lambda m: (m.port, m.kernel))
    needed = {check for phase in plan.phases for check in PHASE_CHECKS[phase]}
    for arm, _ in _timed(run):
        for kernel in () if arm.port in plan.peers else dict.fromkeys((STOCK, arm.kernel)):
            if (arm.port, kernel) in failed:
                yield f"{arm.id} has a number, but was not proven equal"
            of_port = proven.get((arm.port, kernel), ())
            names = {m.check for m in of_port}
            varied = {factor for m in of_port for factor in m.levels or ()}
            is_whole = {"entry", "phase", "carry", "lengths", "resets"} <= varied
            is_older = needed <= names or {"sequence", "step", "training"} <= names
            if not (is_whole if "contract" in names else is_older):
                yield f"{arm.id} has a number, but no proof in float64 of what was timed"


def _proof_alike(run: Run) -> Iterator[str]:
    """Of each port of ours as much was measured as of the others, and of each call style that was timed something."""
    ports = own_ports()
    for kernel, found in grouped(run.begun.equality or [], lambda m: m.kernel).items():
        own = {port: of for port, of in grouped(found, lambda m: m.port).items() if port in ports}
        if any(not passes(m) for of in own.values() for m in of):
            continue  # rows that fail are measured with fewer levels
        # each check, and what was compared outside of rows and call styles
        measured = {
            port: {f"{m.check} in {m.dtype}" for m in of}
            | {f"{m.check} in {m.dtype}: {m.quantity}" for m in of if m.style is None and m.levels is None}
            for port, of in own.items()
        }
        for port, parts in measured.items():
            if absent := sorted({*chain(*measured.values())} - parts):
                yield f"its proof lacks {absent[0]} of {port} with the kernel {kernel}, and has it of another port"
        styles = {(m.port, m.style) for of in own.values() for m in of if m.style and m.dtype == "float64"}
        for arm, _ in _timed(run):
            if styles and arm.port in own and arm.phase != "step" and (arm.port, arm.style) not in styles:
                yield f"its proof lacks the call style of {arm.id} with the kernel {kernel}"
