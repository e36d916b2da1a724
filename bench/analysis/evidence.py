"""Contradictions: what a file of results claims, and its other records or this version do not bear out.

Ratios, intervals, floors and verdicts are computed from the samples. What cannot be computed, as a machine or a date,
is the word of the file. Adding a kind of contradiction is adding a function to `CONTRADICTIONS`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, pairwise
from statistics import median

from ...common.equality.checks import CHECKS, ON_DEVICES, SELECTIONS
from ...common.equality.contract.factors import FACTORS, whole_row
from ...common.equality.contract.selections import OTHERS, PLAIN
from ...common.equality.measurement import Measurement
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...common.port.styles import labels_of
from ...impls import get_port, own_ports, unavailable
from ..arms.workloads import work_of, workload_of
from ..results.arm import Arm
from ..results.grouping import grouped
from ..results.lines import first_twice
from ..results.proof import passes
from ..results.run import Run, Timed

#: Checks of earlier versions, in files that this one reads.
_FORMER = ("masks", "param-dtype", "forward", "sgd", "adamw", "carry-rate", "exchange")
_NAMES = [check.name for check in (*CHECKS, *SELECTIONS, *ON_DEVICES)]
_KNOWN = {*_NAMES, *_FORMER, *OTHERS, *OTHERS.values(), *(factor.name for factor in FACTORS), PLAIN}
#: What is checked of a phase that is timed, where nothing else is: the step is called directly, the others in styles.
PHASE_CHECKS = {"forward": ("styles",), "gradient": ("styles",), "train_step": ("styles",), "step": ("step",)}
#: Labels that every port of a run has in each of its groups.
BOTH = (DOCUMENTED, FUNCTIONAL)
#: How far readings of a machine's clocks may be apart, within a run and before it, and how far its end may be from its
#: last sample; in seconds.
_APART_S, _BEFORE_S, _END_S = 1e-3, 600.0, 7 * 86400.0
#: The share of samples that may overlap in an honest run, whose clock was set back while it ran.
_SET_BACK = 0.01
#: No call computes so many times faster than the largest matrix product of the same run, nor takes so many times as
#: long by one clock as by the other.
_TOO_FAST, _TOO_SLOW = 20.0, 20.0
#: Of so many samples, half are not equal to others.
_MANY = 6
#: So many pairs of successive samples, alike to the last digit, are no chance.
_COPIED = 5
#: A check of the whole function; the second is the name that earlier versions gave it.
_WHOLE = ("contract", "sequence")


def check_evidence(run: Run) -> None:
    """Raise a ValueError with what contradicts what, if the file of a run claims more than its records bear out."""
    for find in CONTRADICTIONS:
        for sentence in find(run):
            raise ValueError(sentence)


def _timed(run: Run) -> list[tuple[Arm, Timed]]:
    arms = {arm.id: arm for arm in run.begun.arms}
    return [(arms[t.arm], t) for line in run.groups_timed for t in line.timed]


def _absent(run: Run) -> Iterator[str]:
    """Of the plan, what has neither a number nor a reason why it has none."""
    plan, groups, arms = run.plan, run.groups(), run.begun.arms
    there, over = {arm.port for arm in arms}, {arm.devices for arm in arms}
    has_all = plan.styles is None or {*BOTH} & {*plan.styles}  # which every port has
    absent = [name for name in (*plan.ports, *plan.peers) if has_all and name not in there]
    absent += [
        name
        for workload in plan.workloads
        for phase in plan.phases
        for kernel in plan.kernels
        if (name := f"{workload}/{phase}/{plan.arithmetic}/{kernel}") not in groups
    ]
    for of_phase in grouped(arms, lambda arm: (arm.phase, arm.division)).values():
        named = {(arm.port, label) for arm in of_phase for label in BOTH if label in arm.labels}
        for group, some in grouped(of_phase, lambda arm: arm.group).items():
            has = {(arm.port, label) for arm in some for label in (arm.labels if arm.style else BOTH)}
            absent += [f"{group}/{port}[{label}]" for port, label in sorted(named - has)]
    absent += [f"{devices} devices" for devices in plan.devices if devices not in over and plan.ports]
    for name in absent:
        yield f"the plan has {name}, which has neither a number nor a reason"


def _labels(run: Run) -> Iterator[str]:
    """A label names one call style of a port in a group: of a port of ours, the one that it has here, too."""
    for group, arms in run.groups().items():
        named = [
            f"{arm.port} {arm.kernel} {arm.devices} {arm.way} {label}"
            for arm in arms
            for label in arm.labels
            if label in BOTH and arm.copy == 1
        ]
        if twice := first_twice(named):
            yield f"{group} has two call styles with one label: {twice}"
    for arm in run.begun.arms:
        if arm.style is not None and arm.port in own_ports() and unavailable(arm.port) is None:
            known = labels_of(get_port(arm.port), arm.phase)
            if arm.style not in known:
                yield f"{arm.id} is in a call style that {arm.port} does not have"
            elif {*arm.labels} != {*known[arm.style]}:
                yield f"{arm.id} is called {', '.join(arm.labels) or 'nothing'}, here {', '.join(known[arm.style])}"


def _admission(run: Run) -> Iterator[str]:
    """An arm with a number was compared with the oracle, or is of a peer that says how it differs; on one machine."""
    for arm, t in _timed(run):
        is_peer = arm.port in run.plan.peers
        if t.gate is None and not (is_peer and t.differs):
            yield f"{arm.id} has a number, but its first results were not compared with the oracle"
        if is_peer or run.machine is None:
            continue
        if (t.backend, t.device) != (run.machine.backend, run.machine.device):
            yield f"{arm.id} ran on {t.device} ({t.backend}), and its process on {run.machine.device}"
        if t.clock != ("blocked" if t.backend == "cpu" else "pipelined"):
            yield f"{arm.id} was timed by the {t.clock} clock on {t.backend}"


def _programs(run: Run) -> Iterator[str]:
    """One fingerprint is of one program."""
    programs = {t.program.fingerprint: t.program for _, t in _timed(run) if t.program}
    counted = ("dots", "whiles", "fusions", "transposes")
    for arm, t in _timed(run):
        if t.program and any(getattr(t.program, n) != getattr(programs[t.program.fingerprint], n) for n in counted):
            yield f"the program of {arm.id} is that of another arm, with other operations"


def _starts(run: Run) -> Iterator[str]:
    """Samples of a run were taken one after the other, after it began and before it ended."""
    taken = sorted(
        (began_s, began_s + t.calls * time_s)
        for _, t in _timed(run)
        for began_s, time_s in zip(t.started_s, t.time_s, strict=True)
    )
    at_once = sum(last > following + _APART_S for (_, last), (following, _) in pairwise(taken))
    if at_once > len(taken) * _SET_BACK:
        yield f"{at_once} samples were taken at the same time as another"
    begun, ended = run.begun.since, run.ended.datetime if run.ended else ""
    if begun and ended and _moment_s(begun) > _moment_s(ended):
        yield f"it began on {begun} and ended on {ended}"
    if begun and taken and taken[0][0] < _moment_s(begun) - _BEFORE_S:
        yield f"it began on {begun}, after a sample"
    if ended and taken and abs(_moment_s(ended) - taken[-1][1]) > _END_S:
        yield f"it ended on {ended}, more than a week from its last sample"


def _moment_s(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _speed(run: Run) -> Iterator[str]:
    """No call is many times faster than the machine is said to be, nor by one clock much slower than by the other."""
    for arm, t in _timed(run):
        work = work_of(workload_of(arm), arm.phase, arm.dtype)
        most = max(process.ceilings[arm.arithmetic].gemm_gflop_per_s for process in run.started) * 1e9 * _TOO_FAST
        if work.flops > most * arm.devices * min([*t.time_s, *t.other_s]):
            yield f"{arm.id} computes faster than the machine can"
        if t.other_s and not 1 / _TOO_SLOW < median(t.other_s) / median(t.time_s) < _TOO_SLOW:
            yield f"{arm.id} takes {median(t.other_s):.1e} s by one clock, and {median(t.time_s):.1e} s by the other"
        if len(t.time_s) >= _MANY and len({*t.time_s}) < len(t.time_s) / 2:
            yield f"most samples of {arm.id} are equal to the last digit"
        if len(t.other_s) > len(t.time_s):
            yield f"{arm.id} has more samples of the other clock than rounds"


def _copies(run: Run) -> Iterator[str]:
    """Samples of one arm in one process are not those of another."""
    for group in grouped(run.groups_timed, lambda line: line.group).values():
        seen: dict[tuple[float, float], str] = {}
        for line in group:
            for t in line.timed:
                pairs = {(a, b) for a, b in pairwise(t.time_s) if a != b}
                if sum(pair in seen for pair in pairs) >= _COPIED:
                    yield f"samples of {t.arm} in process {line.process} are copies of others"
                seen |= dict.fromkeys(pairs, t.arm)


def _proof_origin(run: Run) -> Iterator[str]:
    """A proof was made where and with what the samples were taken."""
    begun, machine = run.begun, run.machine
    if begun.equality is None or machine is None:
        return
    if begun.backend != machine.backend:
        yield f"its proof was made on {begun.backend}, and its samples on {machine.backend}"
    if begun.versions not in ({}, machine.versions):
        yield "its proof was made with other versions than its samples"
    if begun.commit not in ("", machine.commit):
        yield "its proof was made with another commit than its samples"
    if "--no-proof" in begun.command:
        yield "its command has --no-proof, and it has a proof"


def _proof_content(run: Run) -> Iterator[str]:
    """Measurements are of checks and levels that there are, each once, and of each port as many as of the others."""
    found = run.begun.equality or []
    for m in found:
        if not {*m.check.split("+")} <= _KNOWN:
            yield f"its proof has the check {m.check!r}, which is none"
        if not {*(m.levels or {})} <= {*whole_row({})}:
            yield f"its proof has levels of {m.check} that are none"
    once = [m for m in found if m.passed or m.levels is None]  # rows may fail for one reason
    measured = [f"{m.port} {m.kernel} {m.check} {m.style} {m.quantity} {m.dtype} {m.levels or ''}" for m in once]
    if twice := first_twice(measured):
        yield f"its proof has {twice} twice"


def _proof_cover(run: Run) -> Iterator[str]:
    """What has a number beside a proof was proven in float64, by checks that cover what was timed."""
    found = run.begun.equality
    if found is None:
        return
    failed = {(m.port, m.kernel) for m in found if not passes(m)}
    proven = grouped((m for m in found if m.dtype == "float64" and passes(m)), lambda m: (m.port, m.kernel))
    needed = {check for phase in run.plan.phases for check in PHASE_CHECKS[phase]}
    for arm, _ in _timed(run):
        for kernel in () if arm.port in run.plan.peers else dict.fromkeys((STOCK, arm.kernel)):
            if (arm.port, kernel) in failed:
                yield f"{arm.id} has a number, but was not proven equal"
            names = {m.check for m in proven.get((arm.port, kernel), ())}
            if not (names & {*_WHOLE} or needed <= names):
                yield f"{arm.id} has a number, but no proof in float64 of what was timed"


def _proof_alike(run: Run) -> Iterator[str]:
    """Of each port of ours as much was measured as of the others, and of each call style that was timed something."""
    ports = own_ports()
    for kernel, found in grouped(run.begun.equality or [], lambda m: m.kernel).items():
        own = {port: of for port, of in grouped(found, lambda m: m.port).items() if port in ports}
        if any(not passes(m) for of in own.values() for m in of):
            continue  # rows that fail are measured with fewer levels
        measured = {port: {what for m in of for what in _parts_of(m)} for port, of in own.items()}
        for port, parts in measured.items():
            if absent := sorted({*chain(*measured.values())} - parts):
                yield f"its proof lacks {absent[0]} of {port} with the kernel {kernel}, and has it of another port"
        styles = {(m.port, m.style) for of in own.values() for m in of if m.style and m.dtype == "float64"}
        for arm, _ in _timed(run):
            if styles and arm.port in own and arm.phase != "step" and (arm.port, arm.style) not in styles:
                yield f"its proof lacks the call style of {arm.id} with the kernel {kernel}"


def _parts_of(m: Measurement) -> Iterator[str]:
    """The check of a measurement, and what was compared, outside of rows and call styles."""
    yield f"{m.check} in {m.dtype}"
    if m.style is None and m.levels is None:
        yield f"{m.check} in {m.dtype}: {m.quantity}"


Contradiction = Callable[[Run], Iterator[str]]
CONTRADICTIONS: tuple[Contradiction, ...] = (
    _absent, _labels, _admission, _programs, _starts, _speed, _copies, _proof_origin, _proof_content, _proof_cover,
    _proof_alike,
)  # fmt: skip
