"""The tidy table of some runs in the format of the place that it goes to. The same results give the same bytes."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...common.gru.kernels import STOCK
from ..analysis.answer import WAYS, answer
from ..analysis.statistics import Comparison
from ..analysis.tidy import Timing, timings
from ..results.grouping import grouped
from ..results.record import Results
from .inert import for_csv, for_markdown
from .numbers import format_interval, format_time_range, json_text
from .page import sheet
from .provenance import origin_lines
from .sections import Section, Words, latex, markdown_table

#: What is in a cell: a ratio to plain JAX, one of two frameworks, or seconds.
Kind = Literal["pure", "pairwise", "time"]
VALUES: dict[Kind, str] = {
    "pure": "Time / plain JAX's, with its 95 % interval. Below 1 is faster. In brackets: indistinguishable.",
    "pairwise": "Time of the first framework / that of the second, with its 95 % interval. Below 1, the first is "
    "faster. In brackets: indistinguishable.",
    "time": "Time per call: the median of the rounds, and in brackets their quartiles.",
}
TITLES: dict[Kind, str] = {
    "pure": "Times over plain JAX",
    "pairwise": "Frameworks against each other",
    "time": "Time per call",
}
NOTHING = "-: no number; where no reason is named, not timed in this run."
#: What tells rows apart, with the value that needs no column of its own where all rows have it.
KEYS = {"file": 1, "workload": None, "phase": None, "dtype": "float32", "division": STOCK}


@dataclass(frozen=True)
class Export:
    """Rows of some runs, and what is shown of them."""

    rows: list[Timing]
    kind: Kind
    runs: Sequence[Results]


def as_markdown(export: Export) -> str:
    """For a page: the pivoted table, what its numbers are, and where they are from."""
    table = pivoted(export)
    return "\n".join([markdown_table(table), "", *(f"- {for_markdown(note)}" for note in table.notes), ""])


def as_latex(export: Export) -> str:
    """For a paper: the pivoted table, floating, which needs the package booktabs."""
    return latex(pivoted(export))


def as_html(export: Export) -> str:
    """For a browser: the pivoted table as a page."""
    origins = [line for run in export.runs for line in origin_lines(run)]
    return sheet("times", [], [], [pivoted(export)], origins)


def as_csv(export: Export) -> str:
    """For a spreadsheet or a data frame: the tidy table, with numbers in full and what they are from in each row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = Timing.__struct_fields__
    writer.writerow([*names, "date", "device", "backend", "threads", "versions"])
    for row in export.rows:
        run = export.runs[row.file - 1]
        machine = run.trigru.machine
        versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
        cells = [*(getattr(row, name) for name in names), run.datetime, machine.device, machine.backend]
        writer.writerow([for_csv(c) if isinstance(c, str) else c for c in (*cells, machine.threads, versions)])
    return out.getvalue()


def as_json(export: Export) -> str:
    """For a program: the tidy table, and of each run its answer."""
    content = {"rows": export.rows, "answers": [answer(run) for run in export.runs]}
    return json_text(content, indent=1) + "\n"


FORMATS: dict[str, Callable[[Export], str]] = {
    "markdown": as_markdown, "csv": as_csv, "latex": as_latex, "json": as_json, "html": as_html,
}  # fmt: skip


def way_table(run: Results, kind: Kind) -> list[Section]:
    """The table of all frameworks as documented and in functional style; none where none was timed so."""
    rows = timings([run], "pairwise" if kind == "pairwise" else "pure", styles=WAYS)
    timed = [row for row in rows if row.ratio is not None]
    return [pivoted(Export(timed, kind, []))] * bool(timed)


def pivoted(export: Export) -> Section:
    """The tidy table: a column for each framework in a call style; of pairs, one for each call style.

    Plain JAX over itself is left out.
    """
    is_pair = export.kind == "pairwise"
    rows = [row for row in export.rows if export.kind != "pure" or row.port != "pure" or row.kernel != STOCK]
    keys = [
        name for name, usual in KEYS.items() if usual is None or any(getattr(row, name) != usual for row in export.rows)
    ]
    keys += ["port"] * is_pair
    columns, lines = list(grouped(rows, lambda row: _column(row, is_pair))), []
    for key, of_key in grouped(rows, lambda row: tuple(str(getattr(row, name)) for name in keys)).items():
        by_column = {_column(row, is_pair): row for row in of_key}
        lines.append((*key, *(_cell(by_column.get(name), export.kind) for name in columns)))
    return Section(TITLES[export.kind], (*map(Words, keys), *columns), lines, tuple(_notes(export, rows)))


def _column(row: Timing, is_pair: bool) -> str:
    """What stands above a column, as in "linen[documented]", "nnx[functional]:fused" or, of pairs, "functional"."""
    called = row.style if is_pair else f"{row.port}[{row.style}]"
    return called + (f":{row.kernel}" if row.kernel != STOCK else "")


def _cell(row: Timing | None, kind: Kind) -> str:
    if row is None:
        return "-"
    if kind == "time":
        times: Any = row.time_s, row.time_low_s, row.time_high_s
        return "-" if row.time_s is None else format_time_range(*times)
    if row.ratio is None or row.low is None or row.high is None:
        return "-"
    text = format_interval(Comparison(row.ratio, row.low, row.high))
    text = f"({text})" if row.verdict == "indistinguishable" else text
    return text + "*" * (row.cause == "equations")


def _notes(export: Export, rows: list[Timing]) -> list[str]:
    """What the numbers are; which styles the labels name; remarks, and why numbers are missing; where they are from."""
    notes = [VALUES[export.kind]]
    named = grouped((row for row in rows if row.ratio is not None), lambda row: row.style)
    for style, of_style in named.items():
        arms = dict.fromkeys(name for row in of_style for name in row.arm.split("/") if f"[{style}]" not in name)
        notes += [f"{style}: {', '.join(arms)}."] * bool(arms)
    for (arm, remark), alike in grouped((row for row in rows if row.remark), lambda row: (row.arm, row.remark)).items():
        places = ", ".join(dict.fromkeys(f"{row.workload} {row.phase}" for row in alike))
        notes.append(f"{arm}: {remark.rstrip('.')}" + (f" ({places})." if alike[0].ratio is None else "."))
    if len(export.runs) > 1:
        notes.append("Each file is a run of its own: do not compare numbers of different files.")
    notes.append(NOTHING)
    for number, run in enumerate(export.runs, 1):
        notes.append((f"File {number}: " if len(export.runs) > 1 else "") + "; ".join(origin_lines(run)))
    return notes
