"""Runs as one HTML file, which opens without a network: sentences, pictures, tables, and every sample."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ...analysis.answer import WAYS, Answer, answer
from ...results.record import Results
from ..answer import advice_lines, clock_lines, legend_lines, limit_lines, noise_lines, proof_lines
from ..equality import equality_tables
from ..kernels import kernel_tables
from ..naming import describe
from ..overhead import overhead_tables
from ..plots.answer import answer_figure, answer_text, pairs_figure, pairs_text
from ..plots.figures import inline
from ..plots.scaling import scaling_picture
from ..plots.sweep import sweep_picture
from ..provenance import limits_of_machine, load_warnings, origin_lines
from ..reasons import reason_lines
from ..scaling import scaling_tables
from ..sections import Section
from ..sight import sight_lines
from .samples import Samples
from .tables import Sortable, answer_table, pairs_table, programs_table, times_table
from .template import hash_of, library, part, render

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
        pictures: of several devices or a sweep.
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
    pictures: list[Markup]
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
    scripts = [*map(library, SCRIPTS), part("page.js")]
    return render(
        "page.html",
        runs=told,
        more="Sizes, kernels and devices",
        tables=tables,
        pairs=pairs if pairs.rows else None,
        samples=samples.content(),
        styles=[*map(library, STYLES), part("page.css")],
        scripts=scripts,
        script_hashes=list(map(hash_of, scripts)),
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
    drawn = (scaling_picture(run), sweep_picture(run))
    more = [picture for picture in drawn if picture]
    swept = overhead_tables(run) if run.trigru.plan.swept else ()
    sections = [*scaling_tables(run), *swept, *kernel_tables(run)]
    answered = bool(found.rows)
    return Run(
        name=name,
        origin=origin_lines(run),
        proof=[*load_warnings(run.trigru), *noise_lines(found), *proof_lines(found)],
        sizes=list(
            dict.fromkeys(
                f"{row.workload}: {describe(row.workload).removesuffix(f' ({row.workload})')}." for row in found.rows
            )
        ),
        legend=[" ".join(legend_lines(found))] if answered else [],
        reasons=[*reason_lines(found), *clock_lines(found)] if answered else [],
        advice=advice_lines(found) if answered else [],
        limits=limit_lines(found) if answered else sight_lines(run),
        ways=[_way(run, found, way, samples) for way in WAYS if any(way in row.cells for row in found.rows)],
        equality=equality_tables(run.trigru.equality or []),
        sections=sections,
        pictures=[Markup(inline(picture.figure, picture.description)) for picture in more],
        provenance=[*origin_lines(run), *limits_of_machine(run)],
    )


def _way(run: Results, found: Answer, way: str, samples: Samples) -> Way:
    times = Markup(inline(answer_figure(found, [way]), answer_text(found, way)))
    met = any(row.pairs.get(way) for row in found.rows)
    pairs = Markup(inline(pairs_figure(found, [way]), pairs_text(found, way))) if met else None
    return Way(times, answer_table(found, way, run, samples), pairs)
