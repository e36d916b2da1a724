"""The tidy table of some runs in the format of the place that it goes to, and HTML pages of sentences and tables.

The same results give the same bytes. A page is one file, which opens without a network and runs no script.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from msgspec.structs import asdict, astuple

from ...common.errors import for_terminal
from ...common.gru.kernels import STOCK
from ..analysis.answer import COMPARED, Answer, AnswerRow, answer
from ..analysis.benchmarks import Benchmark, Results
from ..analysis.comparison import TimeComparison
from ..analysis.pairs import Difference
from ..analysis.timings import Kind, Timing, timings
from ..results.grouping import grouped
from .console import Section, Words
from .markdown import markdown_section
from .naming import origin_lines, versions_text
from .numbers import format_interval, format_time_range, json_text
from .plots import Picture, inline

import jinja2  # isort: skip  # after msgspec, which is named first where an extra is missing

#: Of each kind, the title of its table, and what its numbers are.
KINDS: dict[Kind, tuple[str, str]] = {
    "pure": (
        "Times over plain JAX",
        "Time / plain JAX's, with its 95 % interval. Below 1 is faster. In brackets: indistinguishable.",
    ),
    "pairwise": (
        "Frameworks against each other",
        "Time of the first framework / that of the second, with its 95 % interval. Below 1, the first is faster. In "
        "brackets: indistinguishable.",
    ),
    "time": (
        "Time per call",
        "Time per call: the median of the rounds, and in brackets their quartiles.",
    ),
}
#: What tells rows apart, with the value that needs no column of its own where all rows have it.
KEYS = {
    "file": 1,
    "workload": None,
    "phase": None,
    "dtype": "float32",
    "division": STOCK,
}


def exported(rows: list[Timing], kind: Kind, runs: Sequence[Results], to: str) -> str:
    """Rows of some runs as "csv" or "json", with numbers in full, or pivoted as "markdown" or "html"."""
    if to == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [
                *Timing.__struct_fields__,
                "date",
                "device",
                "backend",
                "threads",
                "versions",
            ]
        )
        for row in rows:
            run, machine = runs[row.file - 1], runs[row.file - 1].trigru.machine
            origin = (
                run.datetime,
                machine.device,
                machine.backend,
                machine.threads,
                versions_text(machine),
            )
            writer.writerow(
                [
                    for_csv(cell) if isinstance(cell, str) else cell
                    for cell in (*astuple(row), *origin)
                ]
            )
        return out.getvalue()
    if to == "json":
        return (
            json_text(
                {"rows": rows, "answers": [answer_record(answer(run)) for run in runs]},
                indent=1,
            )
            + "\n"
        )
    table = pivoted(rows, kind, runs)
    if to == "html":
        return sheet(
            "times",
            [],
            [],
            [table],
            [line for run in runs for line in origin_lines(run)],
        )
    return f"{markdown_section(table)}\n"


def for_csv(text: str) -> str:
    """What a spreadsheet takes as text and never as a formula, in a cell of a CSV file."""
    text = for_terminal(text)
    return (
        f"'{text}"
        if text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
        else text
    )


def answer_record(found: Answer) -> dict[str, Any]:
    """The answer of a run for machines."""
    run, measured = found.run.trigru, found.run.trigru.begun.equality or []
    return {
        "proofs": found.proofs,
        "checks": list(dict.fromkeys(m.check for m in measured)),
        "dtypes": list(dict.fromkeys(m.dtype for m in measured)),
        "ports": found.ports,
        "missing": found.missing,
        "untimed": found.untimed,
        "rows": list(map(_row_record, found.rows)),
        "datetime": found.run.datetime,
        "machine": run.machine,
        "processes": found.processes,
        "complete": run.complete,
        "arithmetic": run.plan.arithmetic,
    }


def _difference_record(d: Difference) -> dict[str, Any]:
    facts = asdict(d)
    del facts["comparison"]
    return asdict(d.comparison) | facts


def _row_record(row: AnswerRow) -> dict[str, Any]:
    def cells(arms: dict[str, Benchmark]) -> dict[str, Any]:
        return {
            port: {
                "style": b.arm.style,
                "time_s": b.median_s,
                "ratio": b.comparison.ratio,
                "low": b.comparison.low,
                "high": b.comparison.high,
                "differs": row.apart(b),
            }
            for port, b in arms.items()
        }

    b = row.baseline
    return {
        "workload": row.workload,
        "shape": b.shape,
        "phase": row.phase,
        "clock": row.clock,
        "floor": b.floor,
        "plain_s": b.median_s,
        "cells": {label: cells(of) for label, of in row.cells.items()},
        "fastest": row.fastest,
        "pairs": {
            label: list(map(_difference_record, differences.values()))
            for label, differences in row.pairs.items()
        },
        "keeping": cells(row.keeping),
        "advised": {port: _difference_record(d) for port, d in row.advised.items()},
        "least": row.least,
        "other": row.other and _row_record(row.other),
    }


def style_table(run: Results, kind: Kind) -> list[Section]:
    """The table of all frameworks as documented and in functional style; none where none was timed so."""
    timed = [row for row in timings([run], kind, COMPARED) if row.ratio is not None]
    return [pivoted(timed, kind, [])] * bool(timed)


def pivoted(rows: list[Timing], kind: Kind, runs: Sequence[Results]) -> Section:
    """A column for each framework in a call style; of pairs, one for each style. Plain JAX over itself is left out."""
    keys = [
        name
        for name, usual in KEYS.items()
        if usual is None or any(getattr(row, name) != usual for row in rows)
    ]
    keys += ["port"] * (kind == "pairwise")
    rows = [
        row
        for row in rows
        if kind != "pure" or row.port != "pure" or row.kernel != STOCK
    ]

    def column(row: Timing) -> str:
        called = row.style if kind == "pairwise" else f"{row.port}[{row.style}]"
        return called + (f":{row.kernel}" if row.kernel != STOCK else "")

    columns, lines = list(grouped(rows, column)), []
    for key, of_key in grouped(
        rows, lambda row: tuple(str(getattr(row, name)) for name in keys)
    ).items():
        by_column = {column(row): row for row in of_key}
        lines.append((*key, *(_cell(by_column.get(name), kind) for name in columns)))
    return Section(
        KINDS[kind][0],
        (*map(Words, keys), *columns),
        lines,
        tuple(_notes(rows, kind, runs)),
    )


def _cell(row: Timing | None, kind: Kind) -> str:
    if row is None or row.ratio is None:
        return "-"
    known: Any = row  # with a ratio, a row has its interval, and the row of a single arm its times
    if kind == "time":
        return format_time_range(known.time_s, known.time_low_s, known.time_high_s)
    text = format_interval(TimeComparison(known.ratio, known.low, known.high))
    return f"({text})" if row.verdict == "indistinguishable" else text


def _notes(rows: list[Timing], kind: Kind, runs: Sequence[Results]) -> list[str]:
    notes = [KINDS[kind][1]]
    for style, of_style in grouped(
        (row for row in rows if row.ratio is not None), lambda row: row.style
    ).items():
        arms = dict.fromkeys(
            name
            for row in of_style
            for name in row.arm.split("/")
            if f"[{style}]" not in name
        )
        notes += [f"{style}: {', '.join(arms)}."] * bool(arms)
    for (arm, remark), alike in grouped(
        (row for row in rows if row.remark), lambda row: (row.arm, row.remark)
    ).items():
        places = ", ".join(
            dict.fromkeys(f"{row.workload} {row.phase}" for row in alike)
        )
        notes.append(
            f"{arm}: {remark.rstrip('.')}"
            + (f" ({places})." if alike[0].ratio is None else ".")
        )
    more = len(runs) > 1
    notes += [
        "Each file is a run of its own: do not compare numbers of different files."
    ] * more
    notes.append("-: no number; where no reason is named, not timed in this run.")
    return notes + [
        f"File {n}: " * more + "; ".join(origin_lines(run))
        for n, run in enumerate(runs, 1)
    ]


def sheet(
    title: str,
    lines: Sequence[str],
    pictures: Iterable[Picture],
    sections: Iterable[Section],
    origin: Sequence[str],
    more: Sequence[str] = (),
) -> str:
    """A page of sentences, pictures, more sentences and tables, which fold out, and where the numbers come from.

    All of its text is escaped, and has its control characters shown. Of the tables, only details fold out.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: (
            value if isinstance(value, Markup) else for_terminal(str(value))
        ),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    page = environment.get_template("page.html").render(
        title=title,
        lines=lines,
        more=more,
        sections=sections,
        provenance=origin,
        pictures=[Markup(inline(picture)) for picture in pictures],
    )
    return page.lstrip()


def _coded(line: str) -> Markup:
    """A sentence, with what stands between grave accents as code."""
    parts = (escape(for_terminal(part)) for part in line.split("`"))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if n % 2 else part
        for n, part in enumerate(parts)
    )
