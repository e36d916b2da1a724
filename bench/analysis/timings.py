"""The tidy table of some runs: a row for an arm, or for two frameworks in a call
style.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ..arms.arms import BASELINE
from ..results.arm import Untimed
from ..results.grouping import grouped
from .answer import remarks
from .benchmarks import Benchmark, Results
from .comparison import Verdict
from .merge import baseline_of
from .pairs import Cause, difference, reference_of

#: What a table shows: ratios to plain JAX, those to each other framework, or seconds.
Kind = Literal["pure", "pairwise", "time"]


class Timing(Struct, frozen=True, kw_only=True):
    """A row: an arm, or two in a pair. Numbers are None where there are none."""

    file: int  # the number of the run among those that were named, from 1
    workload: str  # the sizes and data, by their name
    phase: str  # what a call computes
    dtype: str  # the dtype of the computation
    division: str  # the kernels that were measured in the same rounds
    port: str  # the framework; in pairs two, the first over the second: "linen/nnx"
    style: str  # the name or label by which the call style was chosen
    kernel: str  # how the sequence is run: "stock" or "fused"
    arm: str  # the framework with the name of its call style
    #: Seconds for each call: the median of the rounds. Empty in pairs.
    time_s: float | None = None
    time_low_s: float | None = None  # its lower quartile, in seconds
    time_high_s: float | None = None  # its upper quartile, in seconds
    #: The time over plain JAX's; in pairs, the first framework's over the second's.
    ratio: float | None = None
    low: float | None = None  # the lower end of the ratio's 95 % interval
    high: float | None = None  # the upper end of the ratio's 95 % interval
    #: Whether it is "slower", "faster" or "indistinguishable". Empty for plain JAX.
    verdict: Verdict | None = None
    #: Why it takes another time than plain JAX, or than its framework's functional
    #: style; in pairs, than the second.
    cause: Cause | None = None
    #: How many matrix products the compiled program has. Empty in pairs, or where the
    #: program could not be read; so are the next three.
    dots: int | None = None
    whiles: int | None = None  # how many loops it has
    fusions: int | None = None  # how many fused operations it has
    transposes: int | None = None  # how many transposes it has
    remark: str = ""  # what to heed, or why there is no number


def timings(runs: Sequence[Results], kind: Kind, styles: Iterable[str]) -> list[Timing]:
    """The rows of some runs, in call styles by name or label, those of a group
    together.

    What stands in a row was measured in the same rounds. Rows of different runs are not
    compared.
    """
    styles = list(dict.fromkeys(styles))
    rows: dict[str, list[Timing]] = {}
    for number, run in enumerate(runs, 1):
        items: list[Benchmark | Untimed] = [*run.benchmarks, *run.untimed]
        on_one_device = [item for item in items if not item.arm.way]
        for group, members in grouped(on_one_device, lambda i: i.arm.group).items():
            of_group = rows.setdefault(group, [])
            for style in styles:
                called = [item for item in members if _is_called(item, style)]
                if kind == "pairwise":
                    of_group += _pair_rows(number, style, members, called)
                else:
                    of_group += _arm_rows(number, style, members, called)
    return [row for of_group in rows.values() for row in of_group]


def _is_called(item: Benchmark | Untimed, style: str) -> bool:
    """Whether an arm is in a call style. A port that is not available is in all."""
    return item.arm.style in (None, style) or style in item.arm.labels


def _arm_rows(
    number: int,
    style: str,
    members: Sequence[Benchmark | Untimed],
    called: Sequence[Benchmark | Untimed],
) -> list[Timing]:
    benchmarks = [item for item in members if isinstance(item, Benchmark)]
    rows = []
    for item in called:
        if item.arm.role == "duplicate":
            continue
        row = _blank(number, style, item)
        if isinstance(item, Untimed):
            rows.append(replace(row, remark=item.reason))
        else:
            rows.append(_with_numbers(row, item, benchmarks))
    return rows


def _with_numbers(row: Timing, b: Benchmark, group: Sequence[Benchmark]) -> Timing:
    low_s, time_s, high_s = np.quantile(b.time_s, (0.25, 0.5, 0.75)).tolist()
    row = replace(
        row,
        time_s=time_s,
        time_low_s=low_s,
        time_high_s=high_s,
        ratio=b.comparison.ratio,
        low=b.comparison.low,
        high=b.comparison.high,
        remark="; ".join(remarks(b, baseline_of(group))),
    )
    if not b.arm.is_baseline:
        cause = difference(group, b, reference_of(b, group)).cause
        row = replace(row, verdict=b.verdict, cause=cause)
    if program := b.facts.program:
        row = replace(
            row,
            dots=program.dots,
            whiles=program.whiles,
            fusions=program.fusions,
            transposes=program.transposes,
        )
    return row


def _pair_rows(
    number: int,
    style: str,
    members: Sequence[Benchmark | Untimed],
    called: Sequence[Benchmark | Untimed],
) -> list[Timing]:
    """Each two frameworks on one kernel. Plain JAX, the baseline, is none of them."""
    benchmarks = [item for item in members if isinstance(item, Benchmark)]
    frameworks = [item for item in called if item.arm.port != BASELINE[0]]
    rows = []
    for alike in grouped(frameworks, lambda item: item.arm.kernel).values():
        for one, other in combinations(alike, 2):
            rows.append(_pair_row(number, style, benchmarks, one, other))
    return rows


def _pair_row(
    number: int,
    style: str,
    group: Sequence[Benchmark],
    one: Benchmark | Untimed,
    other: Benchmark | Untimed,
) -> Timing:
    row = _blank(number, style, one, other)
    if isinstance(one, Untimed):
        return replace(row, remark=one.reason)
    if isinstance(other, Untimed):
        return replace(row, remark=other.reason)
    if one.facts.backend != other.facts.backend:
        remark = f"one ran on {one.facts.device}, the other on {other.facts.device}"
        return replace(row, remark=remark)
    d = difference(group, one, other)
    return replace(
        row,
        ratio=d.comparison.ratio,
        low=d.comparison.low,
        high=d.comparison.high,
        verdict=d.verdict,
        cause=d.cause,
        remark="; ".join([*remarks(one, one), *remarks(other, other)]),
    )


def _blank(number: int, style: str, *items: Benchmark | Untimed) -> Timing:
    """A row without numbers."""
    arm = items[0].arm
    return Timing(
        file=number,
        workload=str(arm.workload),
        phase=arm.phase,
        dtype=arm.arithmetic,
        division=arm.division,
        port="/".join(item.arm.port for item in items),
        style=style,
        kernel=arm.kernel,
        arm="/".join(item.arm.name for item in items),
    )
