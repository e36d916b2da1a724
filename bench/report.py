"""Tables from a results file, on the terminal and in Markdown, and from nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..common.checks import CHECKS, STAYS
from ..common.equivalence import Measurement
from ..impls.upstream import Finding
from .programs import ProgramFacts, explain
from .results import Benchmark, Results

__all__ = [
    "departures_table",
    "equality_table",
    "markdown",
    "provenance_lines",
    "self_test_table",
    "terminal",
    "timing_tables",
]

#: A framework whose best style is slower than the baseline by more than this is explained.
EXPLAINED_ABOVE = 1.10
#: A noise floor above this is pointed at: "indistinguishable" then says more of the machine than of the arms.
NOISY_FLOOR = 0.10
#: As is a machine on which more than this share of the cores was at work before the run.
BUSY_SHARE = 0.5


@dataclass(frozen=True)
class Section:
    """A table with a title above and notes below, for any medium."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def equality_table(measurements: list[Measurement], *, failures: bool = True) -> Section:
    """Port × check: the largest error in float64, and how much of the allowed error the other dtypes used.

    Args:
        measurements: of `verify`.
        failures: list each below.
    """
    ports = list(dict.fromkeys(m.port for m in measurements))
    rows = []
    for check in (c.name for c in CHECKS):
        found = [m for m in measurements if m.check == check]
        if found:
            rows.append((check, *(_equality_cell([m for m in found if m.port == port]) for port in ports)))
    failed: dict[tuple[str, str, str | None], list[Measurement]] = {}
    for m in measurements:
        if not m.passed and failures:
            failed.setdefault((m.port, m.check, m.style), []).append(m)
    return Section(
        "Equality with the NumPy oracle",
        ("check", *ports),
        rows,
        (
            "float64: largest error relative to the largest reference magnitude, 1e-12 allowed. "
            "Per cent: the share of the allowed error that float32 and bfloat16 used, 4 times NumPy's own.",
            *(_failure(found) for found in failed.values()),
        ),
    )


def _failure(measurements: list[Measurement]) -> str:
    first, *others = measurements
    said = "FAILED" if first.offered else "NOT OFFERED"
    return f"{said} {first}" + (f" (and {len(others)} more)" if others else "")


def departures_table(findings: list[Finding]) -> Section:
    """Where the frameworks' own parts depart from the contract."""
    rows = [(f.part, f.what, f.seen, f.status) for f in findings]
    return Section("Where the frameworks' own parts depart", ("part", "departure", "seen", "status"), rows)


def self_test_table(noticed: dict[str, list[str]]) -> Section:
    """Which checks notice each mutant.

    Args:
        noticed: checks by the name of the mutant.
    """
    from ..impls.mutants import MUTANTS

    rows = [(mutant.name, mutant.fault, ", ".join(noticed[mutant.name]) or "NONE") for mutant in MUTANTS]
    killed = sum(bool(checks) for checks in noticed.values())
    alone = {checks[0] for checks in noticed.values() if len(checks) == 1}
    others = [check for check in CHECKS if check.name not in alone]
    return Section(
        "Mutants",
        ("mutant", "fault", "noticed by"),
        rows,
        (
            f"{killed} of {len(rows)} noticed.",
            *(["Checks that notice none of these alone, and why they stay:"] if others else []),
            *(f"{check.name}: {STAYS.get(check.name, 'NO REASON GIVEN')}" for check in others),
        ),
    )


def timing_tables(results: Results) -> list[Section]:
    """The summary of each framework's best call style, then every arm of every group."""
    groups = results.groups()
    sections = [_summary(groups)] if groups else [Section("No group was measured", ("workload",), [])]
    sections += [_group_section(group, benchmarks) for group, benchmarks in groups.items()]
    if results.untimed:
        rows = [(arm.id, arm.reason) for arm in results.untimed]
        sections.append(Section("Without a number", ("arm", "reason"), rows))
    return sections


def terminal(sections: Iterable[Section]) -> RenderableType:
    """For a terminal of 100 columns."""
    parts: list[RenderableType] = []
    for section in sections:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for column, left in zip(section.columns, _left_aligned(section), strict=True):
            table.add_column(Text(column), justify="left" if left else "right", no_wrap=column not in _FOLDED)
        for row in section.rows:
            table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
        parts += [
            Text(section.title, style="bold"),
            table,
            *(Text(note, style=_style(note)) for note in section.notes),
            Text(),
        ]
    return Group(*parts)


def markdown(title: str, sections: Iterable[Section], results: Results | None) -> str:
    """For report.md."""
    lines = [f"# {title}", ""]
    for line in provenance_lines(results) if results else ():
        lines += [line, ""]
    for section in sections:
        lines += [f"## {section.title}", "", _markdown_row(section.columns)]
        lines += [_markdown_row("---" if left else "---:" for left in _left_aligned(section))]
        lines += [_markdown_row(row) for row in section.rows]
        lines += [""] + [f"- {note}" for note in section.notes] + ([""] if section.notes else [])
    return "\n".join(lines)


_FOLDED = ("noticed by", "reason", "why", "departure", "seen")


def provenance_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, and what to beware of."""
    facts = results.trigru
    lines = [
        f"{results.datetime[:10]}, {facts.device} ({facts.backend}, {facts.cores} cores): {' '.join(facts.command)}",
        ", ".join(f"{name} {version}" for name, version in facts.versions.items()) + ".",
    ]
    if not facts.complete:
        lines.insert(0, "INTERRUPTED: not every group was measured.")
    if facts.load_before is not None and facts.load_before > facts.cores * BUSY_SHARE:
        lines.append(
            f"The machine was busy: {facts.load_before:.1f} runnable processes on {facts.cores} cores before the run. "
            "Measure again on an idle one."
        )
    return lines


def _left_aligned(section: Section) -> list[bool]:
    words = ("arm", "fault", "noticed by", "verdict", "why", "reason", "departure", "seen", "status")
    return [number == 0 or column in words for number, column in enumerate(section.columns)]


def _equality_cell(measurements: list[Measurement]) -> str:
    if not measurements:
        return "not asked"
    if any(not m.passed and m.offered for m in measurements):
        return "FAILED"
    if any(not m.passed for m in measurements):
        return "not offered"
    same = [m.error for m in measurements if m.dtype == "float64"]
    share = [m.error / m.bound for m in measurements if m.dtype != "float64" and m.bound]
    if all(m.bound == 0 for m in measurements):
        return "bit for bit"
    parts = ([f"{max(same):.0e}"] if same else []) + ([f"{max(share):.0%}"] if share else [])
    return " · ".join(parts)


def _summary(groups: dict[str, list[Benchmark]]) -> Section:
    rows = []
    for group, benchmarks in groups.items():
        baseline = next(b for b in benchmarks if b.facts.is_baseline)
        for port in dict.fromkeys(b.facts.port for b in benchmarks):
            if port == baseline.facts.port:
                continue
            best = min((b for b in benchmarks if b.facts.port == port), key=lambda b: b.facts.ratio)
            why = ""
            if best.facts.ratio > EXPLAINED_ABOVE:
                difference_s = (best.facts.ratio - 1) * float(np.median(baseline.time_s))
                why = explain(_program(best), _program(baseline), difference_s)
            rows.append((_short(group), best.name, _interval(best), _verdict(best), why))
    return Section(
        "Each framework in its best call style, against plain JAX",
        ("workload", "arm", "time / pure[jit]", "verdict", "why"),
        rows,
        (
            "Below 1 is faster. A verdict needs an interval without 1 and an effect above the noise floor; "
            '"indistinguishable" does not mean equal.',
            f"Why: above {EXPLAINED_ABOVE:.2f}, how the program that is handed to XLA differs from pure[jit]'s. "
            "Dots are its matrix products, leaves the arrays that cross the jit boundary for model and optimiser.",
        ),
    )


def _group_section(group: str, benchmarks: list[Benchmark]) -> Section:
    facts = benchmarks[0].facts
    rows = []
    for b in benchmarks:
        time_s = float(np.median(b.time_s))
        rows.append(
            (
                b.name,
                format_time(time_s),
                format_rate(facts.steps / time_s),
                "1 (baseline)" if b.facts.is_baseline else _interval(b),
                _verdict(b),
                str(b.facts.leaves),
                str(b.facts.dots),
            )
        )
    return Section(
        f"{_short(group)}: {facts.shape}, {facts.dtype}, kernel {facts.kernel}",
        ("arm", "time a call", "steps/s", "time / pure[jit]", "verdict", "leaves", "dots"),
        rows,
        (
            f"{len(benchmarks[0].time_s)} paired rounds of {facts.steps} steps a call. Times are medians; the ratio "
            "is the median of the ratios within rounds, so it need not be the quotient of the times.",
            f"Noise floor ±{facts.floor:.1%}, from pure[jit]#2, the same code compiled again."
            + (" Noisy: smaller differences cannot be seen here." if facts.floor > NOISY_FLOOR else ""),
        ),
    )


def _interval(b: Benchmark) -> str:
    digits = 3 if b.facts.ratio < 10 else 1
    return f"{b.facts.ratio:.{digits}f} [{b.facts.ratio_low:.{digits}f}, {b.facts.ratio_high:.{digits}f}]"


def _verdict(b: Benchmark) -> str:
    if b.facts.is_baseline:
        return "-"
    return "A/A" if b.facts.copy > 1 else b.facts.verdict


def _program(b: Benchmark) -> ProgramFacts:
    return ProgramFacts(b.facts.leaves, b.facts.dots, b.facts.transposes)


def _short(group: str) -> str:
    workload, phase, *_ = group.split("/")
    return f"{workload} {phase}"


def format_time(time_s: float) -> str:
    """Seconds in the unit that reads best.

    >>> format_time(12.3e-6), format_time(0.0123), format_time(1.23)
    ('12.3 µs', '12.3 ms', '1.23 s')
    """
    for unit, scale in (("µs", 1e-6), ("ms", 1e-3)):
        if time_s < 1000 * scale:
            return f"{time_s / scale:.3g} {unit}"
    return f"{time_s:.3g} s"


def format_rate(per_s: float) -> str:
    """A rate with a metric prefix.

    >>> format_rate(1234567)
    '1.23 M'
    """
    for prefix, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if per_s >= scale:
            return f"{per_s / scale:.3g} {prefix}"
    return f"{per_s:.3g}"


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _style(text: str) -> str:
    colours = {"FAILED": "red", "GONE": "red", "NEW": "red", "slower": "yellow", "faster": "green"}
    return next((colour for word, colour in colours.items() if text.startswith(word)), "")
