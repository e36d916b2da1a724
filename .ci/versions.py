"""The tables "By version" of docs/which-framework.md: the published run beside one with older versions."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from decision import HEADINGS, SITUATIONS, in_one_piece, table_of
from trigru.bench.analysis.answer import WAYS, Answer, Row, answer
from trigru.bench.analysis.merge import load
from trigru.bench.analysis.pairs import frameworks
from trigru.bench.analysis.rates import baseline_of
from trigru.bench.analysis.statistics import CONFIDENCE, Comparison, Effect, compare_effects, effect_of, verdict
from trigru.bench.reporting.answer import name_of
from trigru.bench.reporting.numbers import count, format_interval
from trigru.bench.results.record import Results
from trigru.common.port.protocol import DOCUMENTED, FUNCTIONAL

#: The published run, and the run of the last versions that Python 3.11 has.
NEW, OLD = "cpu.json.gz", "cpu-py311.json.gz"
#: What tells version sets apart.
PACKAGES = ("python", "jax", "flax", "equinox")
WAY_NAMES = {DOCUMENTED: "as documented", FUNCTIONAL: "called alike"}


@dataclass(frozen=True)
class Measured:
    """A run with its answer."""

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
    def jax(self) -> str:
        """The version that the set is named by."""
        return f"jax {self.run.trigru.machine.versions['jax']}"

    def row(self, workload: str, phase: str) -> Row:
        """Of its answer."""
        (found,) = (row for row in self.answer.rows if (str(row.workload), row.phase) == (workload, phase))
        return found

    def effect(self, workload: str, phase: str, way: str, port: str) -> tuple[Effect, float]:
        """Of a framework over plain JAX, with the noise floor."""
        (group,) = (
            g
            for g in self.run.groups().values()
            if (str(g[0].arm.workload), g[0].arm.phase, g[0].arm.division) == (workload, phase, "stock")
        )
        arm, baseline = frameworks(group, way)[port], baseline_of(group)
        log_ratio = np.log(arm.time_s) - np.log(baseline.time_s)
        return effect_of(log_ratio, arm.process), arm.floor


def version_tables(results: Path) -> str:
    """The numbers that depend on the versions, both sets side by side."""
    new = Measured(load(results / NEW))
    if not (results / OLD).exists():
        return f"One set of versions was measured: {new.versions}."
    old = Measured(load(results / OLD))
    parts, depends = [], 0
    for way in WAYS:
        rows = []
        for text, workload, phase in SITUATIONS:
            cells = [_compared(old, new, workload, phase, way, port) for port in new.answer.ports]
            depends += sum("**" in cell for cell in cells)
            rows.append((f"{text} (`{workload}`)", *cells))
        parts += [f"**{HEADINGS[way]}**", table_of(("situation", *map(name_of, new.answer.ports)), rows)]
    winners = table_of(
        ("situation", *(f"{measured.jax}, {WAY_NAMES[way]}" for way in WAYS for measured in (old, new)), "same answer"),
        [_winners(old, new, text, workload, phase) for text, workload, phase in SITUATIONS],
    )
    total = len(WAYS) * len(SITUATIONS) * len(new.answer.ports)
    return "\n\n".join(
        [
            f"**The answer depends on your versions** in {depends} of {count(total, 'ratio')}: a word says where the "
            f"ratio is smaller (faster) or larger (slower) with {new.jax} than with {old.jax}, by more than chance and "
            "the noise floor.",
            "Which frameworks no other is faster than:",
            winners,
            f"Time / plain JAX's, with {old.jax} → with {new.jax}:",
            *parts,
            "Ratios are within each run, and each is compared by itself, as in a row of `trigru diff`. A ratio also "
            f"changes where plain JAX itself got faster or slower. Of {total} ratios that do not change, intervals of "
            f"95 % call about {total * (1 - CONFIDENCE):.0f} changed.",
            "\n".join(
                f"- {measured.jax}: {measured.versions}; {measured.run.datetime[:10]}." for measured in (old, new)
            ),
        ]
    )


def _compared(old: Measured, new: Measured, workload: str, phase: str, way: str, port: str) -> str:
    """The ratio of each set; where the newer one's is another, also the verdict and by how much."""
    both = []
    for measured in (old, new):
        cell = measured.row(workload, phase).cells[way][port]
        both.append(in_one_piece(format_interval(Comparison(cell.ratio, cell.low, cell.high), 2)))
    (before, floor), (after, other_floor) = (m.effect(workload, phase, way, port) for m in (old, new))
    changed = compare_effects(after, before)
    said = verdict(changed, max(floor, other_floor))
    text = " → ".join(both)
    if said == "indistinguishable":
        return text
    return f"{text}, **{said}**: {in_one_piece(format_interval(changed, 2))}"


def _winners(old: Measured, new: Measured, text: str, workload: str, phase: str) -> tuple[str, ...]:
    found = [measured.row(workload, phase).fastest[way] for way in WAYS for measured in (old, new)]
    pairs = found[:2], found[2:]
    if all(before == after for before, after in pairs):
        same = "yes"
    else:
        same = "in part" if all({*before} & {*after} for before, after in pairs) else "**no**"
    return text, *(", ".join(map(name_of, names)) for names in found), same
