"""A table to take away, in the format of the place that it goes to. The same results give the same bytes."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...common.gru.kernels import STOCK
from ..analysis.crosstab import Cell, Column, Crosstab, Kind, Row
from ..analysis.statistics import Comparison
from ..results.record import Results
from .inert import for_csv, for_json, for_latex, for_markdown
from .numbers import format_interval, format_time_range
from .provenance import origin_lines
from .sections import Section, Words, markdown_table

#: What the numbers are, by kind.
VALUES: dict[Kind, str] = {
    "pure": "Time / plain JAX's, with its 95 % interval. Below 1 is faster. In brackets: indistinguishable.",
    "pairwise": "Time of the first framework / that of the second, with its 95 % interval. Below 1, the first is "
    "faster. In brackets: indistinguishable.",
    "time": "Time per call: the median of the rounds, and in brackets their quartiles.",
}
NOT_TIMED = "not timed in this run"
#: What stands in a cell without a number.
NONE = "-"


def as_markdown(table: Crosstab) -> str:
    """For a page: the table, what its numbers are, and where they are from."""
    rows = [(*_keys(table, row), *(_text(row.cells.get(c)) for c in table.columns)) for row in table.rows]
    section = Section("", (*map(Words, _heads(table)), *map(column_name, table.columns)), rows)
    notes = [f"- {for_markdown(note)}" for note in _notes(table)]
    return "\n".join([markdown_table(section), "", *notes, ""])


def as_latex(table: Crosstab) -> str:
    """For a paper: a floating table, which needs the package booktabs."""
    heads = _heads(table)
    names, styles = ["/".join(c.frameworks) for c in table.columns], [_suffix(c) for c in table.columns]
    value, *notes = _notes(table)
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{for_latex(value)}}}",
        f"\\begin{{tabular}}{{{'l' * len(heads)}{'r' * len(names)}}}",
        "\\toprule",
        _latex_row(map(for_latex, (*heads, *names))),
        *([_latex_row(map(for_latex, (*("" for _ in heads), *styles)))] if any(styles) else []),
        "\\midrule",
        *(
            _latex_row((*map(for_latex, _keys(table, row)), *(_latex_cell(row.cells.get(c)) for c in table.columns)))
            for row in table.rows
        ),
        "\\bottomrule",
        "\\end{tabular}",
        *(f"\\par\\smallskip\\parbox{{\\linewidth}}{{\\raggedright {for_latex(note)}}}" for note in notes),
        "\\end{table}",
        "",
    ]
    return "\n".join(lines)


def as_csv(table: Crosstab) -> str:
    """For a spreadsheet or a data frame: numbers in full, in seconds, with what they are from in each row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    unit = "time_s" if table.kind == "time" else "ratio"
    fields = (unit, "low", "high", *(["verdict"] if table.kind != "time" else []), "note")
    facts = ("date", "device", "backend", "threads", "versions")
    names = [f"{column_name(column)} {field}" for column in table.columns for field in fields]
    writer.writerow(map(for_csv, ("file", *facts, *KEYS, *names)))
    for row in table.rows:
        run = table.runs[row.run]
        machine = run.trigru.machine
        origin = (run.datetime, machine.device, machine.backend, machine.threads, _versions(run))
        cells: list[Any] = []
        for column in table.columns:
            cell = row.cells.get(column)
            if isinstance(cell, Cell):
                verdict = [] if cell.verdict is None else [cell.verdict]
                cells += [cell.value, cell.low, cell.high, *verdict, "; ".join(_remarks(table, row, cell))]
            else:
                cells += [*([""] * (len(fields) - 1)), cell or NOT_TIMED]
        written = (row.run + 1, *origin, *(get(row) for get in KEYS.values()), *cells)
        writer.writerow([for_csv(value) if isinstance(value, str) else value for value in written])
    return out.getvalue()


def as_json(table: Crosstab) -> str:
    """For a program: numbers in full, in seconds, with the runs that they are of."""

    def of_cell(row: Row, cell: Cell | str | None) -> dict[str, Any]:
        if not isinstance(cell, Cell):
            return {"missing": cell or NOT_TIMED}
        name = "time_s" if table.kind == "time" else "ratio"
        verdict = {} if cell.verdict is None else {"verdict": cell.verdict}
        arms, remarks = [b.name for b in cell.arms], _remarks(table, row, cell)
        return {name: cell.value, "low": cell.low, "high": cell.high, **verdict, "arms": arms, "remarks": remarks}

    content = {
        "kind": table.kind,
        "value": VALUES[table.kind],
        "files": [
            {
                "date": run.datetime,
                "device": run.trigru.machine.device,
                "backend": run.trigru.machine.backend,
                "threads": run.trigru.machine.threads,
                "versions": run.trigru.machine.versions,
                "command": run.trigru.command,
                "complete": run.trigru.complete,
            }
            for run in table.runs
        ],
        "columns": [column_name(column) for column in table.columns],
        "rows": [
            {"file": row.run + 1, **{name: get(row) for name, get in KEYS.items()}}
            | {"cells": {column_name(column): of_cell(row, row.cells.get(column)) for column in table.columns}}
            for row in table.rows
        ],
    }
    return json.dumps(_inert(content), ensure_ascii=False, indent=2) + "\n"


FORMATS: dict[str, Callable[[Crosstab], str]] = {
    "md": as_markdown, "csv": as_csv, "latex": as_latex, "json": as_json,
}  # fmt: skip

#: What tells rows apart, beside the file.
KEYS: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: str(row.arm.workload),
    "phase": lambda row: row.arm.phase,
    "style": lambda row: row.style or "",
    "dtype": lambda row: row.arm.arithmetic,
    "kernel": lambda row: row.arm.division,
}


def column_name(column: Column) -> str:
    """What stands above a column.

    >>> column_name(Column(("linen",), "documented", "stock")), column_name(Column(("linen", "nnx"), None, "fused"))
    ('linen[documented]', 'linen/nnx:fused')
    """
    return "/".join(column.frameworks) + _suffix(column)


def _suffix(column: Column) -> str:
    style = f"[{column.style}]" if column.style else ""
    return style + (f":{column.kernel}" if column.kernel != STOCK else "")


def _heads(table: Crosstab) -> tuple[str, ...]:
    """Names of the columns that tell rows apart; those without a difference are left out, except the first two."""
    usual = {"style": "", "dtype": "float32", "kernel": STOCK}
    shown = [name for name, get in KEYS.items() if any(get(row) != usual.get(name) for row in table.rows)]
    return (*(["file"] if len(table.runs) > 1 else []), *shown)


def _keys(table: Crosstab, row: Row) -> tuple[str, ...]:
    return tuple(str(row.run + 1) if name == "file" else KEYS[name](row) for name in _heads(table))


def _text(cell: Cell | str | None) -> str:
    """A number with its range, in one line."""
    if not isinstance(cell, Cell):
        return NONE
    value, span = _number(cell)
    return _marked(cell, f"{value} {span}")


def _number(cell: Cell) -> tuple[str, str]:
    """A number and its range."""
    if cell.verdict is None:
        text = format_time_range(cell.value, cell.low, cell.high)
    else:
        text = format_interval(Comparison(cell.value, cell.low, cell.high))
    value, bracket, span = text.partition("[")
    return value.strip(), bracket + span


def _marked(cell: Cell, text: str) -> str:
    """Text of a cell, in brackets if it is indistinguishable, with a star if the equations are others."""
    text = f"({text})" if cell.verdict == "indistinguishable" else text
    return text + "*" * any(b.facts.differs for b in cell.arms)


def _notes(table: Crosstab) -> list[str]:
    """What the numbers are; then which styles the labels name, what is missing and why, and where they are from."""
    runs, found = table.runs, [VALUES[table.kind], *_labels(table)]
    cells = [(row, cell) for row in table.rows for cell in row.cells.values() if isinstance(cell, Cell)]
    found += dict.fromkeys(f"{remark}." for row, cell in cells for remark in _remarks(table, row, cell))
    found += _missing(table)
    if len(runs) > 1:
        found.append("Each file is a run of its own: do not compare numbers of different files.")
    for number, run in enumerate(runs, 1):
        of_file = f"File {number}: " if len(runs) > 1 else ""
        found.append(of_file + "; ".join(origin_lines(run)))
    return found


def _labels(table: Crosstab) -> Iterator[str]:
    """The call styles that labels stand for."""
    by_label: dict[str, dict[str, None]] = {}
    for row in table.rows:
        for column, cell in row.cells.items():
            for b in cell.arms if isinstance(cell, Cell) else ():
                label = column.style or row.style
                if label != b.arm.style:
                    by_label.setdefault(str(label), {})[f"{b.arm.port}[{b.arm.style}]"] = None
    for label, names in by_label.items():
        yield f"{label}: {', '.join(names)}."


def _missing(table: Crosstab) -> Iterator[str]:
    """For each reason and column, the rows without a number."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        for column in table.columns:
            cell = row.cells.get(column)
            if not isinstance(cell, Cell):
                found.setdefault((cell or NOT_TIMED, column_name(column)), []).append(" ".join(_keys(table, row)))
    for (reason, column), rows in found.items():
        yield f"{NONE} in {column}: {reason.rstrip('.')} ({', '.join(rows)})."


def _remarks(table: Crosstab, row: Row, cell: Cell) -> list[str]:
    return [f"{b.name}: {remark}" for b in cell.arms for remark in _remarks_of(table.runs[row.run], b)]


def _remarks_of(run: Results, b: Any) -> Iterator[str]:
    if b.facts.differs:
        yield f"* other equations ({b.facts.differs}), so it is not held to the oracle"
    if b.facts.backend != run.trigru.machine.backend:
        yield f"ran on {b.facts.device} ({b.facts.backend})"
    if not all(b.facts.steady):
        yield "not steady at the end of the warm-up in some processes"


def _versions(run: Results) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.trigru.machine.versions.items())


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _latex_cell(cell: Cell | str | None) -> str:
    """A number above its range, in smaller type."""
    if not isinstance(cell, Cell):
        return NONE
    value, span = _number(cell)
    value = for_latex(_marked(cell, value)).replace(for_latex("µ"), "$\\mu$")
    return f"\\shortstack[r]{{{value}\\\\{{\\scriptsize{span}}}}}"


def _inert(value: Any) -> Any:
    """The same, with every text in it made inert."""
    if isinstance(value, str):
        return for_json(value)
    if isinstance(value, dict):
        return {for_json(str(name)): _inert(item) for name, item in value.items()}
    return [_inert(item) for item in value] if isinstance(value, list | tuple) else value
