"""Tables of times, of programs, and of arms without a number."""

from collections.abc import Iterable

from ...common.gru.kernels import STOCK
from ..analysis.overhead import Cause, cause_of
from ..analysis.rates import baseline_of, by_port, rates_of
from ..analysis.statistics import Comparison
from ..results.record import Benchmark, Results
from .numbers import format_bytes, format_interval, format_rate, format_ratio, format_throughput, format_time
from .provenance import short_group
from .sections import Prose, Section, Words

#: A framework whose best style differs from the baseline by more than this is explained.
EXPLAINED_ABOVE = 1.10
#: A noise floor above this gets a warning: "indistinguishable" then tells more about the machine than about the arms.
NOISY_FLOOR = 0.10

LIMITS = {"gemm": "that of matrix products", "copy": "its memory's"}


def summary_tables(results: Results) -> list[Section]:
    """Each framework's first and best call style with its own cell. Divisions are never ranked against each other."""
    groups = results.groups()
    stock = [benchmarks for benchmarks in groups.values() if benchmarks[0].arm.division == STOCK]
    if stock:
        return [_summary(results, stock)]
    return [] if groups else [Section("No group was measured", ("workload",), [])]


def closing_tables(results: Results) -> list[Section]:
    """A summary for the end of the output: each framework's best call style in every group of the stock division."""
    stock = [b for b in results.groups().values() if b[0].arm.division == STOCK and not results.trigru.plan.trials]
    ports = dict.fromkeys((*results.trigru.plan.ports, *results.trigru.plan.peers))
    baselines = {b.arm.port for b in results.benchmarks if b.arm.is_baseline}
    columns = [port for port in ports if port not in baselines]
    if not stock or not columns:
        return []
    rows = []
    for benchmarks in stock:
        styles = by_port(benchmarks)
        cells = (_short(_best(styles[port])) if port in styles else "-" for port in columns)
        rows.append((short_group(benchmarks[0].arm), *cells))
    return [
        Section(
            "In short: each framework in its best call style, time / pure[jit]",
            ("workload", *columns),
            rows,
            (
                "Below 1 is faster. ±: the farther end of the 95 % interval, as a share of the ratio. In brackets: "
                "indistinguishable. *: other equations. -: no number.",
            ),
        )
    ]


def timing_tables(results: Results) -> list[Section]:
    """Every arm of every group, and the arms without a number."""
    sections = []
    for benchmarks in results.groups().values():
        sections += [_times(results, benchmarks), _programs(benchmarks)]
    if results.untimed:
        rows = [(untimed.arm.id, untimed.reason) for untimed in results.untimed]
        sections.append(Section("Without a number", (Prose("arm"), Prose("reason")), rows))
    return sections


def explain(cause: Cause, dots: int | None = None) -> str:
    """Why an arm is slower or faster than the baseline; dots are the matrix products in its program.

    >>> explain(Cause("boundary", 3e-6, (17, 16)))
    'the same program: +3.0 µs a call for 17 leaves; pure 16'
    >>> explain(Cause("operations", 7e-4, (34, 16), (("dots", 6, 2), ("transposes", 12, 4))))
    'another program: 6 dots, 12 transposes; pure 2, 4'
    """
    cost = f"{cause.overhead_s * 1e6:+.1f} µs a call"
    mine = ", ".join(f"{count} {name}" for name, count, _ in cause.counts)
    its = ", ".join(str(count) for _, _, count in cause.counts)
    return {
        "unread": "no XLA program to look at",
        "boundary": f"the same program: {cost} for {cause.leaves[0]} leaves; pure {cause.leaves[1]}",
        "unexplained": f"unexplained: the same program, {cost}",
        "operations": f"another program: {mine}; pure {its}",
        "other program": f"another program of the same {dots} dots{f', {mine}; pure {its}' if mine else ''}: {cost}",
    }[cause.kind]


def _summary(results: Results, groups: list[list[Benchmark]]) -> Section:
    rows = []
    for benchmarks in groups:
        for styles in by_port(benchmarks).values():
            best = _best(styles)
            for b in styles[:1] if styles[0] is best else (styles[0], best):
                why = _why(results, b, benchmarks) if b.facts.ratio > EXPLAINED_ABOVE else ""
                why = f"other equations: {b.facts.differs}" if b.facts.differs else why
                rows.append((short_group(b.arm), b.name, _interval(b), _verdict(b), why))
    return Section(
        "Each framework as its documentation calls it, and in its best call style, against plain JAX",
        ("workload", Prose("arm"), "time / pure[jit]", Words("verdict"), Prose("why")),
        rows,
        (
            "The first row of each framework is the call style that its documentation leads with. The row below it, "
            "if there is one, is its best call style. Below 1 is faster. A verdict needs an interval that excludes 1 "
            'and an effect above the noise floor; "indistinguishable" does not mean equal.',
            f"Why: for ratios above {EXPLAINED_ABOVE:.2f}, how the program that XLA runs differs from that of "
            "pure[jit]. Dots are its matrix products. Leaves are the arrays that cross the jit boundary for model and "
            "optimiser.",
        ),
    )


def _times(results: Results, benchmarks: list[Benchmark]) -> Section:
    facts = benchmarks[0].facts
    rates = [rates_of(results, b) for b in benchmarks]
    rows = [
        (
            b.name,
            format_time(rate.time_s),
            "-" if rate.pipelined_s is None else format_time(rate.pipelined_s),
            format_rate(rate.steps_per_s),
            format_throughput(rate.flop_per_s, rate.share),
            "1 (baseline)" if b.arm.is_baseline else _interval(b),
            _verdict(b),
        )
        for b, rate in zip(benchmarks, rates, strict=True)
    ]
    arm, processes = facts.arm, len(set(facts.process))
    in_processes = f" in {processes} processes" if processes > 1 else ""
    kernels = STOCK if arm.division == STOCK else f"{arm.division} against {STOCK}"
    return Section(
        f"{short_group(arm)}: {facts.shape}, {arm.dtype}, kernel {kernels}",
        (Prose("arm"), "blocked", "pipelined", "steps/s", "GFLOP/s, %", "time / pure[jit]", Words("verdict")),
        rows,
        (
            f"{len(facts.process)} paired rounds{in_processes}, {facts.steps} steps a call. Times are medians "
            "per call. The ratio is the median within rounds of the blocked times. It need not equal their quotient.",
            f"Noise floor ±{facts.floor:.1%}, from pure[jit]#2, the same code compiled again."
            + (" Noisy: smaller differences cannot be seen here." if facts.floor > NOISY_FLOOR else ""),
            f"%: of the machine's nearer limit, here {LIMITS[rates[0].limit]}.",
            *_notes(results, benchmarks),
        ),
    )


def _notes(results: Results, benchmarks: list[Benchmark]) -> Iterable[str]:
    if any(not b.facts.pipelined_s for b in benchmarks):
        yield "Pipelined: -, where a single call fills a sample or nothing is dispatched ahead."
    for b in benchmarks:
        if b.facts.differs:
            yield f"{b.name}: other equations ({b.facts.differs}), so it is not held to the oracle."
        if b.facts.backend != baseline_of(benchmarks).facts.backend:
            yield f"{b.name}: ran on {b.facts.device} ({b.facts.backend}), and pure[jit] did not."
        if not all(b.facts.steady):
            yield f"{b.name}: not steady at the end of the warm-up in {b.facts.steady.count(False)} processes."
    for b in benchmarks:
        if b.facts.verdict in ("faster", "slower") and not b.facts.differs:
            yield f"{b.name}: {_why(results, b, benchmarks)}."


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


def _why(results: Results, b: Benchmark, benchmarks: list[Benchmark]) -> str:
    program = b.facts.program
    return explain(cause_of(results, b, baseline_of(benchmarks)), program.dots if program else None)


def _best(styles: list[Benchmark]) -> Benchmark:
    return min(styles, key=lambda b: b.facts.ratio)


def _comparison(b: Benchmark) -> Comparison:
    return Comparison(b.facts.ratio, b.facts.ratio_low, b.facts.ratio_high)


def _short(b: Benchmark) -> str:
    return format_ratio(_comparison(b), b.facts.verdict) + ("*" if b.facts.differs else "")


def _interval(b: Benchmark) -> str:
    return format_interval(_comparison(b))


def _verdict(b: Benchmark) -> str:
    return {"baseline": "-", "duplicate": "A/A"}.get(b.arm.role, b.facts.verdict)
