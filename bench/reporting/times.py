"""Tables of a run: times, programs, speedups, and overhead by size.

Speedups are the other's time over the arm's own: above 1, the arm is faster.
"""

from statistics import median

from msgspec.structs import astuple

from ...common.gru.kernels import STOCK
from ...common.port.hlo import Collective
from ..analysis import pairs
from ..analysis.answer import COMPARED, NOISY_FLOOR, Answer, remarks
from ..analysis.benchmarks import Benchmark, Results
from ..analysis.merge import baseline_of, judged_by_other_clock
from ..results.arm import OTHER_CLOCK
from ..results.grouping import grouped
from .console import Prose, Section, Words
from .equality import equality_tables
from .naming import CALLED, name_of, short_group
from .numbers import (
    format_bytes,
    format_interval,
    format_ratio,
    format_time,
)

WHAT_OTHER_IS = {
    "blocked": (
        "Blocked: each call is waited for. Pipelined: none is before the next is "
        "started, as a training loop does."
    ),
    "pipelined": (
        "Pipelined: no call is waited for before the next is started, as a training "
        "loop does. Blocked: each is, which is latency."
    ),
}
CAUSES = {
    "none": "no difference",
    "unread": "a program that could not be read",
    "boundary": "crossing the jit boundary with the same program",
    "style": "called in another way",
    "program": "another program",
    "unexplained": "the same program, unexplained",
}
_OF_PAIRS = (
    "Time of the first framework / that of the second, with its 95 % interval. Below "
    "1, the first is faster. In brackets: indistinguishable."
)
_OF_PROGRAMS = (
    "Times are of the first process, measured once; first is the whole first call. "
    "Counts are of the optimised program, with a loop's body counted once. Equal "
    "prints are the same program, whatever the order of its arguments. -: not known "
    "from XLA."
)
_OF_SPEEDUPS = (
    "Above 1, the arm is faster. Speedups are paired within rounds, with 95 % "
    "intervals. They may differ a little from the quotient of two times, each of "
    "which is plain JAX's times a ratio."
)
_OF_DEVICES = (
    "The same batch is spread over the devices. Where these are parts of one CPU, the "
    "one device has all of its cores to itself, too: then they show what devices "
    "exchange, and not how accelerators scale."
)
_OF_MEMORY = (
    "Memory: the kernel's temporary memory over that of the own cell, by XLA's "
    "analysis."
)


def all_tables(answer: Answer) -> list[Section]:
    """What was checked, then all tables of times."""
    run = answer.run
    return [
        *equality_tables(run.trigru.begun.equality or []),
        *pair_tables(answer),
        *overhead_tables(run),
        *speedup_tables(run),
        *arm_tables(run),
    ]


def pair_tables(answer: Answer) -> list[Section]:
    """Each two frameworks, a column for each call style; no table without any."""
    rows = []
    for row in answer.rows:
        by_pair: dict[tuple[str, str], dict[str, str]] = {}
        for label, ranking in row.rankings.items():
            for pair, d in ranking.pairs.items():
                by_pair.setdefault(pair, {})[label] = _pair_cell(d)
        for (port, other), cells in by_pair.items():
            rows.append(
                (
                    str(row.workload),
                    row.phase,
                    row.clock,
                    f"{name_of(port)} / {name_of(other)}",
                    *(cells.get(label, "-") for label in COMPARED),
                )
            )
    if not rows:
        return []
    columns = (
        Prose("workload"),
        Words("phase"),
        Words("clock"),
        Words("frameworks"),
        *(CALLED[label] for label in COMPARED),
    )
    return [Section("Frameworks against each other", columns, rows, (_OF_PAIRS,))]


def _pair_cell(d: pairs.Difference) -> str:
    text = format_interval(d.comparison)
    return text if d.is_real else f"({text})"


def arm_tables(results: Results) -> list[Section]:
    """Every arm of every group, and the arms without a number."""
    sections = []
    for group in results.groups().values():
        # those on several devices have tables of their own
        benchmarks = [b for b in group if not b.arm.way]
        if benchmarks:
            sections.append(_arm_table(benchmarks))
            sections.append(_program_table(benchmarks))
    if results.untimed:
        rows = [(untimed.arm.id, untimed.reason) for untimed in results.untimed]
        columns = (Prose("arm"), Prose("reason"))
        sections.append(Section("Without a number", columns, rows))
    return sections


def _arm_table(benchmarks: list[Benchmark]) -> Section:
    """The times of a group of arms by both clocks, and their ratios to the baseline."""
    first = benchmarks[0]
    arm = first.arm
    by_other_clock = judged_by_other_clock(benchmarks)
    rows = []
    for b in benchmarks:
        rows.append(_arm_row(b, by_other_clock.get(b.arm.id)))
    kernels = STOCK
    if arm.division != STOCK:
        kernels = f"{arm.division} against {STOCK}"
    clock = first.clock
    columns = (
        Prose("arm"),
        clock,
        OTHER_CLOCK[clock],
        "/ pure[jit]",
        "time / pure[jit]",
        Words("verdict"),
    )
    title = f"{short_group(arm)}: {first.shape}, {arm.arithmetic}, kernel {kernels}"
    return Section(title, columns, rows, tuple(_arm_notes(benchmarks)))


def _arm_row(b: Benchmark, by_other_clock: Benchmark | None) -> tuple[str, ...]:
    other_time = "-"
    if b.other_s:
        other_time = format_time(median(b.other_s))
    other_ratio = "-"
    if by_other_clock is not None:
        other_time = format_time(by_other_clock.call_s)
        other_ratio = format_ratio(by_other_clock.comparison, by_other_clock.verdict)
    ratio = format_interval(b.comparison)
    verdict = b.verdict
    if b.arm.is_baseline:
        other_ratio, ratio, verdict = "1", "1 (baseline)", "-"
    elif b.arm.role == "duplicate":
        verdict = "A/A"
    time = format_time(b.call_s)
    return b.name, time, other_time, other_ratio, ratio, verdict


def _arm_notes(benchmarks: list[Benchmark]) -> list[str]:
    first = benchmarks[0]
    clock = first.clock
    rounds = f"{len(first.process)} paired rounds"
    if len(first.processes) > 1:
        rounds = f"{rounds} in {len(first.processes)} processes"
    floor = (
        f"Noise floor ±{first.floor:.1%}, from pure[jit]#2, the same code compiled "
        "again."
    )
    if first.floor > NOISY_FLOOR:
        floor = f"{floor} Noisy: smaller differences cannot be seen here."
    notes = [
        f"{rounds}, {first.steps} steps a call. Ratios are medians within rounds; the "
        f"last is of {clock} times. A time is plain JAX's, times the ratio.",
        floor,
        WHAT_OTHER_IS[clock],
    ]
    if any(not b.other_s for b in benchmarks):
        notes.append("-: not measured.")
    baseline = baseline_of(benchmarks)
    for b in benchmarks:
        for remark in remarks(b, baseline):
            notes.append(f"{b.name}: {remark}.")
    for b in benchmarks:
        if b.verdict != "indistinguishable":
            notes.append(_explanation(b, benchmarks))
    return notes


def _explanation(b: Benchmark, benchmarks: list[Benchmark]) -> str:
    """What causes the difference of an arm from its framework's functional style."""
    d = pairs.difference(benchmarks, b, pairs.reference_of(b, benchmarks))
    middle = _microseconds(d.difference_s)
    low = _microseconds(d.difference_low_s)
    high = _microseconds(d.difference_high_s)
    more = f"{middle} [{low}, {high}] µs a call over {d.other}"
    return f"{b.name}: {cause_text(d)}: {more}."


def cause_text(d: pairs.Difference) -> str:
    """The cause of a difference, with the operations that one program has more."""
    cause = CAUSES[d.cause]
    if d.cause not in ("style", "program") or d.same_program:
        return cause
    counts = [f"{mine} {name}, not {its}" for name, mine, its in d.counts]
    if counts:
        return f"{cause}, of {', '.join(counts)}"
    return f"{cause}, with as many products, loops, transposes and fusions"


def _microseconds(seconds: float) -> str:
    return f"{1e6 * seconds:+.1f}"


def _program_table(benchmarks: list[Benchmark]) -> Section:
    columns = (
        Prose("arm"),
        "trace",
        "lower",
        "compile",
        "first",
        "leaves",
        "dots",
        "while",
        "fusion",
        "transp",
        "temp",
        "print",
    )
    title = f"{short_group(benchmarks[0].arm)}: programs"
    rows = [_program_row(b) for b in benchmarks]
    return Section(title, columns, rows, (_OF_PROGRAMS,), detail=True)


def _program_row(b: Benchmark) -> tuple[str, ...]:
    times = ["-"] * 4
    if b.facts.build:
        times = [format_time(time_s) for time_s in astuple(b.facts.build)]
    counts = ["-"] * 6
    program = b.facts.program
    if program:
        counts = [
            str(program.dots),
            str(program.whiles),
            str(program.fusions),
            str(program.transposes),
            format_bytes(program.temp_bytes),
            program.fingerprint[:5],
        ]
    return b.name, *times, str(b.facts.leaves), *counts


def speedup_tables(results: Results) -> list[Section]:
    """What several devices gain over one, and each kernel over the frameworks' cells.

    A table for each kernel.
    """
    tables = []
    on_devices = grouped(pairs.speedups(results, "one device"), _kernel_of)
    for kernel, speedups in on_devices.items():
        title = f"Several devices, kernel {kernel}"
        rows = [_speedup_row(speedup, _exchanged(speedup)) for speedup in speedups]
        tables.append(_speedup_table(title, rows, Prose("exchanged"), note=_OF_DEVICES))
    by_kernel = grouped(pairs.speedups(results, "stock"), _kernel_of)
    for kernel, speedups in by_kernel.items():
        title = f"The {kernel} kernel against each framework's own cell"
        rows = [_speedup_row(speedup, _memory(speedup)) for speedup in speedups]
        tables.append(_speedup_table(title, rows, "memory", note=_OF_MEMORY))
    return tables


def _kernel_of(speedup: pairs.Speedup) -> str:
    return str(speedup.benchmark.arm.kernel)


def _speedup_table(
    title: str, rows: list[tuple[str, ...]], costs: str, *, note: str
) -> Section:
    columns = (
        "workload",
        Words("phase"),
        Prose("arm"),
        Prose("over"),
        "a call",
        "speedup",
        Words("verdict"),
        costs,
    )
    return Section(title, columns, rows, (f"{_OF_SPEEDUPS} {note}",))


def _speedup_row(speedup: pairs.Speedup, costs: str) -> tuple[str, ...]:
    b = speedup.benchmark
    digits = 2 if speedup.ratio.high < 10 else 1
    return (
        str(b.arm.workload),
        b.arm.phase,
        speedup.arm,
        speedup.other.name,
        format_time(b.call_s),
        format_interval(speedup.ratio, digits),
        speedup.verdict,
        costs,
    )


def _memory(speedup: pairs.Speedup) -> str:
    if speedup.temp_share is None:
        return "-"
    return f"{speedup.temp_share:.2f}"


def _exchanged(speedup: pairs.Speedup) -> str:
    """What each device exchanges in a call: bytes in all, those of a loop apart."""
    program = speedup.benchmark.facts.program
    if program is None:
        return "not known"
    parts = []
    by_place = grouped(program.collectives, lambda collective: collective.in_loop)
    for in_loop, collectives in by_place.items():
        size = _exchanged_size(collectives)
        parts.append(f"{size} in a loop" if in_loop else size)
    return ", ".join(parts) or "nothing"


def _exchanged_size(collectives: list[Collective]) -> str:
    nbytes = 0
    for collective in collectives:
        if collective.runs is None:
            return "unknown"
        nbytes += collective.nbytes * (collective.runs or 1)
    return format_bytes(nbytes)


def overhead_tables(results: Results) -> list[Section]:
    """Overhead against the swept size; no table where none is swept."""
    overheads = pairs.by_size(results)
    if not overheads:
        return []
    measured = set()
    for by_size in overheads.values():
        measured.update(by_size)
    sizes = sorted(measured)
    groups = results.groups()
    rows = []
    for (arm, phase), by_size in overheads.items():
        row = [f"{arm} {phase}"]
        for size in sizes:
            b = by_size.get(size)
            row.append("-" if b is None else _overhead(b, baseline_of(groups[b.group])))
        row.append(_negligible_from(by_size))
        rows.append(tuple(row))
    under = f"{pairs.NEGLIGIBLE:.0%}"
    swept = results.trigru.plan.swept
    note = (
        f"Under {under}: from this size on, the upper end of the interval stays below "
        'it. "by estimate": the estimates do, but the intervals do not. *: it runs '
        "another program."
    )
    columns = (Prose("arm"), *map(str, sizes), f"under {under} from")
    title = f"Framework overhead against size: share of pure[jit]'s time, by {swept}"
    return [Section(title, columns, rows, (note,))]


def _overhead(b: Benchmark, baseline: Benchmark) -> str:
    share = f"{b.comparison.ratio - 1:+.1%}"
    return share if pairs.same_program(b, baseline) else f"{share}*"


def _negligible_from(by_size: dict[int, Benchmark]) -> str:
    size, is_sure = pairs.negligible_from(by_size)
    if size is None:
        return "beyond"
    return str(size) if is_sure else f"{size} by estimate"
