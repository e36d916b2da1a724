"""Runs as one HTML file, which opens without a network: sentences, pictures, tables, and every sample."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ...analysis.answer import WAYS, Answer, answer
from ...results.record import Results
from ..answer import advice_lines, describe, legend_lines, limit_lines, proof_lines, reason_lines
from ..calibration import calibration_tables
from ..equality import equality_tables
from ..inert import for_terminal
from ..kernels import kernel_tables
from ..overhead import overhead_tables
from ..plots.answer import answer_figure, answer_text, pairs_figure, pairs_text
from ..plots.figures import inline
from ..plots.sweep import SWEPT, sweep_figure
from ..provenance import load_warnings, origin_lines, provenance_lines
from ..sections import Section
from ..sight import sight_lines
from .samples import Samples
from .tables import Sortable, answer_table, pairs_table, programs_table, times_table

#: Libraries that a page holds, in the order in which they are read.
SCRIPTS = ("dataTables.min.js", "dataTables.columnControl.min.js", "d3.min.js", "plot.umd.min.js")
STYLES = ("dataTables.dataTables.min.css", "columnControl.dataTables.min.css")


@dataclass(frozen=True)
class Way:
    """A way in which frameworks are compared: a picture and a table of times, and a picture of pairs."""

    times: Markup
    table: Sortable
    pairs: Markup | None


@dataclass(frozen=True)
class Run:
    """What a page says of one run.

    Args:
        name: told apart from the page's other runs.
        sizes: what the names of workloads stand for.
        proof, legend, reasons, advice, limits: sentences of the screen.
        sections: tables of this run alone.
        sweep: a picture, where a size was swept.
    """

    name: str
    origin: list[str]
    proof: list[str]
    sizes: list[str]
    legend: list[str]
    reasons: list[str]
    advice: list[str]
    limits: list[str]
    ways: list[Way]
    equality: list[Section]
    sections: list[Section]
    sweep: Markup | None
    provenance: list[str]


def page(runs: Sequence[Results], answers: Sequence[Answer] | None = None) -> str:
    """The page of some runs, side by side and never ranked against each other.

    Args:
        runs: at least one.
        answers: of each, where they are known already.
    """
    answers = [answer(run) for run in runs] if answers is None else answers
    samples, names = Samples(runs), names_of(runs)
    told = [_run(*of_run, samples) for of_run in zip(runs, answers, names, strict=True)]
    tables = [times_table(runs, names, samples), programs_table(runs, names)]
    pairs = pairs_table(runs, names, answers, samples)
    scripts = [_library(name) for name in SCRIPTS] + [_own("page.js")]
    return _template().render(
        runs=told,
        tables=tables,
        pairs=pairs if pairs.rows else None,
        samples=samples.content(),
        styles=[_library(name) for name in STYLES] + [_own("page.css")],
        scripts=scripts,
        script_hashes=[_hash(script) for script in scripts],
    )


def names_of(runs: Sequence[Results]) -> list[str]:
    """What tells runs apart: the machine, the date, the versions, and a number where these do not."""
    found = []
    for run in runs:
        versions = run.trigru.machine.versions
        said = ", ".join(
            f"{name} {versions[name]}" for name in ("python", "jax", "flax", "equinox") if name in versions
        )
        found.append(f"{run.trigru.machine.device}, {run.datetime[:10]}, {said}")
    return [
        name if found.count(name) == 1 else f"{name} ({found[: number + 1].count(name)})"
        for number, name in enumerate(found)
    ]


def _run(run: Results, found: Answer, name: str, samples: Samples) -> Run:
    swept = sweep_figure(run)
    sections = [*(overhead_tables(run) if run.trigru.plan.swept else ()), *kernel_tables(run)]
    answered = bool(found.rows) and not run.trigru.plan.trials
    return Run(
        name=name,
        origin=origin_lines(run),
        proof=[*load_warnings(run.trigru), *proof_lines(found)],
        sizes=list(
            dict.fromkeys(
                f"{row.workload}: {describe(row.workload).removesuffix(f' ({row.workload})')}." for row in found.rows
            )
        ),
        legend=[" ".join(legend_lines(found))] if answered else [],
        reasons=reason_lines(found) if answered else [],
        advice=advice_lines(found) if answered else [],
        limits=limit_lines(found) if answered else sight_lines(run),
        ways=[_way(run, found, way, samples) for way in WAYS if any(way in row.cells for row in found.rows)],
        equality=equality_tables(run.trigru.equality or []),
        sections=calibration_tables(run) if run.trigru.plan.trials else sections,
        sweep=None if swept is None else Markup(inline(swept, SWEPT)),
        provenance=provenance_lines(run),
    )


def _way(run: Results, found: Answer, way: str, samples: Samples) -> Way:
    times = Markup(inline(answer_figure(found, [way]), answer_text(found, way)))
    met = any(row.pairs.get(way) for row in found.rows)
    pairs = Markup(inline(pairs_figure(found, [way]), pairs_text(found, way))) if met else None
    return Way(times, answer_table(found, way, run, samples), pairs)


def _template() -> jinja2.Template:
    """The page's template. All that it is given is text, with control characters shown, unless marked otherwise."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        finalize=_inert,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    return environment.get_template("page.html")


def _inert(value: Any) -> Any:
    return for_terminal(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _coded(line: str) -> Markup:
    """A sentence, with what stands between grave accents as code."""
    parts = (escape(for_terminal(part)) for part in line.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


@cache
def _text(name: str) -> str:
    return (files("trigru.bench.reporting.page") / name).read_text("utf-8")


def _library(name: str) -> Markup:
    return Markup(_text(f"libraries/{name}"))


def _own(name: str) -> Markup:
    return Markup(_text(name))


def _hash(script: str) -> str:
    """By which the page's policy lets a script run, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
