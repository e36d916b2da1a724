"""What a file of results may claim: no more than its records bear out, and what this version knows.

Ratios, intervals, floors and verdicts are computed from the samples. What cannot be computed, as a machine or a date,
is the word of the file.
"""

from ...common.equality.checks import CHECKS, ON_DEVICES, SELECTIONS
from ...common.equality.contract.factors import FACTORS
from ...common.equality.contract.selections import OTHERS, PLAIN
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
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
    if lacking:
        raise ValueError(f"the plan has {lacking[0]}, which has neither a number nor a reason")


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
    if not is_peer and run.machine is not None and t.backend != run.machine.backend:
        raise ValueError(f"{arm.id} ran on {t.backend}, and its process on {run.machine.backend}")


def _counts(t: Timed, program: object = None) -> tuple[object, ...]:
    return tuple(getattr(program or t.program, name) for name in ("dots", "whiles", "fusions", "transposes"))


def _check_proofs(run: Run, timed: list[Arm]) -> None:
    """What has a number beside a proof was proven in float64, by checks that cover what was timed."""
    found = run.begun.equality
    if found is None:
        return
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
