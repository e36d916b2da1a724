"""What a file of results may claim: no more than its records bear out, and what this version knows.

Ratios, intervals, floors and verdicts are computed from the samples. What cannot be computed, as a machine or a date,
is the word of the file.
"""

from datetime import UTC, datetime
from itertools import pairwise

from ...common.equality.checks import CHECKS, ON_DEVICES, SELECTIONS
from ...common.equality.contract.factors import FACTORS
from ...common.equality.contract.selections import OTHERS, PLAIN
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ..arms.workloads import work_of, workload_of
from ..results.arm import Arm
from ..results.grouping import grouped
from ..results.lines import first_twice
from ..results.run import Run, Timed
from .equality import holds

#: Checks of earlier versions, in files that this one reads.
_FORMER = ("masks", "param-dtype", "forward", "sgd", "adamw", "carry-rate", "exchange")
_NAMES = [check.name for check in (*CHECKS, *SELECTIONS, *ON_DEVICES)]
_KNOWN = {*_NAMES, *_FORMER, *OTHERS, *OTHERS.values(), *(factor.name for factor in FACTORS), PLAIN}
#: What is checked of a phase that is timed, where nothing else is: the step is called directly, the others in styles.
PHASE_CHECKS = {
    "forward": ("styles",), "gradient": ("styles",), "train_step": ("styles", "training"), "step": ("step",),
}  # fmt: skip
#: Labels that every port of a run has in each of its groups.
BOTH = (DOCUMENTED, FUNCTIONAL)
#: How far readings of a machine's clocks may be apart, in seconds.
_APART_S = 1e-3
#: The share of samples that may overlap in an honest run, whose clock was set back while it ran.
_SET_BACK = 0.01
#: No call computes so many times faster than the largest matrix product of the same run.
_TOO_FAST = 20.0
#: A check of the whole function; the second is the name that earlier versions gave it.
_WHOLE = ("contract", "sequence")


def check_evidence(run: Run) -> None:
    """Raise a ValueError with what contradicts what, if the file of a run claims more than its records bear out."""
    arms = {arm.id: arm for arm in run.begun.arms}
    timed = [(arms[t.arm], t) for line in run.groups_timed for t in line.timed]
    _check_asked(run)
    _check_labels(run.begun.arms)
    for arm, t in timed:
        _check_admitted(run, arm, t)
    programs = {t.program.fingerprint: t.program for _, t in timed if t.program}
    for arm, t in timed:
        if t.program and _counts(t) != _counts(t, programs[t.program.fingerprint]):
            raise ValueError(f"the program of {arm.id} is that of another arm, with other operations")
    _check_starts(run)
    _check_speed(run, timed)
    _check_proofs(run, [arm for arm, _ in timed])


def _check_asked(run: Run) -> None:
    """Whatever the plan has is there, with a number or a reason why it has none."""
    plan, groups = run.plan, run.groups()
    there = {arm.port for arm in run.begun.arms}
    has_all = plan.styles is None or {DOCUMENTED, FUNCTIONAL} & {*plan.styles}  # which every port has
    lacking = [name for name in (*plan.ports, *plan.peers) if has_all and name not in there]
    lacking += [
        name
        for workload in plan.workloads
        for phase in plan.phases
        for kernel in plan.kernels
        if (name := f"{workload}/{phase}/{plan.arithmetic}/{kernel}") not in groups
    ]
    for of_phase in grouped(run.begun.arms, lambda arm: (arm.phase, arm.division)).values():
        named = {(arm.port, label) for arm in of_phase for label in BOTH if label in arm.labels}
        for group, arms in grouped(of_phase, lambda arm: arm.group).items():
            there = {(arm.port, label) for arm in arms for label in (arm.labels if arm.style else BOTH)}
            lacking += [f"{group}/{port}[{label}]" for port, label in sorted(named - there)]
    over = {arm.devices for arm in run.begun.arms}
    lacking += [f"{devices} devices" for devices in plan.devices if devices not in over and plan.ports]
    if lacking:
        raise ValueError(f"the plan has {lacking[0]}, which has neither a number nor a reason")


def _check_starts(run: Run) -> None:
    """Samples of a run were taken one after the other, and it ended after it began."""
    taken = sorted(
        (began_s, began_s + t.calls * time_s)
        for line in run.groups_timed
        for t in line.timed
        for began_s, time_s in zip(t.started_s, t.time_s, strict=True)
    )
    at_once = sum(last > following + _APART_S for (_, last), (following, _) in pairwise(taken))
    if at_once > len(taken) * _SET_BACK:
        raise ValueError(f"{at_once} samples were taken at the same time as another")
    begun, ended = run.begun.since, run.ended.datetime if run.ended else ""
    if begun and ended and _moment(begun) > _moment(ended):
        raise ValueError(f"it began on {begun} and ended on {ended}")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check_speed(run: Run, timed: list[tuple[Arm, Timed]]) -> None:
    """No call is many times faster than the machine is said to be."""
    for arm, t in timed:
        work = work_of(workload_of(arm), arm.phase, arm.dtype)
        most = max(process.ceilings[arm.arithmetic].gemm_gflop_per_s for process in run.started) * 1e9 * _TOO_FAST
        if work.flops > most * arm.devices * min(t.time_s):
            raise ValueError(f"{arm.id} computes faster than the machine can")


def _check_labels(arms: list[Arm]) -> None:
    """A label names one call style of a port in a group."""
    for group, of_group in grouped(arms, lambda arm: arm.group).items():
        named = [
            f"{arm.port} {arm.kernel} {arm.devices} {arm.way} {label}"
            for arm in of_group
            for label in arm.labels
            if label in (DOCUMENTED, FUNCTIONAL) and arm.copy == 1
        ]
        if twice := first_twice(named):
            raise ValueError(f"{group} has two call styles with one label: {twice}")


def _check_admitted(run: Run, arm: Arm, t: Timed) -> None:
    """An arm with a number was compared with the oracle, or is of a peer that says how it differs."""
    is_peer = arm.port in run.plan.peers
    if t.gate is None and not (is_peer and t.differs):
        raise ValueError(f"{arm.id} has a number, but its first results were not compared with the oracle")
    if is_peer or run.machine is None:
        return
    if t.backend != run.machine.backend:
        raise ValueError(f"{arm.id} ran on {t.backend}, and its process on {run.machine.backend}")
    if t.clock != ("blocked" if t.backend == "cpu" else "pipelined"):
        raise ValueError(f"{arm.id} was timed by the {t.clock} clock on {t.backend}")


def _counts(t: Timed, program: object = None) -> tuple[object, ...]:
    return tuple(getattr(program or t.program, name) for name in ("dots", "whiles", "fusions", "transposes"))


def _check_proofs(run: Run, timed: list[Arm]) -> None:
    """What has a number beside a proof was proven in float64, by checks that cover what was timed."""
    found, machine = run.begun.equality, run.machine
    if found is None:
        return
    if machine is not None and run.begun.backend not in (None, machine.backend):
        raise ValueError(f"its proof was made on {run.begun.backend}, and its samples on {machine.backend}")
    if machine is not None and run.begun.versions not in ({}, machine.versions):
        raise ValueError("its proof was made with other versions than its samples")
    unknown = [m.check for m in found if not {*m.check.split("+")} <= _KNOWN]
    if unknown:
        raise ValueError(f"its proof has the check {unknown[0]!r}, which is none")
    once = [m for m in found if m.passed or m.levels is None]  # rows may fail for one reason
    measured = [f"{m.port} {m.kernel} {m.check} {m.style} {m.quantity} {m.dtype} {m.levels or ''}" for m in once]
    if twice := first_twice(measured):
        raise ValueError(f"its proof has {twice} twice")
    failed = {(m.port, m.kernel) for m in found if not holds(m)}
    proven = grouped((m for m in found if m.dtype == "float64" and holds(m)), lambda m: (m.port, m.kernel))
    needed = {check for phase in run.plan.phases for check in PHASE_CHECKS[phase]}
    for arm in timed:
        for kernel in () if arm.port in run.plan.peers else dict.fromkeys((STOCK, arm.kernel)):
            if (arm.port, kernel) in failed:
                raise ValueError(f"{arm.id} has a number, but was not proven equal")
            names = {m.check for m in proven.get((arm.port, kernel), ())}
            if not (names & {*_WHOLE} or needed <= names):
                raise ValueError(f"{arm.id} has a number, but no proof in float64 of what was timed")
