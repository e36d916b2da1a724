"""Tables of a run: times, programs, speedups, overhead by size.

Speedups are the other's time over the arm's own: above 1, the arm is faster.
"""

import numpy as np
from msgspec.structs import astuple

from ...common.gru.kernels import STOCK
from ..analysis import pairs
from ..analysis.answer import NOISY_FLOOR, remarks
from ..analysis.benchmarks import Benchmark, Results
from ..analysis.merge import baseline_of, judged_by_other_clock
from ..results.arm import OTHER_CLOCK
from ..results.grouping import grouped
from .console import Prose, Section, Words
from .exports import style_table
from .naming import short_group
from .numbers import (
    format_bytes,
    format_interval,
    format_ratio,
    format_time,
)

WHAT_OTHER_IS = {
    "blocked": "Blocked: each call is waited for. Pipelined: none is before the next is started, as a training loop "
    "does.",
    "pipelined": "Pipelined: no call is waited for before the next is started, as a training loop does. Blocked: each "
    "is, which is latency.",
}
CAUSES = {
    "none": "no difference",
    "unread": "a program that could not be read",
    "boundary": "crossing the jit boundary with the same program",
    "style": "called in another way",
    "program": "another program",
    "unexplained": "the same program, unexplained",
}


def time_tables(results: Results) -> list[Section]:
    """All tables of times."""
    across = [
        *style_table(results, "pairwise"),
        *overhead_tables(results),
        *speedup_tables(results),
    ]
    return across + timing_tables(results)


def timing_tables(results: Results) -> list[Section]:
    """Every arm of every group, and the arms without a number."""
    sections = []
    for group in results.groups().values():
        if benchmarks := [
            b for b in group if not b.arm.way
        ]:  # those on several devices have tables of their own
            sections += [_times(results, benchmarks), _programs(benchmarks)]
    rows = [(untimed.arm.id, untimed.reason) for untimed in results.untimed]
    return sections + [
        Section("Without a number", (Prose("arm"), Prose("reason")), rows)
    ] * bool(rows)


def _times(results: Results, benchmarks: list[Benchmark]) -> Section:
    first, baseline, others, rows = (
        benchmarks[0],
        baseline_of(benchmarks),
        judged_by_other_clock(benchmarks),
        [],
    )
    arm, clock, processes = first.arm, first.clock, len(first.processes)
    notes = [
        f"{len(first.process)} paired rounds{f' in {processes} processes' * (processes > 1)}, {first.steps} steps a "
        "call. Times are medians per call. Ratios are medians within rounds, and need not equal their quotients; the "
        f"last is of {clock} times.",
        f"Noise floor ±{first.floor:.1%}, from pure[jit]#2, the same code compiled again."
        + " Noisy: smaller differences cannot be seen here."
        * (first.floor > NOISY_FLOOR),
        WHAT_OTHER_IS[clock],
        *["-: not measured."] * any(not b.other_s for b in benchmarks),
        *(
            f"{b.name}: {remark}."
            for b in benchmarks
            for remark in remarks(b, baseline)
        ),
    ]
    for b in benchmarks:
        other = others.get(b.arm.id)
        other_time = format_time(float(np.median(b.other_s))) if b.other_s else "-"
        ratios = (
            "-" if other is None else format_ratio(other.comparison, other.verdict),
            format_interval(b.comparison),
        )
        ratio_by_other, ratio = ("1", "1 (baseline)") if b.arm.is_baseline else ratios
        word = {"baseline": "-", "duplicate": "A/A"}.get(b.arm.role, b.verdict)
        rows.append(
            (
                b.name,
                format_time(b.median_s),
                other_time,
                ratio_by_other,
                ratio,
                word,
            )
        )
        if b.verdict != "indistinguishable":
            d = pairs.difference(benchmarks, b, pairs.reference_of(b, benchmarks))
            counts = ", ".join(
                f"{mine} {name}, not {its}" for name, mine, its in d.counts
            )
            differs = (
                f", of {counts}"
                if counts
                else ", with as many products, loops, transposes and fusions"
            )
            cause = CAUSES[d.cause] + differs * (
                d.cause in ("style", "program") and not d.same_program
            )
            by, low, high = (
                1e6 * s
                for s in (d.difference_s, d.difference_low_s, d.difference_high_s)
            )
            notes.append(
                f"{b.name}: {cause}: {by:+.1f} [{low:+.1f}, {high:+.1f}] µs a call over {d.other}."
            )
    kernels = STOCK if arm.division == STOCK else f"{arm.division} against {STOCK}"
    title = f"{short_group(arm)}: {first.shape}, {arm.arithmetic}, kernel {kernels}"
    clocks = (clock, OTHER_CLOCK[clock])
    columns = (
        Prose("arm"),
        *clocks,
        "/ pure[jit]",
        "time / pure[jit]",
        Words("verdict"),
    )
    return Section(title, columns, rows, tuple(notes))


def _programs(benchmarks: list[Benchmark]) -> Section:
    rows = []
    for b in benchmarks:
        build, program = b.facts.build, b.facts.program
        times = map(format_time, astuple(build)) if build else 4 * ["-"]
        counts = (
            (program.dots, program.whiles, program.fusions, program.transposes)
            if program
            else 4 * ["-"]
        )
        temp, fingerprint = (
            (format_bytes(program.temp_bytes), program.fingerprint[:5])
            if program
            else ("-", "-")
        )
        rows.append(
            (b.name, *times, str(b.facts.leaves), *map(str, counts), temp, fingerprint)
        )
    counted = ("leaves", "dots", "while", "fusion", "transp", "temp", "print")
    return Section(
        f"{short_group(benchmarks[0].arm)}: programs",
        (Prose("arm"), "trace", "lower", "compile", "first", *counted),
        rows,
        (
            "Times are of the first process, measured once; first is the whole first call. Counts are of the optimised "
            "program, with a loop's body counted once. Equal prints are the same program, whatever the order of its "
            "arguments. -: not known from XLA.",
        ),
        detail=True,
    )


def speedup_tables(results: Results) -> list[Section]:
    """What each kernel gains over the frameworks' own cells, and what several devices gain over one."""
    tables = []
    for over, (title, note) in _SPEEDUPS.items():
        last = Prose("exchanged") if over == "one device" else "memory"
        columns = (
            "workload",
            Words("phase"),
            Prose("arm"),
            Prose("over"),
            "a call",
            "speedup",
            Words("verdict"),
            last,
        )
        notes = (
            "Above 1, the arm is faster. Speedups are paired within rounds, with 95 % intervals, so they need not "
            f"equal the quotient of the medians per call. {note}",
        )
        speedups = pairs.speedups(results, over)
        for kernel, found in grouped(
            speedups, lambda s: str(s.benchmark.arm.kernel)
        ).items():
            rows = []
            for s in found:
                b, memory = (
                    s.benchmark,
                    "-" if s.temp_share is None else f"{s.temp_share:.2f}",
                )
                times = (
                    format_time(b.median_s),
                    format_interval(s.ratio, 2 if s.ratio.high < 10 else 1),
                    s.verdict,
                )
                costs = _exchanged(s) if over == "one device" else memory
                rows.append(
                    (
                        str(b.arm.workload),
                        b.arm.phase,
                        s.arm,
                        s.other.name,
                        *times,
                        costs,
                    )
                )
            tables.append(Section(title.format(kernel=kernel), columns, rows, notes))
    return tables


def _exchanged(found: pairs.Speedup) -> str:
    """What each device exchanges in a call: bytes in all, those of a loop apart."""
    program, parts = found.benchmark.facts.program, []
    if program is None:
        return "not known"
    for in_loop, alike in grouped(
        program.collectives, lambda collective: collective.in_loop
    ).items():
        size = format_bytes(
            sum(collective.nbytes * (collective.runs or 1) for collective in alike)
        )
        is_known = all(collective.runs is not None for collective in alike)
        parts.append((size if is_known else "unknown") + " in a loop" * in_loop)
    return ", ".join(parts) or "nothing"


_OF_MEMORY = "Memory: the kernel's temporary memory over that of "
#: Of each table: its title and its note.
_SPEEDUPS: dict[pairs.Over, tuple[str, str]] = {
    "one device": (
        "Several devices, kernel {kernel}",
        "The same batch is spread over the devices. Where these are parts of one CPU, the one device has all of its "
        "cores to itself, too: then they show what devices exchange, and not how accelerators scale.",
    ),
    "stock": (
        "The {kernel} kernel against each framework's own cell",
        f"{_OF_MEMORY}the own cell, by XLA's analysis.",
    ),
}


def overhead_tables(results: Results) -> list[Section]:
    """Overhead against the swept size; no table where none is swept."""
    found, groups, rows = pairs.by_size(results), results.groups(), []
    sizes = sorted({size for of_arm in found.values() for size in of_arm})
    for (arm, phase), of_arm in found.items():
        size, is_sure = pairs.negligible_from(of_arm)
        shares = {
            at: f"{b.comparison.ratio - 1:+.1%}"
            + "*" * (not pairs.same_program(b, baseline_of(groups[b.group])))
            for at, b in of_arm.items()
        }
        least = "beyond" if size is None else f"{size}" + " by estimate" * (not is_sure)
        rows.append((f"{arm} {phase}", *(shares.get(at, "-") for at in sizes), least))
    under = f"{pairs.NEGLIGIBLE:.0%}"
    table = Section(
        f"Framework overhead against size: share of pure[jit]'s time, by {results.trigru.plan.swept}",
        (Prose("arm"), *map(str, sizes), f"under {under} from"),
        rows,
        (
            f"Under {under}: from this size on, the upper end of the interval stays below it. "
            '"by estimate": the estimates do, but the intervals do not. *: it runs another program.',
        ),
    )
    return [table] * bool(rows)
