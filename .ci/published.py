"""The parts of the docs that show published results: tables of times and ratios, the answer in sentences."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property, partial
from pathlib import Path

from msgspec.structs import replace
from trigru.bench.analysis.answer import WAYS, Answer, AnswerRow, answer
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import by_other_clock, difference, speedups
from trigru.bench.analysis.starts import load_starts
from trigru.bench.arms.workloads import QUICK
from trigru.bench.reporting.answer import (
    STAR,
    advice_of,
    answer_lines,
    head_lines,
    proof_lines,
    sure_lines,
    version_lines,
)
from trigru.bench.reporting.naming import CALLED, describe, name_of
from trigru.bench.reporting.numbers import Interval, format_interval, format_time, format_time_range
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.reporting.sections import markdown_table
from trigru.bench.reporting.times import cold_start_tables, overhead_tables
from trigru.bench.results.arm import Sized
from trigru.bench.results.record import Benchmark
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL, LEAVES

RESULTS = Path(__file__).parents[1] / "docs" / "results"
#: What people do, as a workload and a phase of the published run.
SITUATIONS = (
    ("One time step a call", "question", "step"),
    ("Streaming, a chunk a call", "question", "forward"),
    ("Training on one sequence", "question", "train_step"),
    ("Training on small batches", "vowels", "train_step"),
    ("Training a model of common size", "medium", "train_step"),
    ("Training a large model", "large", "train_step"),
)
#: The smallest model, whose calls take as long as those that most public claims are about, then the situations.
CLAIMED = (
    ("Smallest model, one time step", "tiny", "step"),
    ("Smallest model, forward", "tiny", "forward"),
    ("Smallest model, train step", "tiny", "train_step"),
    *SITUATIONS,
)
#: An arm of a group: a port and a call style, by its name or label.
Called = tuple[str, str]
#: Each framework as its documentation writes it, then in styles that add less to a call, as tables name them.
ARMS: dict[Called, str] = {
    ("linen", DOCUMENTED): "linen, as documented",
    ("linen", FUNCTIONAL): "linen, functional",
    ("linen", LEAVES): "linen: `leaves`",
    ("nnx", DOCUMENTED): "NNX, as documented: `nnx.jit`",
    ("nnx", "nnx.jit-tree"): "NNX: `nnx.jit(f, graph=False)`",
    ("nnx", "jit_partial"): "NNX: `nnx.jit_partial(f, model, graph=False)`",
    ("nnx", "cached_partial"): "NNX: `nnx.cached_partial`",
    ("nnx", "pytree"): "NNX: `jax.jit(f)(model, x)`",
    ("nnx", FUNCTIONAL): "NNX, functional",
    ("nnx", LEAVES): "NNX: `leaves`",
    ("equinox", DOCUMENTED): "Equinox, as documented: `filter_jit`",
    ("equinox", "jit"): "Equinox: `jax.jit(f)(model, x)`",
    ("equinox", FUNCTIONAL): "Equinox, functional",
    ("equinox", LEAVES): "Equinox: `leaves`",
}
LINEN, NNX, EQUINOX = (("linen", DOCUMENTED), ("nnx", DOCUMENTED), ("equinox", DOCUMENTED))
TREE, PARTIAL, JIT = ("nnx", "nnx.jit-tree"), ("nnx", "jit_partial"), ("equinox", "jit")
#: The columns of the tables of docs/claims.md: a heading, whether calls are not waited for, and the two arms.
CLAIMS: dict[str, list[tuple[str, bool, Called, Called]]] = {
    "nnx-equinox": [
        ("as documented", False, NNX, EQUINOX),
        ("`graph=False` / `jax.jit`", False, TREE, JIT),
        ("`jit_partial` / `jax.jit`", False, PARTIAL, JIT),
        ("functional", False, ("nnx", FUNCTIONAL), ("equinox", FUNCTIONAL)),
        ("`graph=False` / `jax.jit`, not waited for", True, TREE, JIT),
        ("`jit_partial` / `jax.jit`, not waited for", True, PARTIAL, JIT),
    ],
    "equinox-linen": [
        ("as documented", False, EQUINOX, LINEN),
        ("`jax.jit` / as documented", False, JIT, LINEN),
        ("functional", False, ("equinox", FUNCTIONAL), ("linen", FUNCTIONAL)),
    ],
    "nnx-styles": [
        (f"`nnx.jit` / `{style}`, and the difference", False, NNX, ("nnx", style))
        for style in ("nnx.jit-tree", "jit_partial", "cached_partial", "split-merge")
    ],
    "equinox-styles": [
        ("`filter_jit` / `jax.jit`, and the difference", False, EQUINOX, JIT),
        ("`filter_jit` / `partition`, and the difference", False, EQUINOX, ("equinox", FUNCTIONAL)),
        ("`filter_jit` / `jax.jit`, not waited for", True, EQUINOX, JIT),
    ],
}
NOT_MEASURED = "not measured"
#: What tells version sets apart.
PACKAGES = ("python", "jax", "flax", "equinox")


class Published:
    """A published run with its answer."""

    def __init__(self, name: str):
        self.run = load(RESULTS / f"{name}.json.gz")

    @cached_property
    def answer(self) -> Answer:
        return answer(self.run)

    @property
    def versions(self) -> str:
        """The packages that tell version sets apart, with their versions."""
        return ", ".join(f"{package} {self.run.trigru.machine.versions[package]}" for package in PACKAGES)

    def row(self, workload: str, phase: str) -> AnswerRow:
        (row,) = (row for row in self.answer.rows if (str(row.workload), row.phase) == (workload, phase))
        return row

    def arm(self, at: Sequence[str], called: Called, in_flight: bool) -> Benchmark | None:
        """A port in a call style, by its name or label; None where it has no number."""
        (port, style), group = called, self.run.groups()["{}/{}/float32/stock".format(*at)]
        own = (b for b in group if b.arm.port == port and b.arm.role == "arm")
        arm = next((b for b in own if style == b.arm.style or style in b.arm.labels), None)
        return by_other_clock(group).get(arm.arm.id) if arm and in_flight else arm

    def time(self, at: Sequence[str], called: Called, in_flight: bool) -> str:
        """The median time of a call, and its ratio to plain JAX's."""
        arm = self.arm(at, called, in_flight)
        return f"{_whole(format_time(arm.median_s))}, {_ratio(arm, arm.verdict)}" if arm else NOT_MEASURED

    def ratio(self, at: Sequence[str], in_flight: bool, *called: Called) -> str:
        """The ratio of two arms; of two styles of one framework that are waited for, also the difference."""
        first, second = (self.arm(at, one, in_flight) for one in called)
        if first is None or second is None:
            return NOT_MEASURED
        d = difference(self.run, first, second)
        if in_flight or first.arm.port != second.arm.port or d.verdict != "slower":
            return _ratio(d, d.verdict)
        more = format_time_range(d.difference_s, d.difference_low_s, d.difference_high_s)
        return f"{_ratio(d)}, +{_whole(more)}"


published = cache(Published)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, of cells that are Markdown themselves."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))


def _whole(text: str) -> str:
    """A number that no line break parts from its unit or its interval."""
    return text.replace(" ", "\u00a0")


def _ratio(ratio: Interval, word: str = "") -> str:
    """A ratio with its interval; in round brackets where it is indistinguishable from 1."""
    text = _whole(format_interval(ratio, digits=2))
    return f"({text})" if word == "indistinguishable" else text


def size(workload: str, phase: str) -> str:
    """The sizes of a workload in words, of which one step needs no number of steps."""
    words = describe(Sized(workload)).partition(": ")[2]
    return re.sub(" of .*? steps", "", words) if phase == "step" else words


def times(*, in_flight: bool) -> str:
    """A row for each way of calling that has a number, a column for each situation."""
    of, rows = published("cpu"), []
    for arm, name in ARMS.items():
        cells = [of.time(at, arm, in_flight) for _, *at in SITUATIONS]
        if {*cells} != {NOT_MEASURED}:
            rows.append((name, *cells))
    return table(("called", *(f"{text}: {size(*at)}" for text, *at in SITUATIONS)), rows)


def fastest() -> str:
    """The frameworks than which no other is faster, in each situation."""
    of = published("cpu")
    rows = [(text, *(", ".join(map(name_of, of.row(*at).fastest[way])) for way in WAYS)) for text, *at in SITUATIONS]
    return "\n\n".join([table(("situation", *(CALLED[way] for way in WAYS)), rows), *provenance_lines(of.run)[:2]])


def claims(part: str) -> str:
    """A table of docs/claims.md: a row for each situation, those columns that have a number."""
    of = published("cpu")
    columns = {"situation": [f"{text}: {size(*at)}" for text, *at in CLAIMED]}
    for heading, *pair in CLAIMS[part]:
        columns[heading] = [of.ratio(at, *pair) for _, *at in CLAIMED]
    return table([*columns], list(zip(*columns.values(), strict=True)))


def versions() -> str:
    """The ratios to plain JAX with an older and a newer set of versions."""
    old, new = published("cpu-py311"), published("cpu")
    ports = new.answer.ports
    rows = [
        (text, CALLED[way], *(_moved(*(of.row(*at).cells[way][port] for of in (old, new))) for port in ports))
        for text, *at in SITUATIONS
        for way in WAYS
    ]
    sets = "\n".join(f"- {of.versions}; {of.run.datetime[:10]}." for of in (old, new))
    return f"{table(('situation', 'called', *map(name_of, ports)), rows)}\n\n{sets}"


def _moved(before: Interval, after: Interval) -> str:
    text = f"{before.ratio:.2f} → {after.ratio:.2f}"
    return f"**{text}**" if before.high < after.low or after.high < before.low else text


def quick(whole: Answer) -> Answer:
    """The answer at the sizes of `--quick` alone."""
    return replace(whole, rows=[row for row in whole.rows if str(row.workload) in QUICK])


def sentences() -> str:
    """The answer of the published run at the sizes of `--quick`, in the sentences of the screen."""
    found = quick(published("cpu").answer)
    heading, advice = advice_of(found)
    sure = (line.replace(STAR, "Tied: not told apart at 95%.") for line in sure_lines(found))
    last = " ".join((*sure, *version_lines(found), *proof_lines(found)))
    return "\n".join(
        [
            *(re.sub(r"^( *)([^:]*:)", r"\1\1- **\2**", line) for line in head_lines(found)),
            f"- {heading}".replace("those above", "both"),
            *(f"    - {who}: `{code}`" for who, code in advice),
            f"- {last}",
        ]
    )


def screen() -> str:
    """What the published run was measured on and with, and its screen."""
    of = published("cpu")
    return "\n\n".join([*provenance_lines(of.run), "\n".join(["```text", *answer_lines(of.answer), "```"])])


def sizes() -> str:
    """The time over plain JAX, by the size of the model."""
    run = published("sweep").run
    (section,) = overhead_tables(run)
    return "\n\n".join([markdown_table(section), *section.notes, *provenance_lines(run)])


def cold_start() -> str:
    """How long each port's users wait for the first train step."""
    starts = load_starts(RESULTS / "cold_start.json")
    (section,) = cold_start_tables(starts)
    known = ", ".join(f"{name} {version}" for name, version in starts.machine.versions.items())
    return "\n\n".join([markdown_table(section), *section.notes, f"{starts.machine.device}; {known}."])


def kernel(name: str) -> str:
    """The fused kernel against each port's own cell, and plain JAX's against peers: a column for each size."""
    of, rows = published(name), {}
    for s in (*speedups(of.run), *speedups(of.run, "peers")):
        arm, other = s.benchmark.arm, s.other.arm
        own = "plain JAX: a scan by hand" if arm.port == "pure" else name_of(arm.port)
        if other.port == arm.port or arm.port == "pure":
            row = rows.setdefault(own if other.port == arm.port else other.name, {})
            row[size(str(arm.workload), arm.phase)] = _ratio(s.ratio, s.verdict)
    sizes = dict.fromkeys(words for row in rows.values() for words in row)
    cells = [(own, *(row.get(words, "-") for words in sizes)) for own, row in rows.items()]
    machine = of.run.trigru.machine
    origin = f"{of.run.datetime[:10]}, {machine.device} ({machine.threads} threads), {of.versions}."
    return f"{table(('own cell / fused', *sizes), cells)}\n\n{origin}"


PARTS: dict[str, Callable[[], str]] = {
    "times-waited": partial(times, in_flight=False),
    "times-in-flight": partial(times, in_flight=True),
    "fastest": fastest,
    **{f"claim-{part}": partial(claims, part) for part in CLAIMS},
    "versions": versions,
    "answer": sentences,
    "screen": screen,
    "sizes": sizes,
    "cold-start": cold_start,
    **{name: partial(kernel, name) for name in ("kernel", "inference")},
    "kernel-sizes": lambda: (RESULTS / "kernel-sizes.md").read_text(encoding="utf-8").strip(),
}
