"""The parts of the docs that show published results: tables of times and ratios, the answer in sentences."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
from trigru.bench.analysis.answer import WAYS, Answer, Row, answer
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import difference, other_clock
from trigru.bench.analysis.speedups import Speedup, mean_speedup, speedups
from trigru.bench.analysis.starts import load_starts
from trigru.bench.analysis.statistics import Comparison, compare, verdict
from trigru.bench.reporting.answer import answer_lines
from trigru.bench.reporting.naming import CALLED, name_of
from trigru.bench.reporting.numbers import Interval, count, format_interval, format_time, format_time_range
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.reporting.sections import markdown_table
from trigru.bench.reporting.times import cold_start_tables, overhead_tables
from trigru.bench.results.grouping import grouped
from trigru.bench.results.record import Benchmark
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL, LEAVES

RESULTS = Path(__file__).parents[1] / "docs" / "results"
#: What people do, as a workload and a phase of the published run.
STEP = "One time step a call", "question", "step"
SHORT = "Training on one sequence", "question", "train_step"
COMMON = "Training a model of common size", "medium", "train_step"
SITUATIONS = (
    STEP,
    ("Streaming, a chunk a call", "question", "forward"),
    SHORT,
    ("Training on small batches", "vowels", "train_step"),
    COMMON,
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
        """The answer of the run."""
        return answer(self.run)

    def versions(self, *packages: str) -> str:
        """Packages with their versions."""
        known = self.run.trigru.machine.versions
        return ", ".join(f"{package} {known[package]}" for package in packages)

    def row(self, workload: str, phase: str) -> Row:
        """A row of the answer."""
        (row,) = (row for row in self.answer.rows if (str(row.workload), row.phase) == (workload, phase))
        return row

    def size(self, workload: str, phase: str) -> str:
        """The sizes of a workload in words."""
        arms = (b for b in self.run.benchmarks if (str(b.arm.workload), b.arm.phase) == (workload, phase))
        batch, time, inputs, hidden = map(int, re.findall(r"\d+", next(arms).shape))
        steps = "" if phase == "step" else f" of {'up to ' * (workload == 'vowels')}{time} steps"
        return f"{inputs} inputs, {hidden} units, {count(batch, 'sequence')}{steps}"

    def arm(self, workload: str, phase: str, port: str, style: str) -> Benchmark | None:
        """A port in a call style, by its name or label; None where it has no number."""
        group = self.run.groups()[f"{workload}/{phase}/float32/stock"]
        own = (b for b in group if b.arm.port == port and b.arm.role == "arm")
        return next((b for b in own if style == b.arm.style or style in b.arm.labels), None)

    def time(self, arm: Benchmark | None, *, in_flight: bool) -> str:
        """The median time of a call, and its ratio to plain JAX's."""
        other = arm and in_flight and other_clock(self.run, arm)
        if arm is None or (in_flight and not other):
            return NOT_MEASURED
        ratio = other.ratio if other else Comparison(arm.ratio, arm.ratio_low, arm.ratio_high)
        time = format_time(float(np.median(arm.other_s if other else arm.time_s)))
        return f"{_whole(time)}, {_ratio(ratio, (other or arm).verdict)}"

    def ratio(self, one: Benchmark | None, other: Benchmark | None, *, in_flight: bool) -> str:
        """The ratio of two arms; of two styles of one framework that are waited for, also the difference."""
        if one is None or other is None:
            return NOT_MEASURED
        if not in_flight:
            d = difference(self.run, one, other)
            if one.arm.port != other.arm.port or d.verdict != "slower":
                return _ratio(d, d.verdict)
            more = format_time_range(d.difference_s, d.difference_low_s, d.difference_high_s)
            return f"{_ratio(d)}, +{_whole(more)}"
        clock = other_clock(self.run, one)
        if clock is None or other_clock(self.run, other) is None:
            return NOT_MEASURED
        ratio = compare(one.other_s, other.other_s, one.other_process)
        return _ratio(ratio, verdict(ratio, clock.floor, one.other_process))


published = cache(Published)
interval = partial(format_interval, digits=2)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, of cells that are Markdown themselves."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))


def _whole(text: str) -> str:
    """A number that no line break parts from its unit or its interval."""
    return text.replace(" ", "\u00a0")


def _ratio(ratio: Interval, word: str = "") -> str:
    """A ratio with its interval; in round brackets where it is indistinguishable from 1."""
    text = _whole(interval(ratio))
    return f"({text})" if word == "indistinguishable" else text


def times(*, in_flight: bool) -> str:
    """A row for each way of calling that has a number, a column for each situation."""
    of, rows = published("cpu"), []
    for arm, name in ARMS.items():
        cells = [of.time(of.arm(*at, *arm), in_flight=in_flight) for _, *at in SITUATIONS]
        rows += [(name, *cells)] * ({*cells} != {NOT_MEASURED})
    return table(("called", *(f"{text}: {of.size(*at)}" for text, *at in SITUATIONS)), rows)


def fastest() -> str:
    """The frameworks than which no other is faster, in each situation."""
    of = published("cpu")
    rows = [(text, *(", ".join(map(name_of, of.row(*at).fastest[way])) for way in WAYS)) for text, *at in SITUATIONS]
    return "\n\n".join([table(("situation", *(CALLED[way] for way in WAYS)), rows), *provenance_lines(of.run)[:2]])


def claims(part: str) -> str:
    """A table of docs/claims.md: a row for each situation, those columns that have a number."""
    of = published("cpu")
    columns = {"situation": [f"{text}: {of.size(*at)}" for text, *at in CLAIMED]}
    for heading, in_flight, one, other in CLAIMS[part]:
        columns[heading] = [of.ratio(of.arm(*at, *one), of.arm(*at, *other), in_flight=in_flight) for _, *at in CLAIMED]
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
    sets = "\n".join(f"- {of.versions(*PACKAGES)}; {of.run.datetime[:10]}." for of in (old, new))
    return f"{table(('situation', 'called', *map(name_of, ports)), rows)}\n\n{sets}"


def _moved(before: Interval, after: Interval) -> str:
    text = f"{before.ratio:.2f} → {after.ratio:.2f}"
    return f"**{text}**" if before.high < after.low or after.high < before.low else text


def sentences(docs: str = "") -> str:
    """One step as documented, what to write instead, training, what other versions change, and where it was measured.

    Args:
        docs: what leads from the page to the docs.
    """
    new, old = published("cpu"), published("cpu-py311")
    step, common = new.row(*STEP[1:]), new.row(*COMMON[1:])
    documented = sorted(step.cells[DOCUMENTED].items(), key=lambda item: item[1].ratio)
    functional = [f"{name_of(port)} {format_time(step.cells[FUNCTIONAL][port].time_s)}" for port, _ in documented[1:]]
    ratios = [Comparison(d.ratio, d.low, d.high) for d in common.pairs[DOCUMENTED]]
    most = max((ratio if ratio.ratio > 1 else ratio.inverse for ratio in ratios), key=lambda ratio: ratio.ratio)
    arms = [new.arm(*STEP[1:], *arm) for arm in (JIT, TREE, PARTIAL)]
    jit, tree, bound = (format_time(float(np.median(arm.time_s))) for arm in arms if arm)
    linen = [interval(of.row(*SHORT[1:]).cells[DOCUMENTED]["linen"]) for of in (new, old)]
    first, *others = (f"{name_of(port)} {format_time(c.time_s)}, {interval(c)}" for port, c in documented)
    machine = new.run.trigru.machine
    return "\n".join(
        [
            f"- **One step a call, as documented** ({new.size(*STEP[1:])}): "
            f"{'; '.join((f'{first} times plain JAX', *others))}.",
            f"- **With a line changed:** Equinox {jit} with `jax.jit`, which its documentation shows first "
            f"for models of arrays alone; NNX {tree} with `graph=False`, {bound} with "
            f"`jit_partial`, which [keep state]({docs}call-styles.md#which-one). "
            f"Functional, NNX's state returned by hand: {'; '.join(functional)}.",
            f"- **A train step, as documented** ({new.size(*COMMON[1:])}): the slowest takes {interval(most)} times "
            "as long as the fastest.",
            "- **Versions matter:** training `nn.GRUCell` (six small products) on one sequence takes "
            f"{linen[0]} times plain JAX's time with {new.versions('jax', 'flax')}; {linen[1]} with "
            f"{old.versions('jax', 'flax')}.",
            f"- One GRU (in NNX, trigru's cell), {machine.device}, {count(machine.threads, 'thread')}, "
            f"{new.run.datetime[:10]}. Ratios are medians of pairs, not quotients of times.",
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
    """The fused kernel against each port's own cell, a row for each size, and plain JAX's against peers in the mean."""
    of = published(name)
    own, peers = speedups(of.run), speedups(of.run, "peers")

    def cell(speedup: Speedup) -> str:
        return _ratio(speedup.ratio, speedup.verdict)

    ports = grouped(own, lambda s: s.benchmark.arm.port)
    rows = [
        (of.size(workload, some[0].benchmark.arm.phase), *map(cell, some))
        for workload, some in grouped(own, lambda s: str(s.benchmark.arm.workload)).items()
    ]
    rows.append(("geometric mean", *(cell(mean_speedup(some)) for some in ports.values())))
    plain = [s for s in peers if s.benchmark.arm.port == "pure"]
    means = [(peer, cell(mean_speedup(some))) for peer, some in grouped(plain, lambda s: s.other.name).items()]
    columns = ("plain JAX: a scan by hand" if port == "pure" else name_of(port) for port in ports)
    machine = of.run.trigru.machine
    return "\n\n".join(
        [
            table(("own cell / fused", *columns), rows),
            table(("peer / fused in plain JAX, geometric mean", "ratio"), means),
            f"{of.run.datetime[:10]}, {machine.device} ({machine.threads} threads), {of.versions(*PACKAGES)}.",
        ]
    )


PARTS: dict[str, Callable[[], str]] = {
    "times-waited": partial(times, in_flight=False),
    "times-in-flight": partial(times, in_flight=True),
    "fastest": fastest,
    **{f"claim-{part}": partial(claims, part) for part in CLAIMS},
    "versions": versions,
    "answer": partial(sentences, "docs/"),
    "answer-index": sentences,
    "screen": screen,
    "sizes": sizes,
    "cold-start": cold_start,
    **{name: partial(kernel, name) for name in ("kernel", "inference")},
    "kernel-sizes": lambda: (RESULTS / "kernel-sizes.md").read_text(encoding="utf-8").strip(),
}
