"""Tables across groups: what a kernel gains over each framework's own cell, several devices over one, and the overhead
of a framework by size.

Speedups are the other's time over the arm's own: above 1, the arm is faster.
"""

import numpy as np

from ...common.port.programs import ProgramFacts
from ..analysis.pairs import NEGLIGIBLE, Overhead, negligible_from, overheads
from ..analysis.speedups import Speedup, means_of, scalings, speedups
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .numbers import format_bytes, format_interval, format_ratio, format_time
from .provenance import short_group
from .sections import Prose, Section, Words

_MEANS = "Means are geometric, and of these workloads alone; their effect has to exceed the mean of the noise floors."
_LEFT_OUT = "They leave out what one process alone measured, since this run was interrupted."
_SCALING = (
    "The same batch, spread over the devices. The speedup is the time of the same arm on one device over its own, "
    "paired within rounds, ± the farther end of its 95 % interval; in brackets where it is indistinguishable from 1. "
    "Efficiency is the speedup over the number of devices. Where devices are parts of one CPU, the one device has all "
    "of its cores to itself, too: then they show what devices exchange, and not how accelerators scale."
)


def speedup_tables(results: Results) -> list[Section]:
    """For each group on several devices a table; for every kernel but the stock one, two."""
    scaled = grouped(scalings(results), lambda s: s.benchmark.group).values()
    own, peers = (grouped(speedups(results, peers=p), lambda s: s.benchmark.arm.kernel) for p in (False, True))
    tables = [_scaling(of_group) for of_group in scaled]
    for kernel, found in own.items():
        tables.append(_against_stock(results, kernel, found))
        tables += [_against_peers(results, kernel, peers[kernel])] if kernel in peers else []
    return tables


def _labelled(results: Results, found: list[Speedup]) -> tuple[list[tuple[str, Speedup]], list[str]]:
    """Means and then each group, with what stands in the column of workloads; and what is said of means."""
    means = [(f"mean of {s.groups}", s) for s in means_of(found)]
    notes = [_MEANS + f" {_LEFT_OUT}" * (not results.trigru.complete)] if means else []
    return [*means, *((str(s.benchmark.arm.workload), s) for s in found)], notes


def _against_stock(results: Results, kernel: str, found: list[Speedup]) -> Section:
    labelled, notes = _labelled(results, found)
    rows = [
        (
            workload,
            s.benchmark.arm.phase,
            s.arm,
            *(_median(b) if s.groups == 1 else "-" for b in (s.other, s.benchmark)),
            format_interval(s.ratio, 2 if s.ratio.high < 10 else 1),
            s.verdict,
            "-" if s.temp_share is None or s.groups > 1 else f"{s.temp_share:.2f}",
        )
        for workload, s in labelled
    ]
    return Section(
        f"The {kernel} kernel against each framework's own cell",
        ("workload", Words("phase"), Prose("arm"), "stock", kernel, "speedup", Words("verdict"), "memory"),
        rows,
        (
            f"Speedup: time of the framework's own cell over that of the {kernel} kernel in the same call style: above "
            "1, the kernel is faster. Paired within rounds, with 95 % intervals, so it need not equal the quotient of "
            "the medians per call. The verdict is on the kernel; the effect has to exceed the noise floor. Memory: "
            "the kernel's temporary memory over that of the own cell, by XLA's analysis.",
            *notes,
        ),
    )


def _against_peers(results: Results, kernel: str, found: list[Speedup]) -> Section:
    labelled, notes = _labelled(results, found)
    ports = {s.arm: s.benchmark.arm.port for s in found}
    heads = {arm: port if [*ports.values()].count(port) == 1 else arm for arm, port in ports.items()}
    rows = []
    for key, of_row in grouped(labelled, lambda row: (row[0], row[1].benchmark.arm.phase, _peer(row[1].other))).items():
        cells = {s.arm: format_ratio(s.ratio, s.verdict) for _, s in of_row}
        rows.append((*key, *(cells.get(arm, "-") for arm in heads)))
    differing = {_peer(s.other): s.other.facts.differs for s in found if s.other.facts.differs}
    return Section(
        f"The {kernel} kernel against peers",
        ("workload", Words("phase"), Words("peer"), *heads.values()),
        rows,
        (
            f"Time of the peer over that of the {kernel} kernel in each port: above 1, the kernel is faster. ±: the "
            "farther end of the 95 % interval, as a share of the ratio. In brackets: indistinguishable. -: one of the "
            "two has no number.",
            *notes,
            *(
                f"{name}: other equations ({how}), so it is not compared with the oracle."
                for name, how in differing.items()
            ),
        ),
    )


def _peer(b: Benchmark) -> str:
    return b.name + "*" * bool(b.facts.differs)


def _scaling(found: list[Speedup]) -> Section:
    rows = [
        (
            s.other.name,
            f"{s.benchmark.arm.devices}, {s.benchmark.arm.way}",
            _median(s.benchmark),
            format_ratio(s.ratio, s.verdict),
            f"{s.ratio.ratio / s.benchmark.arm.devices:.0%}",
            _exchanged(s.benchmark.facts.program),
        )
        for s in found
    ]
    columns = (Prose("arm"), Words("devices"), "a call", "speedup", "efficiency", Words("exchanged in a call"))
    return Section(f"{short_group(found[0].benchmark.arm)}: strong scaling", columns, rows, (_SCALING,))


def _exchanged(program: ProgramFacts | None) -> str:
    """What each device exchanges in a call: bytes in all, those of a loop apart."""
    if program is None:
        return "not known"
    parts = []
    for in_loop, alike in grouped(program.collectives, lambda collective: collective.in_loop).items():
        where = " in a loop" if in_loop else ""
        sizes = [collective.nbytes * (collective.runs or 1) for collective in alike]
        known = all(collective.runs is not None for collective in alike)
        parts.append(f"{format_bytes(sum(sizes))}{where}" if known else f"unknown{where}")
    return ", ".join(parts) or "nothing"


def _median(b: Benchmark) -> str:
    return format_time(float(np.median(b.time_s)))


def overhead_tables(results: Results) -> list[Section]:
    """Overhead against the swept size; no table where none is swept."""
    found = overheads(results)
    sizes = sorted({overhead.size for overhead in found if overhead.size is not None})
    if len(sizes) < 2:
        return []
    rows = []
    for phase in dict.fromkeys(o.benchmark.arm.phase for o in found):
        for arm in dict.fromkeys(o.benchmark.name for o in found):
            mine = {o.size: o for o in found if (o.benchmark.name, o.benchmark.arm.phase) == (arm, phase)}
            cells = [_share(mine[size]) if size in mine else "-" for size in sizes]
            size, is_sure = negligible_from(list(mine.values()))
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
    return [table]


def _share(overhead: Overhead) -> str:
    return f"{overhead.share:+.1%}" + ("" if overhead.over.same_program else "*")
