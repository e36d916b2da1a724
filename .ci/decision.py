"""The tables of docs/which-framework.md: what each framework takes in a situation, from docs/results."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from trigru.bench.analysis.answer import WAYS, Answer, Row, answer
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import Difference, difference, frameworks, other_clock
from trigru.bench.analysis.rates import baseline_of
from trigru.bench.analysis.statistics import Comparison, Effect, effect_of
from trigru.bench.reporting.naming import name_of
from trigru.bench.reporting.numbers import Interval, count, format_interval, format_time, format_time_range
from trigru.bench.reporting.provenance import provenance_lines
from trigru.bench.results.record import Benchmark, Results
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL, LEAVES

#: What people do, as a workload and a phase of the published run.
SITUATIONS = (
    ("One time step a call", "question", "step"),
    ("Streaming, a chunk a call", "question", "forward"),
    ("Training on one sequence", "question", "train_step"),
    ("Training on small batches", "vowels", "train_step"),
    ("Training a model of common size", "medium", "train_step"),
    ("Training a large model", "large", "train_step"),
)
#: Each framework as its documentation writes it, NNX and Equinox in their own styles that add less to a call, and in
#: those that all have; a call style is named by its label or its name.
CALLED = (
    ("linen", DOCUMENTED, "linen, as documented"),
    ("nnx", DOCUMENTED, "NNX, as documented: `nnx.jit`"),
    ("nnx", "nnx.jit-tree", "NNX: `nnx.jit(f, graph=False)`"),
    ("nnx", "jit_partial", "NNX: `nnx.jit_partial(f, model, graph=False)`"),
    ("nnx", "cached_partial", "NNX: `nnx.cached_partial`"),
    ("nnx", "pytree", "NNX: `jax.jit(f)(model, x)`"),
    ("nnx", FUNCTIONAL, "NNX, functional"),
    ("nnx", LEAVES, "NNX: `leaves`"),
    ("equinox", DOCUMENTED, "Equinox, as documented: `filter_jit`"),
    ("equinox", "jit", "Equinox: `jax.jit(f)(model, x)`"),
    ("equinox", FUNCTIONAL, "Equinox, functional"),
    ("equinox", LEAVES, "Equinox: `leaves`"),
)
#: The styles that keep state and add less to a call than the documented one, by framework, as columns name them.
KEEPING = {"nnx": {"nnx.jit-tree": "graph=False", "jit_partial": "jit_partial"}, "equinox": {"jit": "jax.jit"}}
NOT_MEASURED = "not measured"
#: What tells version sets apart.
PACKAGES = ("python", "jax", "flax", "equinox")


@dataclass(frozen=True)
class Measured:
    """A published run with its answer."""

    run: Results

    @cached_property
    def answer(self) -> Answer:
        """The answer of the run."""
        return answer(self.run)

    @property
    def versions(self) -> str:
        """In a few words."""
        of = self.run.trigru.machine.versions
        return ", ".join(f"{package} {of[package]}" for package in PACKAGES if package in of)

    @property
    def named(self) -> str:
        """The versions that the run is named by."""
        of = self.run.trigru.machine.versions
        return f"Python {'.'.join(of['python'].split('.')[:2])}, {self.libraries}"

    @property
    def libraries(self) -> str:
        """Those versions on which most depends."""
        of = self.run.trigru.machine.versions
        return f"jax {of['jax']}, flax {of['flax']}"

    def row(self, workload: str, phase: str) -> Row:
        """Of its answer."""
        (found,) = (row for row in self.answer.rows if (str(row.workload), row.phase) == (workload, phase))
        return found

    def group(self, workload: str, phase: str) -> list[Benchmark]:
        """The arms of the stock division that did the same work."""
        return self.run.groups()[f"{workload}/{phase}/float32/stock"]

    def size(self, workload: str, phase: str) -> str:
        """Sizes in words."""
        group = next(b for b in self.run.benchmarks if (str(b.arm.workload), b.arm.phase) == (workload, phase))
        batch, time, inputs, hidden = map(int, re.findall(r"\d+", group.shape))
        steps = "" if phase == "step" else f" of {'up to ' * (workload == 'vowels')}{time} steps"
        return f"{inputs} inputs, {hidden} units, {count(batch, 'sequence')}{steps}"

    def arm(self, workload: str, phase: str, port: str, style: str) -> Benchmark | None:
        """A port in a call style, by its name or label; None where it has no number."""
        own = (b for b in self.group(workload, phase) if b.arm.port == port and b.arm.role == "arm")
        return next((b for b in own if style == b.arm.style or style in b.arm.labels), None)

    def effect(self, workload: str, phase: str, way: str, port: str) -> tuple[Effect, float]:
        """Of a framework over plain JAX, with the noise floor."""
        group = self.group(workload, phase)
        arm, baseline = frameworks(group, way)[port], baseline_of(group)
        log_ratio = np.log(arm.time_s) - np.log(baseline.time_s)
        return effect_of(log_ratio, arm.process), arm.floor


def decision_tables(results: Path) -> str:
    """Times in both loops, and what to write."""
    measured = Measured(load(results / "cpu.json.gz"))
    return "\n\n".join(
        [
            "### Each call waited for",
            _times(measured, _waited),
            "### Calls in a loop that does not wait",
            _times(measured, _in_flight),
            "Median time of a call, then time / plain JAX's with its 95 % interval; in round brackets where it is "
            "indistinguishable from 1. A sample of the second table is at most 20 calls, of a train step a few, so a "
            "longer loop hides more.",
            "### What to write",
            _writing(measured),
            "No other framework is faster than those named, beyond chance, within the rounds of the run. What a style "
            "saves is beside `nnx.jit` and `filter_jit`, each call waited for: the ratio paired within rounds, less 1, "
            "times the median of the faster style; then as a share of the documented call. What these styles lose, "
            "[Call styles](call-styles.md#what-a-call-does-to-the-model) says.",
            *provenance_lines(measured.run)[:2],
        ]
    )


def _times(measured: Measured, cell: Callable[[Measured, Benchmark], str]) -> str:
    """A row for each way of calling that has a number, a column for each situation."""
    rows = []
    for port, style, heading in CALLED:
        arms = [measured.arm(*at, port, style) for _, *at in SITUATIONS]
        cells = [NOT_MEASURED if arm is None else cell(measured, arm) for arm in arms]
        if {*cells} != {NOT_MEASURED}:
            rows.append((heading, *cells))
    return table_of(("called", *(f"{text}: {measured.size(*at)}" for text, *at in SITUATIONS)), rows)


def _waited(_: Measured, arm: Benchmark) -> str:
    return _cell(float(np.median(arm.time_s)), Comparison(arm.ratio, arm.ratio_low, arm.ratio_high), arm.verdict)


def _in_flight(measured: Measured, arm: Benchmark) -> str:
    found = other_clock(measured.run, arm)
    return NOT_MEASURED if found is None else _cell(float(np.median(arm.other_s)), found.ratio, found.verdict)


def _cell(time_s: float, ratio: Interval, verdict: str) -> str:
    return f"{in_one_piece(format_time(time_s))}, {ratio_text(ratio, verdict)}"


def ratio_text(ratio: Interval, verdict: str = "") -> str:
    """A ratio with its interval; in round brackets where it is indistinguishable from 1."""
    text = in_one_piece(format_interval(ratio, 2))
    return f"({text})" if verdict == "indistinguishable" else text


def in_one_piece(text: str) -> str:
    """A number that no line break parts from its unit or its interval."""
    return text.replace(" ", "\u00a0")


def _writing(measured: Measured) -> str:
    columns = "situation", "fastest as documented", "fastest functional", "NNX", "Equinox"
    rows = [
        (
            text,
            *(", ".join(map(name_of, measured.row(*at).fastest[way])) for way in WAYS),
            _saving(measured, at, "nnx", (*KEEPING["nnx"], "cached_partial", FUNCTIONAL)),
            _saving(measured, at, "equinox", (*KEEPING["equinox"], FUNCTIONAL)),
        )
        for text, *at in SITUATIONS
    ]
    return table_of(columns, rows)


def _saving(measured: Measured, at: Sequence[str], port: str, styles: Sequence[str]) -> str:
    """The time that each style saves beside the documented one, where it was shown to save any."""
    documented, saved = measured.arm(*at, port, DOCUMENTED), []
    assert documented is not None
    for style in styles:
        arm = measured.arm(*at, port, style)
        found = arm and difference(measured.run, documented, arm)
        if found and (more := longer(found)):
            share = in_one_piece(f"{more}, {1 - 1 / found.ratio:.0%}")
            saved.append(f"`{arm.arm.style}` saves {share}")
    return "<br>".join(saved) or f"`{documented.arm.style}`, as documented"


def longer(found: Difference) -> str:
    """The time by which the first takes longer, with its interval; nothing where that was not shown."""
    if found.verdict != "slower":
        return ""
    return in_one_piece(format_time_range(found.difference_s, found.difference_low_s, found.difference_high_s))


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))
