"""A table to take away: frameworks in some call styles against each other, for each workload and phase.

What stands in a row was measured in the same rounds. Rows of different runs are not compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from ...common.errors import InputError, UnknownNameError
from ..results.arm import Arm, Untimed
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .pairs import pair

#: What a cell has: the time of an arm over plain JAX's, over that of another framework, or seconds per call.
Kind = Literal["pure", "pairwise", "time"]
KINDS: tuple[Kind, ...] = ("pure", "pairwise", "time")


@dataclass(frozen=True)
class Column:
    """A framework in a call style, or in a table of pairs two frameworks, the first over the second.

    Args:
        style: a name or a label, as asked for; None in a table of pairs, whose rows have it.
        kernel: the arms' own.
    """

    frameworks: tuple[str, ...]
    style: str | None
    kernel: str


@dataclass(frozen=True)
class Cell:
    """A number.

    Args:
        value: a ratio, or the median of seconds per call.
        low, high: the 95 % interval of a ratio; of times, the quartiles of the rounds.
        verdict: on a ratio, "faster", "slower" or "indistinguishable".
        arms: what was timed, one for each framework of the column.
    """

    value: float
    low: float
    high: float
    verdict: str | None
    arms: tuple[Benchmark, ...]


@dataclass(frozen=True)
class Row:
    """The numbers of one group of arms.

    Args:
        run: the place of its run, from 0.
        arm: one of the group, for its workload, phase, dtype and division.
        style: in a table of pairs, the name or label that both frameworks have.
        cells: by column; where an arm has no number, the reason. A column that is not there was not asked for.
    """

    run: int
    arm: Arm
    style: str | None
    cells: dict[Column, Cell | str]


@dataclass(frozen=True)
class Crosstab:
    """Rows of numbers, those of one group in each run below each other, and the runs."""

    kind: Kind
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    runs: tuple[Results, ...]


def crosstab(
    runs: Sequence[Results],
    kind: Kind,
    *,
    workloads: Sequence[str] | None = None,
    phases: Sequence[str] | None = None,
    styles: Sequence[str],
) -> Crosstab:
    """The table of some runs.

    Args:
        workloads: with or without sizes that were changed; None for all.
        phases: None for all.
        styles: names or labels of call styles.

    Raises:
        UnknownNameError: no run has one of these.
        InputError: there is nothing to show.
    """
    arms = [item.arm for run in runs for item in _items(run)]
    _check("workload", workloads, [name for arm in arms for name in (arm.workload.name, str(arm.workload))])
    _check("phase", phases, [arm.phase for arm in arms])
    _check("call style", styles, [name for arm in arms for name in (arm.style or "", *arm.labels)])
    make = _pairs if kind == "pairwise" else _singles
    rows = [
        Row(number, items[0].arm, style, cells)
        for number, run in enumerate(runs)
        for items in grouped(_items(run), lambda item: item.arm.group).values()
        if _is_chosen(items[0].arm, workloads, phases)
        for style, cells in make(run, items, kind, tuple(dict.fromkeys(styles)))
    ]
    columns = _in_order(runs, rows, styles)
    if not columns:
        raise InputError("there is no number of these frameworks, phases and call styles in these results.")
    together = grouped(rows, lambda row: (row.arm.group, row.style)).values()
    return Crosstab(kind, columns, tuple(row for same in together for row in same), tuple(runs))


Item = Benchmark | Untimed


def _items(run: Results) -> list[Item]:
    """Those on one device: what several gain has tables of its own."""
    return [item for item in (*run.benchmarks, *run.untimed) if not item.arm.way]


def _check(what: str, asked: Sequence[str] | None, known: list[str]) -> None:
    known = list(dict.fromkeys(name for name in known if name))
    for name in asked or ():
        if name not in known:
            raise UnknownNameError(f"{what} of these results", name, known)


def _is_chosen(arm: Arm, workloads: Sequence[str] | None, phases: Sequence[str] | None) -> bool:
    of_workload = workloads is None or {arm.workload.name, str(arm.workload)} & set(workloads)
    return bool(of_workload) and (phases is None or arm.phase in phases)


Cells = dict[Column, Cell | str]


def _singles(run: Results, items: list[Item], kind: Kind, styles: Sequence[str]) -> Iterator[tuple[None, Cells]]:
    """One row, with each arm in the columns of its names."""
    cells: Cells = {}
    for item in items:
        arm = item.arm
        if arm.role == "duplicate" or (arm.is_baseline and kind == "pure"):
            continue
        for style in styles:
            if _is_called(arm, style):
                column = Column((arm.port,), style, str(arm.kernel))
                cells[column] = item.reason if isinstance(item, Untimed) else _single(item, kind)
    if cells:
        yield None, cells


def _pairs(run: Results, items: list[Item], kind: Kind, styles: Sequence[str]) -> Iterator[tuple[str, Cells]]:
    """A row for each style that several frameworks have; plain JAX, the baseline, is none of them."""
    plain = {item.arm.port for item in _items(run) if item.arm.is_baseline}
    for style in styles:
        found = [i for i in items if i.arm.port not in plain and _is_called(i.arm, style)]
        cells: Cells = {}
        for kernel, same in grouped(found, lambda item: str(item.arm.kernel)).items():
            for a, b in combinations(same, 2):
                column = Column((a.arm.port, b.arm.port), None, kernel)
                if isinstance(a, Untimed):
                    cells[column] = a.reason
                elif isinstance(b, Untimed):
                    cells[column] = b.reason
                else:
                    cells[column] = _pair(run, a, b)
        if cells:
            yield style, cells


def _is_called(arm: Arm, style: str) -> bool:
    """Whether a call style has a name or label; a port that is not available has no number in any."""
    return arm.style is None or style in (arm.style, *arm.labels)


def _single(b: Benchmark, kind: Kind) -> Cell:
    if kind == "time":
        low, median, high = (float(q) for q in np.quantile(b.time_s, (0.25, 0.5, 0.75)))
        return Cell(median, low, high, None, (b,))
    return Cell(b.facts.ratio, b.facts.ratio_low, b.facts.ratio_high, b.facts.verdict, (b,))


def _pair(run: Results, a: Benchmark, b: Benchmark) -> Cell:
    found = pair(run, a, b)
    return Cell(found.ratio.ratio, found.ratio.low, found.ratio.high, found.verdict, (a, b))


def _in_order(runs: Sequence[Results], rows: list[Row], styles: Sequence[str]) -> tuple[Column, ...]:
    ports = list(dict.fromkeys(port for run in runs for port in (*run.trigru.plan.ports, *run.trigru.plan.peers)))

    def place(column: Column) -> tuple[list[int], int]:
        at = [ports.index(name) if name in ports else len(ports) for name in column.frameworks]
        return at, styles.index(column.style) if column.style else 0

    return tuple(sorted(dict.fromkeys(column for row in rows for column in row.cells), key=place))
