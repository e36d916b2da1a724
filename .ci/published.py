"""The parts of the docs that show published results: tables of times and ratios, the answer, releases, and pictures."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import shorten

from msgspec.structs import replace
from trigru.bench.analysis.answer import COMPARED, Answer, AnswerRow, answer
from trigru.bench.analysis.benchmarks import Benchmark
from trigru.bench.analysis.comparison import TimeComparison
from trigru.bench.analysis.merge import judged_by_other_clock, load
from trigru.bench.analysis.pairs import difference, speedups
from trigru.bench.commands.matrix import matrix_picture, matrix_tables, read
from trigru.bench.reporting import answer as screens
from trigru.bench.reporting.advice import advice_of
from trigru.bench.reporting.console import Section
from trigru.bench.reporting.markdown import markdown_table
from trigru.bench.reporting.naming import (
    CALLED,
    JITS,
    describe,
    name_of,
    provenance_lines,
)
from trigru.bench.reporting.numbers import (
    format_interval,
    format_time,
    format_time_range,
)
from trigru.bench.reporting.plots import Picture, answer_picture, label_of, themed
from trigru.bench.reporting.times import overhead_tables
from trigru.bench.results.arm import Sized
from trigru.bench.upgrades.tables import change_lines
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL, LEAVES
from trigru.impls import get_port

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"
#: The workloads of the answer that a reader sees first.
FIRST = ("question", "medium")
#: What people do, by a workload and a phase of the published run.
SITUATIONS = {
    ("question", "step"): "One time step a call",
    ("question", "forward"): "Streaming, a chunk a call",
    ("question", "train_step"): "Training on one sequence",
    ("medium", "train_step"): "Training a model of common size",
    ("large", "train_step"): "Training a large model",
}
#: The smallest model, whose calls take as long as those that most public claims are about, then the situations.
CLAIMED = {
    ("tiny", "step"): "Smallest model, one time step",
    ("tiny", "forward"): "Smallest model, forward",
    ("tiny", "train_step"): "Smallest model, train step",
} | SITUATIONS
#: The columns of each table of docs/claims.md: a heading, and two arms, of calls that are waited for, or ",queued".
CLAIMS = {
    "nnx-equinox": {
        "as documented": "nnx[documented]/equinox[documented]",
        "`graph=False` / `jax.jit`": "nnx[nnx.jit-tree]/equinox[jit]",
        "`jit_partial` / `jax.jit`": "nnx[jit_partial]/equinox[jit]",
        "functional": "nnx[functional]/equinox[functional]",
        "`graph=False` / `jax.jit`, not waited for": "nnx[nnx.jit-tree]/equinox[jit],queued",
        "`jit_partial` / `jax.jit`, not waited for": "nnx[jit_partial]/equinox[jit],queued",
    },
    "equinox-linen": {
        "as documented": "equinox[documented]/linen[documented]",
        "`jax.jit` / as documented": "equinox[jit]/linen[documented]",
        "functional": "equinox[functional]/linen[functional]",
    },
    "nnx-styles": {
        f"`nnx.jit` / `{style}`, and the difference": f"nnx[documented]/nnx[{style}]"
        for style in ("nnx.jit-tree", "jit_partial", "cached_partial", "split-merge")
    },
    "equinox-styles": {
        "`filter_jit` / `jax.jit`, and the difference": "equinox[documented]/equinox[jit]",
        "`filter_jit` / `partition`, and the difference": "equinox[documented]/equinox[functional]",
        "`filter_jit` / `jax.jit`, not waited for": "equinox[documented]/equinox[jit],queued",
    },
}
NOT_MEASURED = "not measured"
#: The version set whose report is shown, the kind of change that fails there, how many lines, and their longest.
SHOWN, FAIL_ON, LINES, LONGEST = "2026-05-15", "function", 5, 100
#: The colour of text on a page of each theme, by the suffix of a picture's name. There is no background.
INKS = {"": "#1f2328", "-dark": "#e3e6ea"}


@cache
def published(name: str) -> Answer:
    """The answer of a published run."""
    return answer(load(RESULTS / f"{name}.json.gz"))


def row_at(of: Answer, at: tuple[str, str]) -> AnswerRow:
    """The row of a situation."""
    (row,) = (row for row in of.rows if (str(row.workload), row.phase) == at)
    return row


def timed(at: tuple[str, str], called: str, *, queued: bool) -> Benchmark | None:
    """A port in a call style, by its name or label, as "nnx[documented]", in a situation; None if it has no number."""
    port, style = called.removesuffix("]").split("[")
    group = published("cpu").run.groups()["{}/{}/float32/stock".format(*at)]
    own = (b for b in group if b.arm.port == port and b.arm.role == "arm")
    arm = next((b for b in own if style in (b.arm.style, *b.arm.labels)), None)
    return judged_by_other_clock(group).get(arm.arm.id) if arm and queued else arm


def table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, of cells that are Markdown themselves."""
    columns = [*columns]
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)
    )


def _paragraphs(section: Section, *origin: str) -> str:
    """A table with its notes, and where the numbers are from."""
    return "\n\n".join([markdown_table(section), *section.notes, *origin])


def _whole(text: str) -> str:
    """A number that no line break parts from its unit or its interval."""
    return text.replace(" ", "\u00a0")


def _ratio(ratio: TimeComparison, word: str) -> str:
    text = _whole(format_interval(ratio, digits=2))
    return f"({text})" if word == "indistinguishable" else text


def _sizes(at: tuple[str, str]) -> str:
    """The sizes of a workload in words, of which one step needs no number of steps."""
    words = describe(Sized(at[0])).partition(": ")[2]
    return re.sub(" of .*? steps", "", words) if at[1] == "step" else words


def times(clock: str) -> str:
    """A row for each way of calling that has a number, a column for each situation; calls are "waited" or "queued"."""
    rows = []
    for port in map(get_port, JITS):
        own_jit = (
            "" if JITS[port.name] == "jax.jit" else f": `{JITS[port.name]}`"
        )  # other styles have jax.jit, too
        styles = {DOCUMENTED: f", as documented{own_jit}"}
        styles |= {
            style.name: f": `{style.summary}`"
            for style in port.call_styles[1:]
            if not style.labels
        }
        for style, words in (
            styles | {FUNCTIONAL: ", functional", LEAVES: ": `leaves`"}
        ).items():
            found = [
                timed(at, f"{port.name}[{style}]", queued=clock == "queued")
                for at in SITUATIONS
            ]
            cells = (
                b
                and f"{_whole(format_time(b.median_s))}, {_ratio(b.comparison, b.verdict)}"
                for b in found
            )
            rows += [
                (name_of(port.name) + words, *(cell or NOT_MEASURED for cell in cells))
            ] * any(found)
    return table(
        ["called", *(f"{text}: {_sizes(at)}" for at, text in SITUATIONS.items())], rows
    )


def claims(part: str) -> str:
    """A table of docs/claims.md: a row for each situation, a column for each two arms."""
    columns = CLAIMS[part]
    rows = [
        (f"{text}: {_sizes(at)}", *(_claim(at, pair) for pair in columns.values()))
        for at, text in CLAIMED.items()
    ]
    return table(["situation", *columns], rows)


def _claim(at: tuple[str, str], pair: str) -> str:
    """The ratio of two arms; of two styles of one framework that are waited for, also the difference."""
    arms, _, queued = pair.partition(",")
    first, second = (
        timed(at, called, queued=bool(queued)) for called in arms.split("/")
    )
    if first is None or second is None:
        return NOT_MEASURED
    d = difference(published("cpu").run.benchmarks, first, second)
    if queued or first.arm.port != second.arm.port or d.verdict != "slower":
        return _ratio(d.comparison, d.verdict)
    more = format_time_range(d.difference_s, d.difference_low_s, d.difference_high_s)
    return f"{_ratio(d.comparison, d.verdict)}, +{_whole(more)}"


def fastest() -> str:
    """The frameworks than which no other is faster, in each situation."""
    of = published("cpu")
    first = {text: row_at(of, at).fastest for at, text in SITUATIONS.items()}
    rows = [
        (text, *(", ".join(map(name_of, ports[label])) for label in COMPARED))
        for text, ports in first.items()
    ]
    return "\n\n".join(
        [table(["situation", *CALLED.values()], rows), *provenance_lines(of.run)[:2]]
    )


def versions() -> str:
    """The ratios to plain JAX with an older and a newer set of versions."""
    old, new = both = published("cpu-py311"), published("cpu")
    rows = [
        (
            text,
            CALLED[label],
            *(
                _moved(*(row_at(of, at).cells[label][port].comparison for of in both))
                for port in new.ports
            ),
        )
        for at, text in SITUATIONS.items()
        for label in COMPARED
    ]
    sets = "\n".join(f"- {_packages(of)}; {of.run.datetime[:10]}." for of in (old, new))
    return f"{table(['situation', 'called', *map(name_of, new.ports)], rows)}\n\n{sets}"


def _moved(before: TimeComparison, after: TimeComparison) -> str:
    text = f"{before.ratio:.2f} → {after.ratio:.2f}"
    return f"**{text}**" if before.high < after.low or after.high < before.low else text


def _packages(of: Answer) -> str:
    known = of.run.trigru.machine.versions
    return ", ".join(
        f"{name} {known[name]}" for name in ("python", "jax", "flax", "equinox")
    )


def quick(whole: Answer) -> Answer:
    """The answer for one sequence and for a batch, at the sizes that people ask about."""
    return replace(
        whole, rows=[row for row in whole.rows if str(row.workload) in FIRST]
    )


def sentences() -> str:
    """The answer of the published run, in the sentences of the screen."""
    shown = quick(published("cpu"))
    lines = []
    for line in screens.head_lines(shown):
        lines.append(re.sub(r"^( *)([^:]*:)", r"\1\1- **\2**", line))
    advice = advice_of(shown)
    if advice:
        lines.append(f"- {advice.heading}".replace("those above", "both"))
        for frameworks, code in advice.lines:
            lines.append(f"    - {frameworks}: `{code}`")
    last = " ".join([*screens.sure_lines(shown), *screens.proof_lines(shown)])
    last = last.replace(screens.STAR, "Tied: not told apart at 95%.")
    lines.append(f"- {last}")
    return "\n".join(lines)


def screen() -> str:
    """What the published run was measured on and with, and its screen."""
    of = published("cpu")
    return "\n\n".join(
        [
            *provenance_lines(of.run),
            "\n".join(["```text", *screens.answer_lines(of), "```"]),
        ]
    )


def sizes() -> str:
    """The time over plain JAX, by the size of the model."""
    run = published("sweep").run
    return _paragraphs(*overhead_tables(run), *provenance_lines(run))


def kernel(name: str) -> str:
    """The fused kernel against each port's own cell: a column for each size."""
    of, rows = published(name), {}
    by_hand = {"pure": "plain JAX: a scan by hand"}
    own = [
        (by_hand.get(s.other.arm.port) or name_of(s.other.arm.port), s)
        for s in speedups(of.run)
    ]
    for title, s in own:
        at = str(s.benchmark.arm.workload), s.benchmark.arm.phase
        rows.setdefault(title, {})[_sizes(at)] = _ratio(s.ratio, s.verdict)
    columns = dict.fromkeys(words for row in rows.values() for words in row)
    cells = [
        (title, *(row.get(words, "-") for words in columns))
        for title, row in rows.items()
    ]
    machine = of.run.trigru.machine
    origin = f"{of.run.datetime[:10]}, {machine.device} ({machine.threads} threads), {_packages(of)}."
    return f"{table(['own cell / fused', *columns], cells)}\n\n{origin}"


def kernel_sizes() -> str:
    """What `bench/studies/kernel.py` wrote."""
    return (RESULTS / "kernel-sizes.md").read_text(encoding="utf-8").strip()


def releases() -> str:
    """The version sets of the published matrix of releases."""
    of = read(RESULTS / "releases.json")
    origin = f"{of.datetime[:10]}, {of.device}, Python {of.rows[0].python}: `{' '.join(of.command)}`."
    return _paragraphs(matrix_tables(of)[0], origin)


def releases_picture() -> str:
    """The lines of Python in a train step, for a light page and for a dark one."""
    drawn = matrix_picture(read(RESULTS / "releases.json"))
    assert drawn is not None
    return f"![{drawn.description}](releases.svg#only-light)\n![{drawn.description}](releases-dark.svg#only-dark)"


def upgrade() -> str:
    """The first lines that `trigru diff` prints for a version set of the published matrix, cut at the right."""
    before, after = next(
        pair
        for pair in pairwise(read(RESULTS / "releases.json").rows)
        if pair[1].name == SHOWN
    )
    moved = [
        f"{name} {before.versions[name]} -> {after.versions[name]}"
        for name in ("jax", "flax")
    ]
    head, *rest = change_lines(after.moved, [FAIL_ON])
    total = sum(
        sum(kinds.values()) for kinds in after.counts.values()
    )  # of which few are in the file
    head = head.replace(f"of {len(after.moved)}.", f"of {total}.")
    lines = [head, f"Versions: {', '.join(moved)}, and others.", *rest]
    cut = [shorten(line, LONGEST, placeholder=" [...]") for line in lines[:LINES]]
    return "\n".join(["```text", *cut, "[...]", "```"])


def draw_pictures(*, check: bool) -> list[Path]:
    """Draw the pictures that show other results than the files have, unless this is a check; return their paths."""
    stale = []
    for name, (file, picture_of) in PICTURES.items():
        source = DOCS / "results" / file
        picture = picture_of(source)
        assert picture is not None, f"{file} has nothing to draw"
        origin = (
            f"<!-- {file} {hashlib.sha256(source.read_bytes()).hexdigest()[:12]} -->"
        )
        for suffix, ink in INKS.items():
            path = DOCS / f"{name}{suffix}.svg"
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            if origin in text and label_of(picture.description) in text:
                continue
            stale.append(path)
            if not check:
                drawn = themed(
                    picture.figure, picture.description, ink, dark=bool(suffix)
                )
                path.write_text(f"{drawn}{origin}\n", encoding="utf-8")
    return stale


#: Each picture with its results and the function that draws it.
PICTURES: dict[str, tuple[str, Callable[[Path], Picture | None]]] = {
    "answer": ("cpu.json.gz", lambda path: answer_picture(quick(answer(load(path))))),
    "answer-all": ("cpu.json.gz", lambda path: answer_picture(answer(load(path)))),
    "releases": ("releases.json", lambda path: matrix_picture(read(path))),
}
