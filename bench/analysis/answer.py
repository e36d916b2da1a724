"""The answer of a run: what each framework takes in each style, and which is the
fastest.

A framework is never represented by the best of its call styles: menus of different
length would be ranked. The fastest that keeps what the documented style keeps stands
beside them, as advice. Plain JAX is what ratios are to; it is no framework, and does
not compete.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from scipy.stats import t

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, port_names, unavailable
from ..results.arm import Clock, Sized
from ..results.grouping import grouped
from ..results.proof import Proof, proofs_of
from .benchmarks import Benchmark, Results
from .merge import baseline_of, judged_by_other_clock
from .pairs import Difference, difference, labelled
from .statistics import CONFIDENCE, between_runs, enough_rounds

#: The labels of the call styles in which frameworks are compared.
COMPARED = (DOCUMENTED, FUNCTIONAL)
#: The clock of a situation: an agent waits for each step, a training loop for none.
CLOCKS: dict[str, Clock] = {"step": "blocked", "train_step": "pipelined"}
POWER = 0.8  # a difference counts as seen if a run finds it with this probability
#: A noise floor above this hides differences by which one would choose:
#: "indistinguishable" then tells more about the machine than about the arms.
NOISY_FLOOR = 0.10


class AnswerRow(Struct, frozen=True, kw_only=True):
    """One phase of one workload, by one clock: the arms of which its table has the
    times.

    The fastest are the ports than which no other is faster, and whose time is below
    that of each slower one: all, where they are not told apart; none, where too few
    rounds were measured to tell, or there is nothing to compare.
    """

    baseline: Benchmark  # plain JAX
    cells: dict[str, dict[str, Benchmark]]  # by label, one of COMPARED, and by port
    fastest: dict[str, list[str]]  # by label
    pairs: dict[str, dict[tuple[str, str], Difference]]  # by label, and by two ports
    #: By port, the fastest of its styles with `keeps_updates`, if it has any.
    keeping: dict[str, Benchmark]
    #: By port, its documented style against that one, or else the functional one.
    advised: dict[str, Difference]
    #: Difference from plain JAX, as a fraction, that is found four times in five.
    least: float | None
    #: By the clock of its situation, where another leads; see `CLOCKS`.
    other: "AnswerRow | None" = None

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

    def apart(self, b: Benchmark) -> str | None:
        """Why an arm is not compared with the others; None where it is.

        It is not if it ran on another device than plain JAX.
        """
        if b.facts.backend == self.baseline.facts.backend:
            return None
        return f"it ran on {b.facts.device}"


class Answer(Struct, frozen=True):
    """What a run says about frameworks."""

    run: Results
    ports: list[str]  # those of the rows, in order, without plain JAX
    rows: list[AnswerRow]
    #: Of each port and kernel; None where equality was not measured before timing.
    proofs: list[Proof] | None
    missing: dict[str, str]  # ports that are not available, with the reason
    #: Other arms without a number, by name: the reason, and in how many rows.
    untimed: dict[str, tuple[str, int]]
    processes: int


def answer(run: Results) -> Answer:
    """The answer of a run.

    It has no rows if no framework was timed with its own cell.
    """
    rows = []
    for group in run.groups().values():
        if group[0].arm.division != STOCK:
            continue
        row = _row(group)
        if row.cells:
            rows.append(_with_other_clock(row, group))

    timed_ports = set()
    for row in rows:
        for cells in row.cells.values():
            timed_ports |= cells.keys()
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


def _with_other_clock(row: AnswerRow, group: Sequence[Benchmark]) -> AnswerRow:
    """A row that also has that of its situation's clock, where another one leads."""
    if row.clock == CLOCKS.get(row.phase, row.clock):
        return row
    others = list(judged_by_other_clock(group).values())
    return replace(row, other=_row(others)) if others else row


def _row(group: Sequence[Benchmark]) -> AnswerRow:
    baseline = baseline_of(group)
    by_label = {label: labelled(group, label) for label in COMPARED}
    keeping = _fastest_that_keep(group, by_label[DOCUMENTED])
    row = AnswerRow(
        baseline=baseline,
        cells={},
        fastest={},
        pairs={},
        keeping=keeping,
        advised=_advised(group, by_label, keeping),
        least=least_seen(group),
    )
    for label, benchmarks in by_label.items():
        cells = {p: b for p, b in benchmarks.items() if p != baseline.arm.port}
        if cells:
            compared = {p: b for p, b in cells.items() if not row.apart(b)}
            pairs = {}
            for one, other in combinations(compared, 2):
                pairs[one, other] = difference(group, compared[one], compared[other])
            row.cells[label] = cells
            row.pairs[label] = pairs
            row.fastest[label] = _fastest(compared, pairs)
    return row


def _fastest(
    cells: Mapping[str, Benchmark], pairs: Mapping[tuple[str, str], Difference]
) -> list[str]:
    """The ports that are the fastest; see `AnswerRow`."""
    if len(cells) < 2:
        return []
    if not enough_rounds(next(iter(cells.values())).process):
        return []
    slower = set()
    for (one, other), d in pairs.items():
        if d.is_real:
            slower.add(one if d.verdict == "slower" else other)
    # where a port that was shown to be slower has a smaller time, a port with a larger
    # time is too noisy to be called the fastest
    limit_s = min((cells[port].median_s for port in slower), default=np.inf)
    rest = [port for port in cells if port not in slower]
    return [port for port in rest if cells[port].median_s < limit_s]


def _fastest_that_keep(
    group: Sequence[Benchmark], documented: Mapping[str, Benchmark]
) -> dict[str, Benchmark]:
    """By port, the fastest of its styles that keep updates, if it has any."""
    fastest = {}
    for port in documented:
        if port not in port_names() or unavailable(port):
            continue
        styles = [s.name for s in get_port(port).call_styles if s.keeps_updates]
        for b in group:
            is_usual = (b.arm.port, b.arm.kernel, b.arm.way) == (port, STOCK, "")
            if not is_usual or b.arm.style not in styles:
                continue
            if port not in fastest or b.median_s < fastest[port].median_s:
                fastest[port] = b
    return fastest


def _advised(
    group: Sequence[Benchmark],
    by_label: Mapping[str, Mapping[str, Benchmark]],
    keeping: Mapping[str, Benchmark],
) -> dict[str, Difference]:
    """By port, its documented style against the one that is advised instead."""
    documented = by_label[DOCUMENTED]
    advised = {}
    for port, b in {**by_label[FUNCTIONAL], **keeping}.items():
        if port in documented and documented[port] is not b:
            advised[port] = difference(group, documented[port], b)
    return advised


def least_seen(group: Sequence[Benchmark]) -> float | None:
    """The least difference that a group would have shown, a fraction.

    It is the median over the group's arms; None without arms. A verdict needs an effect
    beyond the reach of its interval, and beyond the noise floor. The effect that is
    found varies by its standard error and by how runs differ, so the true one has to be
    larger than that.
    """
    arms = [b for b in group if not b.arm.is_baseline and not b.arm.way]
    least = [_least_seen_of(b) for b in arms]
    return float(np.median(least)) if least else None


def _least_seen_of(b: Benchmark) -> float:
    """The least difference of an arm that would have got a verdict, as a fraction."""
    processes = len(b.processes)
    freedom = processes - 1 if processes > 1 else np.inf
    half = (1 + CONFIDENCE) / 2  # the share below the upper end of an interval
    runs_error = between_runs(processes)

    # the standard error within the run, from the interval that contains both
    reach = np.log(b.comparison.high / b.comparison.low) / 2
    runs_reach = t.ppf(half, np.inf) * runs_error
    error = max(reach**2 - runs_reach**2, 0.0) ** 0.5 / t.ppf(half, freedom)

    interval = np.hypot(t.ppf(half, freedom) * error, runs_reach)
    for_verdict = max(interval, np.log1p(b.floor))
    for_power = np.hypot(
        t.ppf(POWER, freedom) * error, t.ppf(POWER, np.inf) * runs_error
    )
    return float(np.expm1(for_verdict + for_power))


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
