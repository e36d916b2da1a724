"""The answer of a run: what each framework takes in each style, and which is the
fastest.

A framework is never represented by the best of its call styles: menus of different
length would be ranked. What could be called instead of the documented call stands
beside it, as advice. Plain JAX is what ratios are to; it is no framework, and does
not compete.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from ...common.gru.kernels import STOCK
from ...common.port.names import DOCUMENTED, FUNCTIONAL, PHASES
from ...impls import get_port, port_names, unavailable
from ..results.arm import Clock, Sized
from ..results.grouping import grouped
from ..results.proof import Proof, proofs_of
from .benchmarks import Benchmark, Results
from .merge import baseline_of, judged_by_other_clock
from .pairs import Difference, difference, labelled
from .ranking import Ranking, rank

#: The labels of the call styles in which frameworks are compared.
COMPARED = (DOCUMENTED, FUNCTIONAL)
#: The phases that are told first; where both were timed, they alone.
MAIN = ("step", "train_step")
#: The usual clock of a phase: an agent waits for each step, a training loop for none.
CLOCKS: dict[str, Clock] = {"step": "blocked", "train_step": "pipelined"}
#: The functional style is advised only where it is so many times as fast as the styles
#: that keep updates.
FUNCTIONAL_GAIN = 1.05
#: A noise floor above this hides differences by which one would choose:
#: "indistinguishable" then tells more about the machine than about the arms.
NOISY_FLOOR = 0.10


class Alternative(Struct, frozen=True):
    """A framework's call that may replace the documented one."""

    benchmark: Benchmark
    difference: Difference  # the documented call over it


class AnswerRow(Struct, frozen=True, kw_only=True):
    """One phase of one workload, by one clock."""

    baseline: Benchmark  # plain JAX
    #: By label, one of COMPARED.
    rankings: dict[str, Ranking]
    #: By port, what could be called instead of its documented call.
    alternatives: dict[str, Alternative]

    @property
    def workload(self) -> Sized:
        return self.baseline.arm.workload

    @property
    def phase(self) -> str:
        return self.baseline.arm.phase

    @property
    def clock(self) -> Clock:
        """The clock of its times."""
        return self.baseline.clock

    @property
    def is_usual(self) -> bool:
        """Whether its clock is the one by which people use the phase; see `CLOCKS`."""
        return self.clock == CLOCKS.get(self.phase, self.clock)

    @property
    def is_noisy(self) -> bool:
        """Whether noise hides differences by which one would choose."""
        return self.baseline.floor > NOISY_FLOOR


class Situation(Struct, frozen=True):
    """One phase by one clock, at each size that was measured."""

    phase: str
    clock: Clock
    rows: list[AnswerRow]


class Answer(Struct, frozen=True):
    """What a run says about frameworks."""

    run: Results
    ports: list[str]  # those of the rows, in order, without plain JAX
    rows: list[AnswerRow]  # by each clock
    #: Of each port and kernel; None where equality was not measured before timing.
    proofs: list[Proof] | None
    missing: dict[str, str]  # ports that are not available, with the reason
    #: Other arms without a number, by name: the reason, and in how many rows.
    untimed: dict[str, tuple[str, int]]
    processes: int

    @property
    def situations(self) -> list[Situation]:
        """The rows in which a reader looks for an answer, by phase.

        One step and training stand for all phases where both were timed. A row by
        another clock than the usual one stands in for it where that has no number.
        """
        phases = set()
        usual = set()
        for row in self.rows:
            phases.add(row.phase)
            if row.is_usual:
                usual.add((str(row.workload), row.phase))
        shown = MAIN
        if not phases.issuperset(MAIN):
            shown = dict.fromkeys((*MAIN, *PHASES))

        situations = []
        for phase in shown:
            rows = []
            for row in self.rows:
                is_best = row.is_usual or (str(row.workload), row.phase) not in usual
                if row.phase == phase and is_best:
                    rows.append(row)
            for clock, alike in grouped(rows, lambda row: row.clock).items():
                situations.append(Situation(phase, clock, alike))
        return situations


def answer(run: Results) -> Answer:
    """The answer of a run.

    It has no rows if no framework was timed with its own cell.
    """
    rows = []
    for group in run.groups().values():
        if group[0].arm.division != STOCK:
            continue
        row = _row(group)
        if row.rankings:
            rows.append(row)
            if not row.is_usual:
                rows += _by_usual_clock(group)

    timed_ports = set()
    for row in rows:
        for ranking in row.rankings.values():
            timed_ports |= ranking.benchmarks.keys()
    ports = [port for port in run.trigru.plan.ports if port in timed_ports]

    missing = {u.arm.port: u.reason for u in run.untimed if u.arm.style is None}
    present = [u for u in run.untimed if u.arm.style is not None]
    untimed = {}
    for name, alike in grouped(present, lambda u: u.arm.name).items():
        untimed[name] = (alike[0].reason, len(alike))
    equality = run.trigru.begun.equality
    return Answer(
        run,
        ports,
        rows,
        proofs=None if equality is None else proofs_of(equality),
        missing=missing,
        untimed=untimed,
        processes=max((len(b.processes) for b in run.benchmarks), default=0),
    )


def _by_usual_clock(group: Sequence[Benchmark]) -> list[AnswerRow]:
    """The row of a group by the usual clock of its phase, which does not lead.

    No row where that clock has too few times.
    """
    by_other_clock = list(judged_by_other_clock(group).values())
    return [_row(by_other_clock)] if by_other_clock else []


def _row(group: Sequence[Benchmark]) -> AnswerRow:
    baseline = baseline_of(group)
    by_label = {label: labelled(group, label) for label in COMPARED}
    rankings = {}
    for label, by_port in by_label.items():
        frameworks = {p: b for p, b in by_port.items() if p != baseline.arm.port}
        if frameworks:
            not_compared = _on_other_devices(frameworks, baseline)
            rankings[label] = rank(group, frameworks, not_compared)

    return AnswerRow(
        baseline=baseline,
        rankings=rankings,
        alternatives=_alternatives(group, by_label),
    )


def _on_other_devices(
    frameworks: Mapping[str, Benchmark], baseline: Benchmark
) -> dict[str, str]:
    """The ports that ran on another device than plain JAX, and on which."""
    apart = {}
    for port, b in frameworks.items():
        if b.facts.backend != baseline.facts.backend:
            apart[port] = f"it ran on {b.facts.device}"
    return apart


def _alternatives(
    group: Sequence[Benchmark], by_label: Mapping[str, Mapping[str, Benchmark]]
) -> dict[str, Alternative]:
    """By port, the fastest of its styles that keep updates and its functional style.

    The functional style, which asks more changes of a user, has to be faster by
    FUNCTIONAL_GAIN.
    """
    alternatives = {}
    for port, documented in by_label[DOCUMENTED].items():
        candidates = _that_keep_updates(group, port)
        fastest = min(candidates, key=lambda b: b.call_s, default=None)
        functional = by_label[FUNCTIONAL].get(port)
        if functional is not None:
            limit_s = functional.call_s * FUNCTIONAL_GAIN
            if fastest is None or limit_s < fastest.call_s:
                fastest = functional
        if fastest is not None and fastest is not documented:
            d = difference(group, documented, fastest)
            alternatives[port] = Alternative(fastest, d)
    return alternatives


def _that_keep_updates(group: Sequence[Benchmark], port: str) -> list[Benchmark]:
    """The arms of a port in styles with `keeps_updates`."""
    if port not in port_names() or unavailable(port):
        return []
    styles = [s.name for s in get_port(port).call_styles if s.keeps_updates]
    arms = []
    for b in group:
        is_usual = (b.arm.port, b.arm.kernel, b.arm.way) == (port, STOCK, "")
        if is_usual and b.arm.style in styles:
            arms.append(b)
    return arms


def remarks(b: Benchmark, baseline: Benchmark) -> Iterator[str]:
    """What is to be heeded of an arm, beside its baseline."""
    if b.facts.backend != baseline.facts.backend:
        yield f"ran on {b.facts.device} ({b.facts.backend})"
    tuned = set()
    for facts in b.facts_by_process.values():
        if facts.program and facts.backend != "cpu":
            tuned.add(facts.program.tuned)
    if len(tuned) > 1:
        yield (
            f"its processes were tuned in {len(tuned)} ways, and its interval contains "
            "that"
        )
    if not all(b.steady):
        unsteady = b.steady.count(False)
        yield (
            f"not steady at the end of the warm-up in {unsteady} of {len(b.steady)} "
            "processes"
        )
