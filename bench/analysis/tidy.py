"""The tidy table of some runs: a row for each arm against plain JAX, or for each two frameworks in the same call style.

What stands in a row was measured in the same rounds. Rows of different runs are not compared.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ...common.errors import UnknownNameError
from ..results.arm import Untimed
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .pairs import baseline_of, difference, reference_of

#: What ratios are over: plain JAX, or each other framework.
Over = Literal["pure", "pairwise"]


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


Item = Benchmark | Untimed


def timings(
    runs: Sequence[Results],
    over: Over = "pure",
    *,
    workloads: Sequence[str] | None = None,
    phases: Sequence[str] | None = None,
    styles: Sequence[str],
) -> list[Timing]:
    """The rows of some runs; those of one group in each run follow each other.

    Args:
        workloads: with or without sizes that were changed; None for all.
        phases: None for all.
        styles: names or labels of call styles.
    """
    rows: dict[str, list[Timing]] = {}
    for number, run in enumerate(runs, 1):
        for group, items in grouped(_items(run), lambda item: item.arm.group).items():
            arm = items[0].arm
            is_work = workloads is None or {arm.workload.name, str(arm.workload)} & {*workloads}
            if not is_work or (phases is not None and arm.phase not in phases):
                continue
            for style in dict.fromkeys(styles):
                # a port that is not available has no number in any style
                called = [i for i in items if i.arm.style is None or style in (i.arm.style, *i.arm.labels)]
                found = _pairs(run, called) if over == "pairwise" else _singles(run, items, called)
                rows.setdefault(group, []).extend(replace(row, file=number, style=style) for row in found)
    return [row for of_group in rows.values() for row in of_group]


def check_names(runs: Sequence[Results], **chosen: Iterable[str] | None) -> None:
    """Raise an UnknownNameError if no run has a workload, phase or call style that users chose for `timings`."""
    arms = [item.arm for run in runs for item in _items(run)]
    known = {
        "workloads": ("workload", [name for arm in arms for name in (arm.workload.name, str(arm.workload))]),
        "phases": ("phase", [arm.phase for arm in arms]),
        "styles": ("call style", [name for arm in arms for name in (arm.style, *arm.labels) if name]),
    }
    for what, names in chosen.items():
        kind, of_runs = known[what]
        for name in names or ():
            if name not in of_runs:
                raise UnknownNameError(f"{kind} of these results", name, list(dict.fromkeys(of_runs)))


def _items(run: Results) -> list[Item]:
    """Arms on one device; arms on several have tables of their own."""
    return [item for item in (*run.benchmarks, *run.untimed) if not item.arm.way]


def _row(items: Sequence[Item], remark: str = "", **facts: Any) -> Timing:
    arm = items[0].arm
    return Timing(
        file=0, workload=str(arm.workload), phase=arm.phase, dtype=arm.arithmetic, division=arm.division,
        port="/".join(item.arm.port for item in items), style="", kernel=arm.kernel,
        arm="/".join(item.arm.name for item in items), remark=remark, **facts,
    )  # fmt: skip


def _singles(run: Results, items: list[Item], called: list[Item]) -> Iterator[Timing]:
    timed = [item for item in items if isinstance(item, Benchmark)]
    for item in called:
        if item.arm.role == "duplicate":
            continue
        if isinstance(item, Untimed):
            yield _row([item], item.reason)
            continue
        quartiles_s = np.quantile(item.time_s, (0.25, 0.5, 0.75)).tolist()
        facts: dict[str, Any] = dict(zip(("time_low_s", "time_s", "time_high_s"), quartiles_s, strict=True))
        facts |= {"ratio": item.ratio, "low": item.low, "high": item.high}
        if not item.arm.is_baseline:
            facts |= {"verdict": item.verdict, "cause": difference(run, item, reference_of(item, timed)).cause}
        if program := item.facts.program:
            facts |= {name: getattr(program, name) for name in ("dots", "whiles", "fusions", "transposes")}
        yield _row([item], "; ".join(remarks(item, baseline_of(timed))), **facts)


def _pairs(run: Results, called: list[Item]) -> Iterator[Timing]:
    """Each two frameworks in a call style; plain JAX, the baseline, is none of them."""
    plain = {item.arm.port for item in _items(run) if item.arm.is_baseline}
    chosen = [item for item in called if item.arm.port not in plain]
    for same in grouped(chosen, lambda item: item.arm.kernel).values():
        for one, other in combinations(same, 2):
            if isinstance(one, Untimed) or isinstance(other, Untimed):
                yield _row([one, other], next(item.reason for item in (one, other) if isinstance(item, Untimed)))
            elif one.facts.backend != other.facts.backend:
                yield _row([one, other], f"one ran on {one.facts.device}, the other on {other.facts.device}")
            else:
                d = difference(run, one, other)
                facts = {name: getattr(d, name) for name in ("ratio", "low", "high", "verdict", "cause")}
                yield _row([one, other], "; ".join(remark for b in (one, other) for remark in remarks(b, b)), **facts)


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
