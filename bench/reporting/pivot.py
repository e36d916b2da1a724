"""The rows of some runs as one table, with a column for each framework."""

from collections.abc import Sequence

from ...common.gru.kernels import STOCK
from ..analysis.answer import COMPARED
from ..analysis.benchmarks import Results
from ..analysis.comparison import TimeComparison
from ..analysis.timings import Kind, Timing, timings
from ..results.grouping import grouped
from .console import Section, Words
from .naming import origin_lines
from .numbers import format_interval, format_time_range

TITLES: dict[Kind, str] = {
    "pure": "Times over plain JAX",
    "pairwise": "Frameworks against each other",
    "time": "Time per call",
}
MEANINGS: dict[Kind, str] = {
    "pure": (
        "Time / plain JAX's, with its 95 % interval. Below 1 is faster. In brackets: "
        "indistinguishable."
    ),
    "pairwise": (
        "Time of the first framework / that of the second, with its 95 % interval. "
        "Below 1, the first is faster. In brackets: indistinguishable."
    ),
    "time": "Time per call: the median of the rounds, and in brackets their quartiles.",
}
#: What has a column of its own only where a row has another value than the usual one.
USUAL = {"file": 1, "dtype": "float32", "division": STOCK}


def style_table(run: Results, kind: Kind) -> list[Section]:
    """The table of all frameworks as documented and in functional style, if any."""
    rows = timings([run], kind, COMPARED)
    timed = [row for row in rows if row.ratio is not None]
    return [pivoted(timed, kind, [])] if timed else []


def pivoted(rows: list[Timing], kind: Kind, runs: Sequence[Results]) -> Section:
    """A column for each framework in a call style; of pairs, one for each style.

    Plain JAX over itself is left out.
    """
    keys = _keys(rows, kind)
    if kind == "pure":
        rows = [row for row in rows if row.port != "pure" or row.kernel != STOCK]
    columns = list(dict.fromkeys(_column(row, kind) for row in rows))

    def key_of(row: Timing) -> tuple[str, ...]:
        return tuple(str(getattr(row, name)) for name in keys)

    lines = []
    for key, alike in grouped(rows, key_of).items():
        by_column = {_column(row, kind): row for row in alike}
        cells = [_cell(by_column.get(column), kind) for column in columns]
        lines.append((*key, *cells))
    headings = (*map(Words, keys), *columns)
    return Section(TITLES[kind], headings, lines, tuple(_notes(rows, kind, runs)))


def _keys(rows: list[Timing], kind: Kind) -> list[str]:
    """The fields that tell rows apart."""
    keys = []
    for name in ("file", "workload", "phase", "dtype", "division"):
        usual = USUAL.get(name)
        if any(getattr(row, name) != usual for row in rows):
            keys.append(name)
    if kind == "pairwise":
        keys.append("port")
    return keys


def _column(row: Timing, kind: Kind) -> str:
    column = row.style if kind == "pairwise" else f"{row.port}[{row.style}]"
    return column if row.kernel == STOCK else f"{column}:{row.kernel}"


def _cell(row: Timing | None, kind: Kind) -> str:
    if row is None:
        return "-"
    return _time_cell(row) if kind == "time" else _ratio_cell(row)


def _time_cell(row: Timing) -> str:
    if row.time_s is None or row.time_low_s is None or row.time_high_s is None:
        return "-"
    return format_time_range(row.time_s, row.time_low_s, row.time_high_s)


def _ratio_cell(row: Timing) -> str:
    if row.ratio is None or row.low is None or row.high is None:
        return "-"
    text = format_interval(TimeComparison(row.ratio, row.low, row.high))
    return f"({text})" if row.verdict == "indistinguishable" else text


def _notes(rows: list[Timing], kind: Kind, runs: Sequence[Results]) -> list[str]:
    notes = [MEANINGS[kind], *_arms_by_label(rows), *_remarks(rows)]
    if len(runs) > 1:
        notes.append(
            "Each file is a run of its own: do not compare numbers of different files."
        )
    notes.append("-: no number; where no reason is named, not timed in this run.")
    for number, run in enumerate(runs, 1):
        origin = "; ".join(origin_lines(run))
        notes.append(f"File {number}: {origin}" if len(runs) > 1 else origin)
    return notes


def _arms_by_label(rows: list[Timing]) -> list[str]:
    """The arms that a label stands for, as "functional: nnx[split-merge]."."""
    timed = [row for row in rows if row.ratio is not None]
    notes = []
    for style, of_style in grouped(timed, lambda row: row.style).items():
        arms = []
        for row in of_style:
            arms += [arm for arm in row.arm.split("/") if f"[{style}]" not in arm]
        if arms:
            notes.append(f"{style}: {', '.join(dict.fromkeys(arms))}.")
    return notes


def _remarks(rows: list[Timing]) -> list[str]:
    """What is to be heeded of arms; where they have no number, in which rows."""
    remarked = [row for row in rows if row.remark]
    notes = []
    alike = grouped(remarked, lambda row: (row.arm, row.remark))
    for (arm, remark), of_arm in alike.items():
        note = f"{arm}: {remark.rstrip('.')}"
        if of_arm[0].ratio is None:
            places = dict.fromkeys(f"{row.workload} {row.phase}" for row in of_arm)
            note = f"{note} ({', '.join(places)})"
        notes.append(f"{note}.")
    return notes
