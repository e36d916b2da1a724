"""The answer of a run: in each row of work, what each framework takes in both styles, and which is the fastest; and the
tidy table of some runs: a row for each arm against plain JAX, or for each two frameworks in the same call style.

A framework is never represented by the best of its call styles: menus of different length would be ranked. The fastest
that keeps what the documented style keeps stands beside them, as advice. Plain JAX is what ratios are to; it is no
framework, and does not compete.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from scipy.stats import t

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, port_names, unavailable
from ..arms.arms import BASELINE
from ..results.arm import Sized, Untimed
from ..results.grouping import grouped
from ..results.proof import Proof, proofs_of
from ..results.run import Benchmark, Clock, Results
from .merge import baseline_of, judged_by_other_clock
from .pairs import Difference, difference, labelled, reference_of
from .statistics import CONFIDENCE, between_runs, enough_rounds

#: The labels of the call styles in which frameworks are compared.
COMPARED = (DOCUMENTED, FUNCTIONAL)
#: The clock of a situation: an agent waits for each step, a training loop for none.
CLOCKS: dict[str, Clock] = {"step": "blocked", "train_step": "pipelined"}
POWER = 0.8  # a difference counts as seen if a run finds it with this probability
#: A noise floor above this hides differences by which one would choose: "indistinguishable" then tells more about the
#: machine than about the arms.
NOISY_FLOOR = 0.10


class AnswerRow(Struct, frozen=True):
    """One phase of one workload, by one clock: the arms of which its table has the times.

    The fastest are the ports than which no other is faster, and whose time is below that of each slower one: all, where
    they are not told apart; none, where too few rounds were measured to tell, or there is nothing to compare.
    """

    baseline: Benchmark  # plain JAX
    cells: dict[str, dict[str, Benchmark]]  # by label, one of COMPARED, and by port
    fastest: dict[str, list[str]]  # by label
    pairs: dict[str, dict[tuple[str, str], Difference]]  # by label, and by two ports
    keeping: dict[
        str, Benchmark
    ]  # by port, the fastest of its styles with `keeps_updates`, if it has any
    advised: dict[
        str, Difference
    ]  # by port, its documented style against that one, or else the functional one
    least: float | None = (
        None  # difference from plain JAX, as a fraction, that is found four times in five
    )
    other: "AnswerRow | None" = (
        None  # by the clock of its situation, where another leads; see `CLOCKS`
    )

    @property
    def workload(self) -> Sized:
        return self.baseline.arm.workload

    @property
    def phase(self) -> str:
        return self.baseline.arm.phase

    @property
    def clock(self) -> Clock:
        """The clock of its times; see `trigru.bench.results.run.Timed`."""
        return self.baseline.facts.clock

    def apart(self, b: Benchmark) -> str | None:
        """Why an arm is not compared with the others: it ran on another device than plain JAX; None where it is."""
        return (
            f"it ran on {b.facts.device}"
            if b.facts.backend != self.baseline.facts.backend
            else None
        )


class Answer(Struct, frozen=True):
    """What a run says about frameworks."""

    run: Results
    ports: list[str]  # those of the rows, in order, without plain JAX
    rows: list[AnswerRow]
    proofs: (
        list[Proof] | None
    )  # of each port and kernel; None where equality was not measured before timing
    missing: dict[str, str]  # ports that are not available, with the reason
    untimed: dict[
        str, tuple[str, int]
    ]  # other arms without a number, by name: the reason, and in how many rows
    processes: int


def answer(run: Results) -> Answer:
    """The answer of a run. It has no rows if no framework was timed with its own cell."""
    rows = []
    for group in run.groups().values():
        if group[0].arm.division == STOCK and (row := _row(group)).cells:
            leads = row.clock == CLOCKS.get(row.phase, row.clock)
            others = [] if leads else [*judged_by_other_clock(group).values()]
            rows.append(replace(row, other=_row(others)) if others else row)
    timed = {port for row in rows for cells in row.cells.values() for port in cells}
    plan, equality = run.trigru.plan, run.trigru.begun.equality
    ports = [port for port in (*plan.ports, *plan.peers) if port in timed]
    missing = {u.arm.port: u.reason for u in run.untimed if u.arm.style is None}
    by_name = grouped(
        (u for u in run.untimed if u.arm.style is not None), lambda u: u.arm.name
    )
    untimed = {name: (alike[0].reason, len(alike)) for name, alike in by_name.items()}
    processes = max((len(b.timed) for b in run.benchmarks), default=0)
    proofs = None if equality is None else proofs_of(equality)
    return Answer(run, ports, rows, proofs, missing, untimed, processes)


def _row(benchmarks: list[Benchmark]) -> AnswerRow:
    row = AnswerRow(baseline_of(benchmarks), {}, {}, {}, {}, {}, least_seen(benchmarks))
    for label in COMPARED:
        cells = {
            port: b
            for port, b in labelled(benchmarks, label).items()
            if port != row.baseline.arm.port
        }
        if not cells:
            continue
        alike = {port: b for port, b in cells.items() if not row.apart(b)}
        met = {
            (one, other): difference(benchmarks, alike[one], alike[other])
            for one, other in combinations(alike, 2)
        }
        slower = {
            one if d.verdict == "slower" else other
            for (one, other), d in met.items()
            if d.is_real
        }
        judged = len(alike) > 1 and enough_rounds(row.baseline.process)
        # where one that was shown to be slower has a smaller time, a larger one is too noisy to be called the fastest
        limit_s = min((cells[port].median_s for port in slower), default=np.inf)
        row.cells[label] = cells
        row.fastest[label] = [
            p
            for p, b in alike.items()
            if judged and p not in slower and b.median_s < limit_s
        ]
        row.pairs[label] = met
    documented, functional = (labelled(benchmarks, label) for label in COMPARED)
    kept = dict[str, Benchmark]()
    for port in documented:
        styles = (
            get_port(port).call_styles
            if port in port_names() and not unavailable(port)
            else ()
        )
        names = {style.name for style in styles if style.keeps_updates}
        own = (
            b
            for b in benchmarks
            if (b.arm.port, b.arm.kernel, b.arm.way) == (port, STOCK, "")
        )
        if best := min(
            (b for b in own if b.arm.style in names),
            key=lambda b: b.median_s,
            default=None,
        ):
            kept[port] = best
    other = {
        port: b
        for port, b in {**functional, **kept}.items()
        if b is not documented.get(port, b)
    }
    advised = {
        port: difference(benchmarks, documented[port], b) for port, b in other.items()
    }
    return replace(row, keeping=kept, advised=advised)


def least_seen(benchmarks: list[Benchmark]) -> float | None:
    """The least difference that a group would have shown, a fraction: the median over its arms; None without arms.

    A verdict needs an effect beyond the reach of its interval, and beyond the noise floor. The effect that is found
    varies by its standard error and by how runs differ, so the true one has to be larger than that.
    """
    least = []
    for b in benchmarks:
        if b.arm.is_baseline or b.arm.way:
            continue
        processes = len({*b.process})
        freedom, between = (
            processes - 1 if processes > 1 else np.inf,
            between_runs(processes),
        )
        shares = np.array([(1 + CONFIDENCE) / 2, POWER])
        in_run, known = t.ppf(shares, freedom), t.ppf(shares, np.inf) * between
        error = (
            max((np.log(b.high / b.low) / 2) ** 2 - known[0] ** 2, 0.0) ** 0.5
            / in_run[0]
        )
        verdict, seen = np.hypot(in_run * error, known)
        least.append(np.expm1(max(verdict, np.log1p(b.floor)) + seen))
    return float(np.median(least)) if least else None


#: What a table shows: ratios to plain JAX, those to each other framework, or seconds.
Kind = Literal["pure", "pairwise", "time"]


class Timing(Struct, frozen=True, kw_only=True):
    """A row: an arm, or two in a pair. Numbers are None where there are none."""

    file: int  # the number of its run, from 1
    workload: str
    phase: str
    dtype: str
    division: str  # the kernels that were measured in its rounds
    port: str  # in pairs two, the first over the second, as in "linen/nnx"
    style: str  # the name or label by which the call style was chosen
    kernel: str
    arm: str  # the names of the arms
    time_s: float | None = (
        None  # seconds per call, the median of the rounds; None in pairs
    )
    time_low_s: float | None = None  # the quartiles of the rounds
    time_high_s: float | None = None
    ratio: float | None = None  # with the 95 % interval
    low: float | None = None
    high: float | None = None
    verdict: str | None = (
        None  # "faster", "slower" or "indistinguishable"; None of what ratios are over
    )
    cause: str | None = (
        None  # of the difference from plain JAX, or from its framework's functional style
    )
    dots: int | None = (
        None  # operations of the program; None in pairs, or where it could not be read
    )
    whiles: int | None = None
    fusions: int | None = None
    transposes: int | None = None
    remark: str = ""  # what is to be heeded, or why there is no number


def timings(runs: Sequence[Results], kind: Kind, styles: Iterable[str]) -> list[Timing]:
    """The rows of some runs, in call styles by name or label, those of a group together.

    What stands in a row was measured in the same rounds. Rows of different runs are not compared.
    """
    rows: dict[str, list[Timing]] = {}
    for number, run in enumerate(runs, 1):
        of_one = [
            item for item in (*run.benchmarks, *run.untimed) if not item.arm.way
        ]  # not of several devices
        for group, items in grouped(of_one, lambda item: item.arm.group).items():
            timed = [item for item in items if isinstance(item, Benchmark)]
            for style in dict.fromkeys(styles):
                # a port that is not available has no number in any style
                called = [
                    i
                    for i in items
                    if i.arm.style is None or style in (i.arm.style, *i.arm.labels)
                ]
                if (
                    kind == "pairwise"
                ):  # each two frameworks on one kernel; plain JAX, the baseline, is none of them
                    frameworks = [
                        item for item in called if item.arm.port != BASELINE[0]
                    ]
                    alike = grouped(frameworks, lambda item: item.arm.kernel).values()
                    some = [
                        pair
                        for of_kernel in alike
                        for pair in combinations(of_kernel, 2)
                    ]
                else:
                    some = [(item,) for item in called if item.arm.role != "duplicate"]
                rows.setdefault(group, []).extend(
                    _timing(number, style, timed, *of) for of in some
                )
    return [row for of_group in rows.values() for row in of_group]


def _timing(
    file: int, style: str, timed: list[Benchmark], *items: Benchmark | Untimed
) -> Timing:
    """A row of an arm, or of one over another; where there is no number, its remark says why."""
    arm, facts = items[0].arm, dict[str, Any]()
    match items:
        case [Benchmark() as b]:
            low_s, time_s, high_s = np.quantile(b.time_s, (0.25, 0.5, 0.75)).tolist()
            facts = {"time_low_s": low_s, "time_s": time_s, "time_high_s": high_s}
            facts |= {"ratio": b.ratio, "low": b.low, "high": b.high}
            if not b.arm.is_baseline:
                facts |= {
                    "verdict": b.verdict,
                    "cause": difference(timed, b, reference_of(b, timed)).cause,
                }
            if program := b.facts.program:
                facts |= {
                    name: getattr(program, name)
                    for name in ("dots", "whiles", "fusions", "transposes")
                }
            remark = "; ".join(remarks(b, baseline_of(timed)))
        case [Benchmark() as one, Benchmark() as other] if (
            one.facts.backend == other.facts.backend
        ):
            d = difference(timed, one, other)
            facts = {
                name: getattr(d, name)
                for name in ("ratio", "low", "high", "verdict", "cause")
            }
            remark = "; ".join([*remarks(one, one), *remarks(other, other)])
        case [Benchmark() as one, Benchmark() as other]:
            remark = f"one ran on {one.facts.device}, the other on {other.facts.device}"
        case _:
            remark = next(item.reason for item in items if isinstance(item, Untimed))
    return Timing(
        file=file,
        workload=str(arm.workload),
        phase=arm.phase,
        dtype=arm.arithmetic,
        division=arm.division,
        port="/".join(item.arm.port for item in items),
        style=style,
        kernel=arm.kernel,
        arm="/".join(item.arm.name for item in items),
        remark=remark,
        **facts,
    )


def remarks(b: Benchmark, baseline: Benchmark) -> Iterator[str]:
    """What is to be heeded of an arm, beside its baseline."""
    if b.facts.backend != baseline.facts.backend:
        yield f"ran on {b.facts.device} ({b.facts.backend})"
    if any(t.gate is None for t in b.timed.values()):
        yield "not compared with the oracle"
    tuned = {
        t.program.tuned for t in b.timed.values() if t.program and t.backend != "cpu"
    }
    if len(tuned) > 1:
        yield f"its processes were tuned in {len(tuned)} ways, and its interval contains that"
    if not all(b.steady):
        yield f"not steady at the end of the warm-up in {b.steady.count(False)} of {len(b.steady)} processes"
