"""The table of what a framework costs over plain JAX, by the size that a run sweeps."""

from ..analysis.overhead import NEGLIGIBLE, Overhead, negligible_from, overheads
from ..results.record import Results
from .sections import Prose, Section


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
