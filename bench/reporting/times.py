"""Tables of times, of programs, and of arms without a number."""

from collections.abc import Iterable

import numpy as np

from ...common.gru.kernels import STOCK
from ..analysis.answer import NOISY_FLOOR
from ..analysis.pairs import Difference, difference, other_clock, reference_of
from ..analysis.rates import baseline_of, limit_of
from ..analysis.statistics import Comparison
from ..analysis.tidy import remarks
from ..results.record import Benchmark, Results
from .numbers import format_bytes, format_interval, format_rate, format_ratio, format_throughput, format_time
from .provenance import short_group
from .sections import Prose, Section, Words

OTHER = {"blocked": "pipelined", "pipelined": "blocked"}
WHAT_OTHER_IS = {
    "blocked": "Blocked: each call is waited for. Pipelined: none is before the next is started, as a training loop "
    "does.",
    "pipelined": "Pipelined: no call is waited for before the next is started, as a training loop does. Blocked: each "
    "is, which is latency.",
}
MEASURE = "time / pure[jit]"
CAUSES = {
    "none": "no difference",
    "equations": "other equations",
    "unread": "a program that could not be read",
    "boundary": "crossing the jit boundary with the same program",
    "style": "called in another way",
    "program": "another program",
    "unexplained": "the same program, unexplained",
}
LIMITS = {"gemm": "that of matrix products", "copy": "its memory's"}


def timing_tables(results: Results) -> list[Section]:
    """Every arm of every group, and the arms without a number."""
    sections = []
    for group in results.groups().values():
        benchmarks = [b for b in group if not b.arm.way]  # those have tables of their own
        sections += [_times(results, benchmarks), _programs(benchmarks)] if benchmarks else []
    if results.untimed:
        rows = [(untimed.arm.id, untimed.reason) for untimed in results.untimed]
        sections.append(Section("Without a number", (Prose("arm"), Prose("reason")), rows))
    return sections


def explain(found: Difference) -> str:
    """Why an arm takes longer or shorter than another, and by how much.

    >>> explain(Difference("a[x]", "a[y]", 1.1, 1.1, 1.1, 3e-6, 2e-6, 4e-6, "slower", True, "boundary", ()))
    'crossing the jit boundary with the same program: +3.0 [+2.0, +4.0] µs a call over a[y]'
    >>> dots = (("dots", 6, 2),)
    >>> explain(Difference("a[x]", "b[x]", 1.1, 1.1, 1.1, 3e-4, 2e-4, 4e-4, "slower", False, "program", dots))
    'another program, of 6 dots, not 2: +300.0 [+200.0, +400.0] µs a call over b[x]'
    """
    bounds = (f"{1e6 * s:+.1f}" for s in (found.difference_s, found.difference_low_s, found.difference_high_s))
    counts = ", ".join(f"{mine} {name}, not {its}" for name, mine, its in found.counts)
    differs = f", of {counts}" if counts else ", with as many products, loops, transposes and fusions"
    return "{}{}: {} [{}, {}] µs a call over {}".format(
        CAUSES[found.cause],
        "" if found.same_program or found.cause not in ("style", "program") else differs,
        *bounds,
        found.other,
    )


def _times(results: Results, benchmarks: list[Benchmark]) -> Section:
    first = benchmarks[0]
    clock = first.facts.clock
    limits, others = [limit_of(results, b) for b in benchmarks], [other_clock(results, b) for b in benchmarks]
    times_s = [float(np.median(b.time_s)) for b in benchmarks]
    rows = [
        (
            b.name,
            format_time(time_s),
            format_time(float(np.median(b.other_s))) if b.other_s else "-",
            "1" if b.arm.is_baseline else "-" if other is None else format_ratio(other.ratio, other.verdict),
            format_rate(b.steps / time_s),
            format_throughput(b.flops / time_s, share),
            "1 (baseline)" if b.arm.is_baseline else _interval(b),
            _verdict(b),
        )
        for b, time_s, (_, share), other in zip(benchmarks, times_s, limits, others, strict=True)
    ]
    arm, processes = first.arm, len(set(first.process))
    in_processes = f" in {processes} processes" if processes > 1 else ""
    kernels = STOCK if arm.division == STOCK else f"{arm.division} against {STOCK}"
    return Section(
        f"{short_group(arm)}: {first.shape}, {arm.arithmetic}, kernel {kernels}",
        (Prose("arm"), clock, OTHER[clock], *("/ pure[jit]", "steps/s", "GFLOP/s, %"), MEASURE, Words("verdict")),
        rows,
        (
            f"{len(first.process)} paired rounds{in_processes}, {first.steps} steps a call. Times are medians "
            "per call. Ratios are medians within rounds, and need not equal their quotients; the last is of "
            f"{clock} times.",
            f"Noise floor ±{first.floor:.1%}, from pure[jit]#2, the same code compiled again."
            + (" Noisy: smaller differences cannot be seen here." if first.floor > NOISY_FLOOR else ""),
            f"%: of the machine's nearer limit, here {LIMITS[limits[0][0]]}.",
            *_notes(results, benchmarks),
        ),
    )


def _notes(results: Results, benchmarks: list[Benchmark]) -> Iterable[str]:
    yield WHAT_OTHER_IS[benchmarks[0].facts.clock]
    if any(not b.other_s for b in benchmarks):
        yield "-: not measured."
    baseline = baseline_of(benchmarks)
    yield from (f"{b.name}: {remark}." for b in benchmarks for remark in remarks(b, baseline))
    for b in benchmarks:
        if b.verdict in ("faster", "slower") and not b.facts.differs:
            found = difference(results, b, reference_of(b, benchmarks))
            yield f"{b.name}: {explain(found)}."


def _programs(benchmarks: list[Benchmark]) -> Section:
    rows = []
    for b in benchmarks:
        build, program = b.facts.build, b.facts.program
        times = (build.trace_s, build.lower_s, build.compile_s, build.first_call_s) if build else ()
        counts = (program.dots, program.whiles, program.fusions, program.transposes) if program else ()
        rows.append(
            (
                b.name,
                *(map(format_time, times) if times else 4 * ("-",)),
                str(b.facts.leaves),
                *(map(str, counts) if counts else 4 * ("-",)),
                format_bytes(program.temp_bytes if program else None),
                program.fingerprint[:5] if program else "-",
            )
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


def _interval(b: Benchmark) -> str:
    return format_interval(Comparison(b.ratio, b.ratio_low, b.ratio_high))


def _verdict(b: Benchmark) -> str:
    return {"baseline": "-", "duplicate": "A/A"}.get(b.arm.role, b.verdict)
