"""Tables of what a framework costs over plain JAX."""

from ..analysis.overhead import NEGLIGIBLE, Overhead, negligible_from, overheads, per_leaf_s
from ..results.grouping import grouped
from ..results.record import Results
from .sections import Prose, Section


def overhead_tables(results: Results) -> list[Section]:
    """Overhead per call and per leaf on the smallest workload, and, in a sweep, against the swept size."""
    found = overheads(results)
    if not found:
        return []
    sizes = sorted({overhead.size for overhead in found if overhead.size is not None})
    return [_per_leaf(results, found), *([_by_size(results, found, sizes)] if len(sizes) > 1 else [])]


def _per_leaf(results: Results, found: list[Overhead]) -> Section:
    smallest = str(min(results.benchmarks, key=lambda b: b.flops).arm.workload)
    here = [o for o in found if str(o.benchmark.arm.workload) == smallest]
    rows = []
    for arm, mine in grouped(here, lambda o: o.benchmark.name).items():
        cells = {o.benchmark.arm.phase: _microseconds(o) for o in mine}
        slope = per_leaf_s(mine)
        per_leaf = "-" if slope is None else f"{slope[0] * 1e6:.2g} ± {slope[1] * 1e6:.1g}"
        rows.append((arm, *(cells.get(phase, "-") for phase in _phases(here)), per_leaf))
    return Section(
        f"Framework overhead on {smallest}, in µs a call over pure[jit]",
        (Prose("arm"), *_phases(here), "µs a leaf"),
        rows,
        (
            "Paired with pure[jit], with 95 % intervals. *: it runs another program, so the overhead is not only that "
            "of crossing the jit boundary. Per leaf: from the difference between the phases with the fewest and the "
            "most leaves.",
        ),
    )


def _by_size(results: Results, found: list[Overhead], sizes: list[int]) -> Section:
    rows = []
    for phase in _phases(found):
        for arm in dict.fromkeys(o.benchmark.name for o in found):
            mine = {o.size: o for o in found if (o.benchmark.name, o.benchmark.arm.phase) == (arm, phase)}
            cells = [_share(mine[size]) if size in mine else "-" for size in sizes]
            size, is_sure = negligible_from(list(mine.values()))
            said = "beyond" if size is None else f"{size}" if is_sure else f"{size} by estimate"
            rows.append((f"{arm} {phase}", *cells, said))
    return Section(
        f"Framework overhead against size: share of pure[jit]'s time, by {results.trigru.plan.swept}",
        (Prose("arm"), *map(str, sizes), f"under {NEGLIGIBLE:.0%} from"),
        rows,
        (
            f"Under {NEGLIGIBLE:.0%}: from this size on, the upper end of the interval stays below it. "
            '"by estimate": the estimates do, but the intervals do not. *: it runs another program.',
        ),
    )


def _phases(found: list[Overhead]) -> list[str]:
    return list(dict.fromkeys(o.benchmark.arm.phase for o in found))


def _microseconds(overhead: Overhead) -> str:
    over = overhead.over
    times_s = over.difference_s, over.difference_low_s, over.difference_high_s
    numbers = [f"{1e6 * s:.0f}" if abs(s) >= 1e-4 else f"{1e6 * s:.1f}" for s in times_s]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]" + ("" if over.same_program else "*")


def _share(overhead: Overhead) -> str:
    return f"{overhead.share:+.1%}" + ("" if overhead.over.same_program else "*")
