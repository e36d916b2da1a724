"""The answer of a run: in each row of work, what each framework takes in both styles, and which is the fastest.

A framework is never represented by the best of its call styles: menus of different length would be ranked. The fastest
that keeps what the documented style keeps stands beside them, as advice. Plain JAX is what ratios are to; it is no
framework, and does not compete.
"""

from itertools import combinations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from scipy.stats import t

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, port_names, unavailable
from ..results.arm import Sized
from ..results.grouping import grouped
from ..results.proof import Proof, proofs_of
from ..results.record import Benchmark, Results
from ..results.run import Clock, Machine
from .pairs import Difference, baseline_of, difference, frameworks, labelled, other_clock
from .statistics import CONFIDENCE, between_runs, enough_rounds

#: The two ways in which frameworks are compared.
WAYS = (DOCUMENTED, FUNCTIONAL)
#: The clock of a situation: an agent waits for each step, a training loop for none.
CLOCKS: dict[str, Clock] = {"step": "blocked", "train_step": "pipelined"}
#: A difference counts as seen if a run finds it with this probability.
POWER = 0.8
#: A noise floor above this hides differences by which one would choose: "indistinguishable" then tells more about the
#: machine than about the arms.
NOISY_FLOOR = 0.10


class Cell(Struct, frozen=True):
    """What a framework takes.

    Args:
        time_s: median seconds per call.
        ratio, low, high: time / plain JAX, with the 95 % interval.
        differs: why it is not compared with the others: it ran on another device than the baseline; None where it is.
    """

    style: str
    time_s: float
    ratio: float
    low: float
    high: float
    differs: str | None


class Row(Struct, frozen=True):
    """One phase of one workload, by one clock.

    Args:
        clock: see `trigru.bench.results.run.Timed`.
        floor: the noise floor, as a fraction.
        plain_s: median seconds per call of plain JAX.
        cells: by way, one of WAYS, and by port.
        fastest: by way, the ports than which no other is faster, and whose time is below that of each slower one. All
            of them, where they are not told apart; none, where too few rounds were measured to tell, or where there is
            nothing to compare.
        pairs: by way, every two frameworks.
        keeping: by port, the fastest of the styles that keep what a call changes in the model, beside the documented
            one; none where it has no such. See `trigru.common.port.protocol.CallStyle.keeps_updates`.
        advised: by port, its documented style against that one, or against the functional one where there is none.
        least: the least difference from plain JAX, as a fraction, that the run could find four times in five.
        other: the same by the clock of its situation, where another leads and that one was read; see `CLOCKS`.
    """

    workload: Sized
    shape: str
    phase: str
    clock: Clock
    floor: float
    plain_s: float
    cells: dict[str, dict[str, Cell]]
    fastest: dict[str, list[str]]
    pairs: dict[str, list[Difference]]
    keeping: dict[str, Cell] = {}
    advised: dict[str, Difference] = {}
    least: float | None = None
    other: "Row | None" = None

    @property
    def is_noisy(self) -> bool:
        """Whether the noise hides differences by which one would choose."""
        return self.floor > NOISY_FLOOR


class Answer(Struct, frozen=True):
    """What a run says about frameworks.

    Args:
        proofs: of each port and kernel; None where equality was not measured before timing.
        checks: by which it was.
        ports: the frameworks, in order; without plain JAX.
        missing: ports that are not available, with the reason.
        untimed: other arms without a number, by name, with the reason and in how many rows.
        dtypes: in which equality was measured.
        arithmetic: in which all was timed: the dtype, and the precision where it is not "highest".
        processes: how many measured.
    """

    proofs: list[Proof] | None
    checks: list[str]
    dtypes: list[str]
    ports: list[str]
    missing: dict[str, str]
    untimed: dict[str, tuple[str, int]]
    rows: list[Row]
    datetime: str
    machine: Machine
    processes: int
    complete: bool
    arithmetic: str = "float32"


def answer(results: Results) -> Answer:
    """The answer of a run. It has no rows if no framework was timed with its own cell."""
    groups = {name: of for name, of in results.groups().items() if of[0].arm.division == STOCK}
    least = sight(results)
    rows = [replace(_row_by_clocks(results, of), least=least.get(name)) for name, of in groups.items()]
    timed = {port for row in rows for cells in row.cells.values() for port in cells}
    facts = results.trigru
    untimed = grouped((u for u in results.untimed if u.arm.style is not None), lambda u: u.arm.name)
    return Answer(
        proofs=None if facts.equality is None else proofs_of(facts.equality),
        checks=list(dict.fromkeys(m.check for m in facts.equality or ())),
        dtypes=list(dict.fromkeys(m.dtype for m in facts.equality or ())),
        ports=[port for port in (*facts.plan.ports, *facts.plan.peers) if port in timed],
        missing={u.arm.port: u.reason for u in results.untimed if u.arm.style is None},
        untimed={name: (of_name[0].reason, len(of_name)) for name, of_name in untimed.items()},
        rows=[row for row in rows if row.cells],
        datetime=results.datetime,
        machine=facts.machine,
        processes=max((len({*b.process}) for b in results.benchmarks), default=0),
        complete=facts.complete,
        arithmetic=facts.plan.arithmetic,
    )


def _row_by_clocks(results: Results, benchmarks: list[Benchmark]) -> Row:
    row = _row(results, benchmarks)
    if row.clock == CLOCKS.get(row.phase, row.clock):
        return row
    others = [other for b in benchmarks if (other := other_clock(results, b))]
    return replace(row, other=_row(results, others)) if others else row


def _row(results: Results, benchmarks: list[Benchmark]) -> Row:
    first, baseline = benchmarks[0], baseline_of(benchmarks)

    def differs(b: Benchmark) -> str | None:
        return f"it ran on {b.facts.device}" if b.facts.backend != baseline.facts.backend else None

    def cell(b: Benchmark) -> Cell:
        ratio = b.ratio, b.ratio_low, b.ratio_high
        return Cell(b.arm.style or "?", float(np.median(b.time_s)), *ratio, differs(b))

    cells, fastest, between = {}, {}, {}
    for way in WAYS:
        found = frameworks(benchmarks, way)
        if not found:
            continue
        cells[way] = {port: cell(b) for port, b in found.items()}
        alike = {port: b for port, b in found.items() if not differs(b)}
        met = {two: difference(results, alike[two[0]], alike[two[1]]) for two in combinations(alike, 2)}
        slower = {one if d.verdict == "slower" else other for (one, other), d in met.items() if d.is_real}
        judged = len(alike) > 1 and enough_rounds(first.process)
        # where one that was shown to be slower has a smaller time, a larger one is too noisy to be called the fastest
        limit_s = min((cells[way][port].time_s for port in slower), default=np.inf)
        fastest[way] = [port for port in alike if judged and port not in slower and cells[way][port].time_s < limit_s]
        between[way] = list(met.values())
    documented, functional = (labelled(benchmarks, way) for way in WAYS)
    kept = {port: best for port in documented if (best := _fastest_keeping(benchmarks, port))}
    other = {port: b for port, b in {**functional, **kept}.items() if b is not documented.get(port, b)}
    return Row(
        first.arm.workload, first.shape, first.arm.phase, first.facts.clock, first.floor,
        float(np.median(baseline.time_s)), cells, fastest, between,
        {port: cell(b) for port, b in kept.items()},
        {port: difference(results, documented[port], b) for port, b in other.items()},
    )  # fmt: skip


def _fastest_keeping(benchmarks: list[Benchmark], port: str) -> Benchmark | None:
    """The arm of a port, on the stock cell and one device, in the fastest of its styles that keep state."""
    if port not in port_names() or unavailable(port):
        return None
    names = {style.name for style in get_port(port).call_styles if style.keeps_updates}
    own = [b for b in benchmarks if b.arm.port == port and b.arm.kernel == STOCK and not b.arm.way]
    return min((b for b in own if b.arm.style in names), key=lambda b: np.median(b.time_s), default=None)


def least_seen(b: Benchmark) -> float:
    """The least difference that would have been found in an arm, given its interval and its noise floor; a fraction.

    A verdict needs an effect beyond the reach of its interval, and beyond the floor. The effect that is found varies by
    its standard error and by how runs differ, so the true one has to be larger than that.
    """
    processes = len({*b.process})
    freedom, between = processes - 1 if processes > 1 else np.inf, between_runs(processes)
    half, normal = np.log(b.ratio_high / b.ratio_low) / 2, t.ppf((1 + CONFIDENCE) / 2, np.inf)
    error = max(half**2 - (normal * between) ** 2, 0.0) ** 0.5 / t.ppf((1 + CONFIDENCE) / 2, freedom)

    def reach(share: float) -> float:
        return float(np.hypot(t.ppf(share, freedom) * error, t.ppf(share, np.inf) * between))

    return float(np.expm1(max(reach((1 + CONFIDENCE) / 2), np.log1p(b.floor)) + reach(POWER)))


def sight(results: Results) -> dict[str, float]:
    """For each group, the median over its arms of the least difference that would have been found."""
    arms = {
        group: [least_seen(b) for b in found if not (b.arm.is_baseline or b.arm.way)]
        for group, found in results.groups().items()
    }
    return {group: float(np.median(least)) for group, least in arms.items() if least}
