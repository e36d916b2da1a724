"""The parts of the docs that show published results.

They are tables of times and ratios, the answer, releases, and pictures. A function
gives the text of a part; the marker in a page names it, with its arguments.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import wrap

from msgspec.structs import replace
from rich.console import Console
from trigru.bench.analysis.answer import COMPARED, Answer, AnswerRow, answer
from trigru.bench.analysis.benchmarks import Benchmark, Results
from trigru.bench.analysis.comparison import TimeComparison
from trigru.bench.analysis.merge import judged_by_other_clock, load
from trigru.bench.analysis.pairs import difference, speedups
from trigru.bench.analysis.ranking import Ranking
from trigru.bench.reporting.answer import answer_screen
from trigru.bench.reporting.answer_table import cell, factor_text
from trigru.bench.reporting.bars import answer_picture
from trigru.bench.reporting.console import WIDTH, Section
from trigru.bench.reporting.markdown import markdown_table
from trigru.bench.reporting.naming import (
    CALLED,
    JITS,
    measured_on,
    name_of,
    provenance_lines,
)
from trigru.bench.reporting.numbers import (
    format_interval,
    format_time,
    format_time_range,
)
from trigru.bench.reporting.plots import Picture, label_of, themed
from trigru.bench.reporting.sentences import SHORT, SUBJECTS, told
from trigru.bench.reporting.sizes import in_words
from trigru.bench.reporting.times import overhead_tables
from trigru.bench.upgrades.matrix import read
from trigru.bench.upgrades.matrix_page import matrix_picture, matrix_tables
from trigru.bench.upgrades.words import change_lines
from trigru.common.port.names import DOCUMENTED, FUNCTIONAL, LEAVES
from trigru.impls import get_port

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"
#: What people do, in a workload and a phase of the published run.
Situation = tuple[str, str]
#: The workloads of the answer that a reader sees first.
FIRST = ("question", "medium")
SITUATIONS: dict[Situation, str] = {
    ("question", "step"): "One time step a call",
    ("question", "forward"): "Streaming, a chunk a call",
    ("question", "train_step"): "Training on one sequence",
    ("medium", "train_step"): "Training a model of common size",
    ("large", "train_step"): "Training a large model",
}
#: The smallest model comes first: its calls take as long as those that most public
#: claims are about.
CLAIMED: dict[Situation, str] = {
    ("tiny", "step"): "Smallest model, one time step",
    ("tiny", "forward"): "Smallest model, forward",
    ("tiny", "train_step"): "Smallest model, train step",
    **SITUATIONS,
}


@dataclass(frozen=True)
class Claim:
    """A column of a table of docs/claims.md: the time of one arm over another's."""

    heading: str
    first: str  # a port in a call style, by its name or label: "nnx[documented]"
    second: str
    queued: bool = False  # of calls that are not waited for


CLAIMS = {
    "nnx-equinox": (
        Claim("as documented", "nnx[documented]", "equinox[documented]"),
        Claim("`graph=False` / `jax.jit`", "nnx[nnx.jit-tree]", "equinox[jit]"),
        Claim("`jit_partial` / `jax.jit`", "nnx[jit_partial]", "equinox[jit]"),
        Claim("functional", "nnx[functional]", "equinox[functional]"),
        Claim(
            "`graph=False` / `jax.jit`, not waited for",
            "nnx[nnx.jit-tree]",
            "equinox[jit]",
            queued=True,
        ),
        Claim(
            "`jit_partial` / `jax.jit`, not waited for",
            "nnx[jit_partial]",
            "equinox[jit]",
            queued=True,
        ),
    ),
    "nnx-linen": (
        Claim("as documented", "nnx[documented]", "linen[documented]"),
        Claim(
            "`graph=False` / as documented", "nnx[nnx.jit-tree]", "linen[documented]"
        ),
        Claim("functional", "nnx[functional]", "linen[functional]"),
    ),
    "equinox-linen": (
        Claim("as documented", "equinox[documented]", "linen[documented]"),
        Claim("`jax.jit` / as documented", "equinox[jit]", "linen[documented]"),
        Claim("functional", "equinox[functional]", "linen[functional]"),
    ),
    "nnx-styles": (
        Claim(
            "`nnx.jit` / `nnx.jit-tree`, and the difference",
            "nnx[documented]",
            "nnx[nnx.jit-tree]",
        ),
        Claim(
            "`nnx.jit` / `jit_partial`, and the difference",
            "nnx[documented]",
            "nnx[jit_partial]",
        ),
        Claim(
            "`nnx.jit` / `cached_partial`, and the difference",
            "nnx[documented]",
            "nnx[cached_partial]",
        ),
        Claim(
            "`nnx.jit` / `split-merge`, and the difference",
            "nnx[documented]",
            "nnx[split-merge]",
        ),
    ),
    "equinox-styles": (
        Claim(
            "`filter_jit` / `jax.jit`, and the difference",
            "equinox[documented]",
            "equinox[jit]",
        ),
        Claim(
            "`filter_jit` / `partition`, and the difference",
            "equinox[documented]",
            "equinox[functional]",
        ),
        Claim(
            "`filter_jit` / `jax.jit`, not waited for",
            "equinox[documented]",
            "equinox[jit]",
            queued=True,
        ),
    ),
}
NOT_MEASURED = "not measured"
#: The version set whose report is shown, and the kind of change that fails there.
SHOWN = "2025-09-15"
FAIL_ON = "function"
#: So many changes of the report are shown, in lines of so many characters.
CHANGES = 4
LONGEST = 79
#: The colour of text on a page of each theme, by the suffix of a picture's name.
INKS = {"": "#1f2328", "-dark": "#e3e6ea"}


@cache
def published(name: str) -> Answer:
    """The answer of a published run."""
    return answer(load(RESULTS / f"{name}.json.gz"))


def row_at(
    answer: Answer, situation: Situation, *, usual_clock: bool = True
) -> AnswerRow:
    """The row of a situation, by the usual clock of its phase or by the leading one."""
    rows = [r for r in answer.rows if (str(r.workload), r.phase) == situation]
    if usual_clock:
        (row,) = [r for r in rows if r.is_usual]
        return row
    return rows[0]


def timed(situation: Situation, called: str, *, queued: bool) -> Benchmark | None:
    """A port in a call style in a situation, as "nnx[documented]".

    The style is a name or a label. None if it has no number.
    """
    workload, phase = situation
    port, style = called.removesuffix("]").split("[")
    group = published("cpu").run.groups()[f"{workload}/{phase}/float32/stock"]
    for b in group:
        if b.arm.port != port or b.arm.role != "arm":
            continue
        if style == b.arm.style or style in b.arm.labels:
            return judged_by_other_clock(group).get(b.arm.id) if queued else b
    return None


def table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, of cells that are Markdown themselves."""
    columns = list(columns)
    lines = []
    for cells in (columns, ["---"] * len(columns), *rows):
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _paragraphs(section: Section, *origin: str) -> str:
    """A table with its notes, and where the numbers are from."""
    return "\n\n".join([markdown_table(section), *section.notes, *origin])


def _whole(text: str) -> str:
    """A number that no line break parts from its unit or its interval."""
    return text.replace(" ", "\u00a0")


def _ratio(comparison: TimeComparison, verdict: str) -> str:
    text = _whole(format_interval(comparison, digits=2))
    return f"({text})" if verdict == "indistinguishable" else text


def _sizes(situation: Situation) -> str:
    """The sizes of a situation in words."""
    return in_words(row_at(published("cpu"), situation))


def claimed() -> str:
    """The sizes that the tables of claims have a row for."""
    rows = [(text, _sizes(at)) for at, text in CLAIMED.items()]
    return table(["row", "sizes"], rows)


def times() -> str:
    """A table for each situation: a row for each way of calling that has a number."""
    sections = []
    for situation, text in SITUATIONS.items():
        rows = _time_rows(situation)
        columns = ["called"]
        for loop in ("waited for", "in a loop"):
            columns += [loop, "over plain JAX"]
        sections.append(f"### {text}\n\n{_sizes(situation)}.\n\n{table(columns, rows)}")
    return "\n\n".join(sections)


def _time_rows(situation: Situation) -> list[tuple[str, ...]]:
    rows = []
    for port in JITS:
        for style, words in _call_styles(port).items():
            called = f"{port}[{style}]"
            cells = []
            for queued in (False, True):
                cells += _time_cells(timed(situation, called, queued=queued))
            if any(cells):
                rows.append((f"{name_of(port)}{words}", *cells))
    return rows


def _call_styles(port: str) -> dict[str, str]:
    """The call styles of a port that the table of times has, with what it calls
    them.
    """
    documented = ", as documented"
    if JITS[port] != "jax.jit":  # other styles have jax.jit, too
        documented = f"{documented}: `{JITS[port]}`"
    styles = {DOCUMENTED: documented}
    for style in get_port(port).call_styles[1:]:
        if not style.labels:
            styles[style.name] = f": `{style.code.splitlines()[0]}`"
    styles[FUNCTIONAL] = ", functional"
    styles[LEAVES] = ": `leaves`"
    return styles


def _time_cells(b: Benchmark | None) -> list[str]:
    """The time, and its ratio to plain JAX's. Both are empty where there is none."""
    if b is None:
        return ["", ""]
    return [_whole(format_time(b.call_s)), _ratio(b.comparison, b.verdict)]


def claims(part: str) -> str:
    """A table of docs/claims.md: a row for each situation, a column for each claim."""
    rows = []
    for situation, text in CLAIMED.items():
        cells = [_claim_cell(situation, claim) for claim in CLAIMS[part]]
        rows.append((text, *cells))
    headings = [claim.heading for claim in CLAIMS[part]]
    return table(["what was timed", *headings], rows)


def _claim_cell(situation: Situation, claim: Claim) -> str:
    """The ratio; of two styles of one framework that are waited for, also the
    difference.
    """
    first = timed(situation, claim.first, queued=claim.queued)
    second = timed(situation, claim.second, queued=claim.queued)
    if first is None or second is None:
        return NOT_MEASURED
    d = difference(published("cpu").run.benchmarks, first, second)
    ratio = _ratio(d.comparison, d.verdict)
    is_of_one = first.arm.port == second.arm.port and not claim.queued
    if not is_of_one or d.verdict != "slower":
        return ratio
    more = format_time_range(d.difference_s, d.difference_low_s, d.difference_high_s)
    return f"{ratio}, +{_whole(more)}"


def fastest() -> str:
    """The fastest framework and those that cannot be told apart from it, in each
    situation, with what the others take.
    """
    shown = published("cpu")
    rows = []
    for situation, text in SITUATIONS.items():
        row = row_at(shown, situation)
        cells = [_fastest_cell(row.rankings[label]) for label in COMPARED]
        what = f"**{text}**, {SHORT[row.clock]}: {_sizes(situation)}"
        rows.append((what, *cells))
    columns = ["what you do", *CALLED.values()]
    return f"{table(columns, rows)}\n\nMeasured on {measured_on(shown.run)}."


def _fastest_cell(ranking: Ranking) -> str:
    cell = f"**{', '.join(map(name_of, ranking.best))}**"
    if ranking.leader is not None:
        cell = f"{cell} {_whole(format_time(ranking.time_s(ranking.leader)))}"
    slower = []
    for port, d in ranking.slower.items():
        slower.append(f"{name_of(port)} {factor_text(d.comparison)}")
    return f"{cell}; {', '.join(slower)}" if slower else cell


def versions() -> str:
    """The ratios to plain JAX with an older and a newer set of versions."""
    old = published("cpu-py311")
    new = published("cpu")
    rows = []
    for situation, text in SITUATIONS.items():
        for label in COMPARED:
            before_row = row_at(old, situation, usual_clock=False)
            after_row = row_at(new, situation, usual_clock=False)
            before = before_row.rankings[label].benchmarks
            after = after_row.rankings[label].benchmarks
            cells = []
            for port in new.ports:
                cells.append(_moved(before[port].comparison, after[port].comparison))
            rows.append((text, CALLED[label], *cells))
    columns = ["situation", "called", *map(name_of, new.ports)]
    sets = [f"- {_packages(a.run)}; {a.run.datetime[:10]}." for a in (old, new)]
    return "\n\n".join([table(columns, rows), "\n".join(sets)])


def _moved(before: TimeComparison, after: TimeComparison) -> str:
    """Two ratios, in bold where their intervals do not overlap."""
    text = f"{before.ratio:.2f} → {after.ratio:.2f}"
    is_apart = before.high < after.low or after.high < before.low
    return f"**{text}**" if is_apart else text


def _packages(run: Results) -> str:
    versions = run.trigru.machine.versions
    names = ("python", "jax", "flax", "equinox")
    return ", ".join(f"{name} {versions[name]}" for name in names)


def quick(answer: Answer) -> Answer:
    """The answer for one sequence and for a batch, at the sizes that people ask
    about.
    """
    rows = [row for row in answer.rows if str(row.workload) in FIRST]
    return replace(answer, rows=rows)


def sentences() -> str:
    """The answer of the published run, in the sentences of the screen."""
    shown = quick(published("cpu"))
    paragraphs = []
    for situation in told(shown):
        text = " ".join(situation.sentences)
        paragraphs.append(f"**{situation.subject}** ({situation.loop}). {text}")
    return "\n\n".join(paragraphs)


def answer_rows() -> str:
    """The times of the published run as documented: a row for each situation."""
    shown = quick(published("cpu"))
    rows = []
    for situation in shown.situations:
        for row in situation.rows:
            ranking = row.rankings[DOCUMENTED]
            cells = [_answer_cell(ranking, port) for port in shown.ports]
            subject = f"{SUBJECTS[row.phase]} ({SHORT[row.clock]})"
            rows.append((f"{subject}: {in_words(row)}", *cells))
    columns = ["as documented", *map(name_of, shown.ports)]
    return f"{table(columns, rows)}\n\nMeasured on {measured_on(shown.run)}."


def _answer_cell(ranking: Ranking, port: str) -> str:
    text = _whole(cell(ranking, port).removesuffix(" *"))
    return f"**{text}**" if port in ranking.best else text


def screen() -> str:
    """What the published run was measured on and with, and its screen."""
    shown = published("cpu")
    text = io.StringIO()
    console = Console(width=WIDTH, file=text)
    for part in answer_screen(shown):
        console.print(part, markup=False, highlight=False)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    block = "\n".join(["```text", *lines, "```"])
    return "\n\n".join([*provenance_lines(shown.run), block])


def sizes() -> str:
    """The time over plain JAX, by the size of the model."""
    run = published("sweep").run
    (section,) = overhead_tables(run)
    return _paragraphs(section, *provenance_lines(run))


def kernel(name: str) -> str:
    """The fused kernel against each port's own cell: a column for each size."""
    run = published(name).run
    rows: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for speedup in speedups(run):
        port = speedup.other.arm.port
        title = "plain JAX: a scan by hand" if port == "pure" else name_of(port)
        arm = speedup.benchmark.arm
        at = in_words(arm)
        rows.setdefault(title, {})[at] = _ratio(speedup.ratio, speedup.verdict)
        columns[at] = None
    lines = []
    for title, ratios in rows.items():
        lines.append((title, *(ratios.get(at, "-") for at in columns)))
    machine = run.trigru.machine
    origin = (
        f"{run.datetime[:10]}, {machine.device} ({machine.threads} threads), "
        f"{_packages(run)}."
    )
    return f"{table(['own cell / fused', *columns], lines)}\n\n{origin}"


def kernel_sizes() -> str:
    """What `bench/studies/kernel.py` wrote."""
    return (RESULTS / "kernel-sizes.md").read_text(encoding="utf-8").strip()


def releases() -> str:
    """The version sets of the published matrix of releases."""
    matrix = read(RESULTS / "releases.json")
    origin = (
        f"{matrix.datetime[:10]}, {matrix.device}, Python {matrix.rows[0].python}: "
        f"`{' '.join(matrix.command)}`."
    )
    return _paragraphs(matrix_tables(matrix)[0], origin)


def releases_picture() -> str:
    """The lines of Python in a train step, for a light page and for a dark one."""
    picture = matrix_picture(read(RESULTS / "releases.json"))
    assert picture is not None
    light = f"![{picture.description}](releases.svg#only-light)"
    dark = f"![{picture.description}](releases-dark.svg#only-dark)"
    return f"{light}\n{dark}"


def upgrade() -> str:
    """The first changes that `trigru diff` prints for a version set."""
    rows = read(RESULTS / "releases.json").rows
    ((before, after),) = [p for p in pairwise(rows) if p[1].name == SHOWN]
    moved = []
    for name in ("jax", "flax"):
        moved.append(f"{name} {before.versions[name]} -> {after.versions[name]}")
    head, _, *changes = change_lines(after.moved, [FAIL_ON])
    # few of all changes are in the file
    total = sum(sum(kinds.values()) for kinds in after.counts.values())
    head = head.replace(f"of {len(after.moved)}.", f"of {total}.")
    lines = [head, f"Versions: {', '.join(moved)}, and others.", ""]
    for change in changes[:CHANGES]:
        lines += wrap(change, LONGEST, subsequent_indent="  ")
    return "\n".join(["```text", *lines, "[...]", "```"])


def draw_pictures(*, check: bool) -> list[Path]:
    """Draw the pictures that show other results than the files have.

    A check draws none. Returns the paths of these pictures.
    """
    stale = []
    for name, (file, picture_of) in PICTURES.items():
        source = DOCS / "results" / file
        picture = picture_of(source)
        assert picture is not None, f"{file} has nothing to draw"
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        origin = f"<!-- {file} {digest} -->"
        for suffix, ink in INKS.items():
            path = DOCS / f"{name}{suffix}.svg"
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            if origin in text and label_of(picture.description) in text:
                continue
            stale.append(path)
            if not check:
                is_dark = suffix == "-dark"
                drawn = themed(picture.figure, picture.description, ink, dark=is_dark)
                path.write_text(f"{drawn}{origin}\n", encoding="utf-8")
    return stale


def _quick_picture(path: Path) -> Picture:
    return answer_picture(quick(answer(load(path))))


def _whole_picture(path: Path) -> Picture:
    return answer_picture(answer(load(path)))


def _releases_picture(path: Path) -> Picture | None:
    return matrix_picture(read(path))


#: Each picture with its results and the function that draws it.
PICTURES: dict[str, tuple[str, Callable[[Path], Picture | None]]] = {
    "answer": ("cpu.json.gz", _quick_picture),
    "answer-all": ("cpu.json.gz", _whole_picture),
    "releases": ("releases.json", _releases_picture),
}
