"""The tidy table of some runs: a row for each arm against plain JAX, or for each two frameworks in the same call style.

What stands in a row was measured in the same rounds. Rows of different runs are not compared.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from ..arms.arms import BASELINE
from ..results.arm import Untimed
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .merge import baseline_of
from .pairs import difference, reference_of

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
    time_s: float | None = None  # seconds per call, the median of the rounds; None in pairs
    time_low_s: float | None = None  # the quartiles of the rounds
    time_high_s: float | None = None
    ratio: float | None = None  # with the 95 % interval
    low: float | None = None
    high: float | None = None
    verdict: str | None = None  # "faster", "slower" or "indistinguishable"; None of what ratios are over
    cause: str | None = None  # of the difference from plain JAX, or from its framework's functional style
    dots: int | None = None  # operations of the program; None in pairs, or where it could not be read
    whiles: int | None = None
    fusions: int | None = None
    transposes: int | None = None
    remark: str = ""  # what is to be heeded, or why there is no number


Only = Sequence[str] | None  # the names that are chosen; None for all


def timings(
    runs: Sequence[Results], kind: Kind = "pure", *, workloads: Only = None, phases: Only = None, styles: Sequence[str]
) -> list[Timing]:
    """The rows of some runs, those of a group together: of all workloads and phases, or those that are named.

    Workloads with or without sizes that were changed, and call styles by name or label.
    """
    rows: dict[str, list[Timing]] = {}
    for number, run in enumerate(runs, 1):
        for group, items in grouped(items_of(run), lambda item: item.arm.group).items():
            arm, timed = items[0].arm, [item for item in items if isinstance(item, Benchmark)]
            is_work = workloads is None or {arm.workload.name, str(arm.workload)} & {*workloads}
            if not is_work or (phases is not None and arm.phase not in phases):
                continue
            for style in dict.fromkeys(styles):
                # a port that is not available has no number in any style
                called = [i for i in items if i.arm.style is None or style in (i.arm.style, *i.arm.labels)]
                if kind == "pairwise":  # each two frameworks on one kernel; plain JAX, the baseline, is none of them
                    frameworks = [item for item in called if item.arm.port != BASELINE[0]]
                    alike = grouped(frameworks, lambda item: item.arm.kernel).values()
                    some = [pair for of_kernel in alike for pair in combinations(of_kernel, 2)]
                else:
                    some = [(item,) for item in called if item.arm.role != "duplicate"]
                rows.setdefault(group, []).extend(_row(number, style, timed, *of) for of in some)
    return [row for of_group in rows.values() for row in of_group]


def items_of(run: Results) -> list[Benchmark | Untimed]:
    """Arms on one device; arms on several have tables of their own."""
    return [item for item in (*run.benchmarks, *run.untimed) if not item.arm.way]


def _row(file: int, style: str, timed: list[Benchmark], *items: Benchmark | Untimed) -> Timing:
    """A row of an arm, or of one over another; where there is no number, its remark says why."""
    arm, facts = items[0].arm, dict[str, Any]()
    match items:
        case [Benchmark() as b]:
            low_s, time_s, high_s = np.quantile(b.time_s, (0.25, 0.5, 0.75)).tolist()
            facts = {"time_low_s": low_s, "time_s": time_s, "time_high_s": high_s}
            facts |= {"ratio": b.ratio, "low": b.low, "high": b.high}
            if not b.arm.is_baseline:
                facts |= {"verdict": b.verdict, "cause": difference(timed, b, reference_of(b, timed)).cause}
            if program := b.facts.program:
                facts |= {name: getattr(program, name) for name in ("dots", "whiles", "fusions", "transposes")}
            remark = "; ".join(remarks(b, baseline_of(timed)))
        case [Benchmark() as one, Benchmark() as other] if one.facts.backend == other.facts.backend:
            d = difference(timed, one, other)
            facts = {name: getattr(d, name) for name in ("ratio", "low", "high", "verdict", "cause")}
            remark = "; ".join([*remarks(one, one), *remarks(other, other)])
        case [Benchmark() as one, Benchmark() as other]:
            remark = f"one ran on {one.facts.device}, the other on {other.facts.device}"
        case _:
            remark = next(item.reason for item in items if isinstance(item, Untimed))
    return Timing(
        file=file, workload=str(arm.workload), phase=arm.phase, dtype=arm.arithmetic, division=arm.division,
        port="/".join(item.arm.port for item in items), style=style, kernel=arm.kernel,
        arm="/".join(item.arm.name for item in items), remark=remark, **facts,
    )  # fmt: skip


def remarks(b: Benchmark, baseline: Benchmark) -> Iterator[str]:
    """What is to be heeded of an arm, beside its baseline."""
    if b.facts.backend != baseline.facts.backend:
        yield f"ran on {b.facts.device} ({b.facts.backend})"
    if any(t.gate is None for t in b.timed.values()):
        yield "not compared with the oracle"
    tuned = {t.program.tuned for t in b.timed.values() if t.program and t.backend != "cpu"}
    if len(tuned) > 1:
        yield f"its processes were tuned in {len(tuned)} ways, and its interval contains that"
    if not all(b.steady):
        yield f"not steady at the end of the warm-up in {b.steady.count(False)} of {len(b.steady)} processes"
