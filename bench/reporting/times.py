"""Tables of times from a results file, and from nothing else."""

from collections.abc import Iterable

import numpy as np

from ...common.gru.kernels import STOCK
from ...common.port.programs import DISPATCH_LIMIT_S, explain
from ..analysis.statistics import Comparison
from ..results.record import Benchmark, Results
from .sections import Section, format_bytes, format_rate, format_time

__all__ = [
    "closing_tables",
    "format_ratio",
    "format_throughput",
    "short_group",
    "summary_tables",
    "tax_s",
    "timing_tables",
]

#: A framework whose best style differs from the baseline by more than this is explained.
EXPLAINED_ABOVE = 1.10
#: A noise floor above this is pointed at: "indistinguishable" then says more of the machine than of the arms.
NOISY_FLOOR = 0.10
#: Crossing the jit boundary may cost this many times as much as it does on the smallest workload, where the caches
#: have little else to hold.
DISPATCH_FACTOR = 3

LIMITS = {"gemm": "that of matrix products", "copy": "its memory's"}


def summary_tables(results: Results) -> list[Section]:
    """Each framework's first and best call style with its own cell; divisions are never ranked against each other."""
    groups = results.groups()
    stock = {group: benchmarks for group, benchmarks in groups.items() if benchmarks[0].facts.division == STOCK}
    if stock:
        return [_summary(results, stock)]
    return [] if groups else [Section("No group was measured", ("workload",), [])]


def closing_tables(results: Results) -> list[Section]:
    """Each framework's best call style in every group of the stock division, for the end of a screen of tables."""
    stock = {
        group: _by_port(benchmarks)
        for group, benchmarks in results.groups().items()
        if benchmarks[0].facts.division == STOCK and not results.trigru.plan.trials
    }
    ports = dict.fromkeys((*results.trigru.plan.ports, *results.trigru.plan.peers))
    baselines = {b.facts.port for b in results.benchmarks if b.facts.is_baseline}
    columns = [port for port in ports if port not in baselines]
    if not stock or not columns:
        return []
    rows = [
        (short_group(group), *(_short(_best(styles[port])) if port in styles else "-" for port in columns))
        for group, styles in stock.items()
    ]
    return [
        Section(
            "In short: each framework in its best call style, time / pure[jit]",
            ("workload", *columns),
            rows,
            (
                "Below 1 is faster. ±: the farther end of the 95 % interval, as a share of the ratio. In brackets "
                "where indistinguishable; * of other equations; - without a number.",
            ),
        )
    ]


def timing_tables(results: Results) -> list[Section]:
    """Every arm of every group, and what has no number."""
    sections = []
    for group, benchmarks in results.groups().items():
        sections += [_times(results, group, benchmarks), _programs(group, benchmarks)]
    if results.untimed:
        rows = [(arm.id, arm.reason) for arm in results.untimed]
        sections.append(Section("Without a number", ("arm", "reason"), rows))
    return sections


def short_group(group: str) -> str:
    """Workload and phase, and the division where it is another than that of the stock cells.

    >>> short_group("tiny/forward/float32/stock"), short_group("tiny/forward/float32/fused")
    ('tiny forward', 'tiny forward fused')
    """
    workload, phase, _, division = group.split("/")
    return " ".join((workload, phase, *([division] if division != STOCK else [])))


def tax_s(benchmark: Benchmark, baseline: Benchmark) -> float:
    """How much longer than the baseline a call takes, in seconds, from the paired ratio."""
    return (benchmark.facts.ratio - 1) * float(np.median(baseline.time_s))


def _summary(results: Results, groups: dict[str, list[Benchmark]]) -> Section:
    rows = []
    for group, benchmarks in groups.items():
        baseline = _baseline(benchmarks)
        for styles in _by_port(benchmarks).values():
            best = _best(styles)
            for b in styles[:1] if styles[0] is best else (styles[0], best):
                why = _why(results, b, baseline) if b.facts.ratio > EXPLAINED_ABOVE else ""
                why = f"other equations: {b.facts.differs}" if b.facts.differs else why
                rows.append((short_group(group), b.name, _interval(b), _verdict(b), why))
    return Section(
        "Each framework as its documentation calls it, and in its best call style, against plain JAX",
        ("workload", "arm", "time / pure[jit]", "verdict", "why"),
        rows,
        (
            "The first style of each framework is the one that its documentation leads with; below it the best, where "
            "that is another. Below 1 is faster. A verdict needs an interval without 1 and an effect above the noise "
            'floor; "indistinguishable" does not mean equal.',
            f"Why: above {EXPLAINED_ABOVE:.2f}, how the program that XLA runs differs from pure[jit]'s. "
            "Dots are its matrix products, leaves the arrays that cross the jit boundary for model and optimiser.",
        ),
    )


def _by_port(benchmarks: list[Benchmark]) -> dict[str, list[Benchmark]]:
    """A group's arms by port, in their order, without the baseline's."""
    found: dict[str, list[Benchmark]] = {}
    for b in benchmarks:
        if b.facts.port != _baseline(benchmarks).facts.port:
            found.setdefault(b.facts.port, []).append(b)
    return found


def _best(styles: list[Benchmark]) -> Benchmark:
    return min(styles, key=lambda b: b.facts.ratio)


def _short(b: Benchmark) -> str:
    ratio = Comparison(b.facts.ratio, b.facts.ratio_low, b.facts.ratio_high)
    return format_ratio(ratio, b.facts.verdict) + ("*" if b.facts.differs else "")


def _kernels(division: str) -> str:
    return division if division == STOCK else f"{division} against {STOCK}"


def _times(results: Results, group: str, benchmarks: list[Benchmark]) -> Section:
    facts = benchmarks[0].facts
    limit, least_s = results.trigru.best_ceilings(facts.dtype).nearer(facts.work)
    rows = []
    for b in benchmarks:
        time_s = float(np.median(b.time_s))
        pipelined = format_time(float(np.median(b.facts.pipelined_s))) if b.facts.pipelined_s else "-"
        rows.append(
            (
                b.name,
                format_time(time_s),
                pipelined,
                format_rate(facts.steps / time_s),
                format_throughput(b.facts.flops / time_s, least_s / time_s),
                "1 (baseline)" if b.facts.is_baseline else _interval(b),
                _verdict(b),
            )
        )
    processes = len(set(facts.process))
    in_processes = f" in {processes} processes" if processes > 1 else ""
    return Section(
        f"{short_group(group)}: {facts.shape}, {facts.dtype}, kernel {_kernels(facts.division)}",
        ("arm", "blocked", "pipelined", "steps/s", "GFLOP/s, %", "time / pure[jit]", "verdict"),
        rows,
        (
            f"{len(benchmarks[0].time_s)} paired rounds{in_processes}, {facts.steps} steps a call. Times are medians a "
            "call; the ratio is of the blocked ones, the median within rounds, so it need not be their quotient.",
            f"Noise floor ±{facts.floor:.1%}, from pure[jit]#2, the same code compiled again."
            + (" Noisy: smaller differences cannot be seen here." if facts.floor > NOISY_FLOOR else ""),
            f"%: of the machine's nearer limit, here {LIMITS[limit]}.",
            *_notes(results, benchmarks),
        ),
    )


def _notes(results: Results, benchmarks: list[Benchmark]) -> Iterable[str]:
    if any(not b.facts.pipelined_s for b in benchmarks):
        yield "Pipelined: - where a single call fills a sample, or nothing is dispatched ahead."
    for b in benchmarks:
        if b.facts.differs:
            yield f"{b.name}: other equations ({b.facts.differs}), so it is not held to the oracle."
        if not all(b.facts.steady):
            yield f"{b.name}: not steady when the warm-up ended in {b.facts.steady.count(False)} processes."
    baseline = _baseline(benchmarks)
    why = {b.name: _why(results, b, baseline) for b in benchmarks if b.facts.verdict in ("faster", "slower")}
    yield from (f"{name}: {reason}." for name, reason in why.items())


def _programs(group: str, benchmarks: list[Benchmark]) -> Section:
    rows = []
    for b in benchmarks:
        build, program = b.facts.build, b.facts.program
        times = (build.trace_s, build.lower_s, build.compile_s, build.first_call_s) if build else ()
        counts = (program.dots, program.whiles, program.fusions, program.transposes) if program else ()
        temp = "-" if program is None or program.temp_bytes is None else format_bytes(program.temp_bytes)
        rows.append(
            (
                b.name,
                *(map(format_time, times) if times else 4 * ("-",)),
                str(b.facts.leaves),
                *(map(str, counts) if counts else 4 * ("-",)),
                temp,
                program.fingerprint[:5] if program else "-",
            )
        )
    return Section(
        f"{short_group(group)}: programs",
        (
            "arm",
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
        ),
        rows,
        (
            "Times once, of the first process; the first call is all of it. Counts are of the optimised program, a "
            "loop's body once. One print, one program, whatever the order of its arguments. -: XLA has none of it.",
        ),
        detail=True,
    )


def _why(results: Results, b: Benchmark, baseline: Benchmark) -> str:
    return explain(
        b.facts.program,
        baseline.facts.program,
        (b.facts.leaves, baseline.facts.leaves),
        tax_s(b, baseline),
        _dispatch_limit_s(results, b),
    )


def _dispatch_limit_s(results: Results, b: Benchmark) -> float:
    """What crossing the jit boundary may cost an arm, by what it costs on the smallest workload of the run."""
    alike = [
        (other.facts.flops, abs(tax_s(other, _baseline(benchmarks))))
        for benchmarks in results.groups().values()
        for other in benchmarks
        if (other.name, other.facts.phase, other.facts.division) == (b.name, b.facts.phase, b.facts.division)
    ]
    smallest_flops, seen_s = min(alike)
    return DISPATCH_LIMIT_S if smallest_flops == b.facts.flops else max(DISPATCH_FACTOR * seen_s, DISPATCH_LIMIT_S / 20)


def _baseline(benchmarks: list[Benchmark]) -> Benchmark:
    return next(b for b in benchmarks if b.facts.is_baseline)


def _interval(b: Benchmark) -> str:
    digits = 3 if b.facts.ratio_high < 2 else 2 if b.facts.ratio_high < 10 else 1
    return f"{b.facts.ratio:.{digits}f} [{b.facts.ratio_low:.{digits}f}, {b.facts.ratio_high:.{digits}f}]"


def format_throughput(flop_per_s: float, share: float) -> str:
    """GFLOP/s, and the share of what the machine can do.

    >>> format_throughput(1.2345e11, 0.4567), format_throughput(1.2345e8, 0.00067)
    ('123, 46%', '0.12, 0.1%')
    """
    rate = flop_per_s * 1e-9
    return f"{rate:.0f}" * (rate >= 10) + f"{rate:.2g}" * (rate < 10) + f", {share:.{0 if share >= 0.1 else 1}%}"


def format_ratio(ratio: Comparison, verdict: str) -> str:
    """A ratio with the farther end of its interval, in brackets where it is indistinguishable from 1.

    >>> format_ratio(Comparison(1.5, 1.41, 1.53), "slower")
    '1.50 ±6%'
    >>> format_ratio(Comparison(12.0, 6.0, 15.0), "indistinguishable")
    '(12.0 ±50%)'
    """
    reach = max(ratio.high / ratio.ratio - 1, 1 - ratio.low / ratio.ratio)
    text = f"{ratio.ratio:.{2 if ratio.ratio < 10 else 1}f} ±{reach:.0%}"
    return f"({text})" if verdict == "indistinguishable" else text


def _verdict(b: Benchmark) -> str:
    if b.facts.is_baseline:
        return "-"
    return "A/A" if b.facts.copy == 2 else b.facts.verdict
