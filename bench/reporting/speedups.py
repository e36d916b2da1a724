"""Tables across groups: what a kernel gains over each framework's own cell, several devices over one, and the overhead
of a framework by size.

Speedups are the other's time over the arm's own: above 1, the arm is faster.
"""

from collections.abc import Callable

import numpy as np

from ..analysis.pairs import NEGLIGIBLE, by_size, negligible_from, same_program
from ..analysis.rates import baseline_of
from ..analysis.speedups import Over, Speedup, means_of, speedups
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .numbers import format_bytes, format_interval, format_time
from .sections import Prose, Section, Words

_NOTE = (
    "Above 1, the arm is faster. Speedups are paired within rounds, with 95 % intervals, so they need not equal the "
    "quotient of the medians per call."
)
_MEANS = "Means are geometric, and of these workloads alone; their effect has to exceed the mean of the noise floors."


def speedup_tables(results: Results) -> list[Section]:
    """What each kernel gains over the frameworks' own cells and over peers, and what several devices gain over one."""
    return [
        _table(over, kernel, found, means_of(found) if results.trigru.complete and over != "one device" else [])
        for over in _TABLES
        for kernel, found in grouped(speedups(results, over), lambda s: str(s.benchmark.arm.kernel)).items()
    ]


def _table(over: Over, kernel: str, found: list[Speedup], means: list[Speedup]) -> Section:
    title, note, last, cell = _TABLES[over]
    rows = [
        (
            str(s.benchmark.arm.workload) if s.groups == 1 else f"mean of {s.groups}",
            s.benchmark.arm.phase,
            s.arm,
            s.other.name + "*" * bool(s.other.facts.differs),
            format_time(float(np.median(s.benchmark.time_s))) if s.groups == 1 else "-",
            format_interval(s.ratio, 2 if s.ratio.high < 10 else 1),
            s.verdict,
            cell(s),
        )
        for s in (*means, *found)
    ]
    differing = {s.other.name: s.other.facts.differs for s in found if s.other.facts.differs}
    notes = [f"{_NOTE} {note}", *[_MEANS] * bool(means)]
    notes += [f"{n}*: other equations ({how}), so it is not compared with the oracle." for n, how in differing.items()]
    columns = "workload", Words("phase"), Prose("arm"), Prose("over"), "a call", "speedup", Words("verdict"), last
    return Section(title.format(kernel=kernel), columns, rows, tuple(notes))


def _memory(found: Speedup) -> str:
    return "-" if found.temp_share is None or found.groups > 1 else f"{found.temp_share:.2f}"


def _exchanged(found: Speedup) -> str:
    """What each device exchanges in a call: bytes in all, those of a loop apart."""
    program, parts = found.benchmark.facts.program, []
    if program is None:
        return "not known"
    for in_loop, alike in grouped(program.collectives, lambda collective: collective.in_loop).items():
        where = " in a loop" if in_loop else ""
        sizes = [collective.nbytes * (collective.runs or 1) for collective in alike]
        known = all(collective.runs is not None for collective in alike)
        parts.append(f"{format_bytes(sum(sizes))}{where}" if known else f"unknown{where}")
    return ", ".join(parts) or "nothing"


#: Of each table: its title, its note, and its last column with what stands in it.
_TABLES: dict[Over, tuple[str, str, str, Callable[[Speedup], str]]] = {
    "one device": (
        "Several devices, kernel {kernel}",
        "The same batch is spread over the devices. Where these are parts of one CPU, the one device has all of its "
        "cores to itself, too: then they show what devices exchange, and not how accelerators scale.",
        Prose("exchanged"),
        _exchanged,
    ),
    "stock": (
        "The {kernel} kernel against each framework's own cell",
        "Memory: the kernel's temporary memory over that of the own cell, by XLA's analysis.",
        "memory",
        _memory,
    ),
    "peers": (
        "The {kernel} kernel against peers",
        "Memory: the kernel's temporary memory over that of the peer, where both are known.",
        "memory",
        _memory,
    ),
}


def overhead_tables(results: Results) -> list[Section]:
    """Overhead against the swept size; no table where none is swept."""
    found = by_size(results)
    sizes = sorted({size for of_arm in found.values() for size in of_arm})
    rows = []
    for (arm, phase), of_arm in found.items():
        cells = [_share(results, of_arm[size]) if size in of_arm else "-" for size in sizes]
        size, is_sure = negligible_from(of_arm)
        rows.append(
            (f"{arm} {phase}", *cells, "beyond" if size is None else f"{size}" + " by estimate" * (not is_sure))
        )
    table = Section(
        f"Framework overhead against size: share of pure[jit]'s time, by {results.trigru.plan.swept}",
        (Prose("arm"), *map(str, sizes), f"under {NEGLIGIBLE:.0%} from"),
        rows,
        (
            f"Under {NEGLIGIBLE:.0%}: from this size on, the upper end of the interval stays below it. "
            '"by estimate": the estimates do, but the intervals do not. *: it runs another program.',
        ),
    )
    return [table] * bool(rows)


def _share(results: Results, b: Benchmark) -> str:
    baseline = baseline_of(results.groups()[b.group])
    return f"{b.ratio - 1:+.1%}" + ("" if same_program(b, baseline) else "*")
