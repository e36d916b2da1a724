"""What a framework costs over plain JAX: per call, per leaf, and up to which model size it matters."""

from dataclasses import dataclass

import numpy as np

from ...common.gru.kernels import STOCK
from ..reporting.sections import Section
from ..results.record import Benchmark, Results

__all__ = ["NEGLIGIBLE", "Tax", "tax_tables", "taxes"]

#: A tax below this share of the baseline's time is none to speak of.
NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class Tax:
    """What an arm takes beyond the baseline, in a call.

    Args:
        size: the swept size of the workload; None where none was swept.
        leaves: arrays that cross the jit boundary for model and optimiser.
        tax_s, low_s, high_s: seconds a call, with its 95 % interval.
        share: of the baseline's time, with low_share and high_share.
        same_program: whether XLA runs the baseline's program, so that crossing the jit boundary is all of the tax.
    """

    arm: str
    group: str
    phase: str
    size: int | None
    leaves: int
    tax_s: float
    low_s: float
    high_s: float
    share: float
    low_share: float
    high_share: float
    same_program: bool


def taxes(results: Results) -> list[Tax]:
    """The tax of every arm of the stock division but the baseline's own."""
    found = []
    for benchmarks in results.groups().values():
        if benchmarks[0].facts.division != STOCK:
            continue
        baseline = next(b for b in benchmarks if b.facts.is_baseline)
        found += [_tax(b, baseline) for b in benchmarks if b.facts.copy == 1 and b is not baseline]
    return found


def tax_tables(results: Results) -> list[Section]:
    """Tax per call and per leaf on the smallest workload, and against the swept size, where there is one."""
    found = taxes(results)
    if not found:
        return []
    swept = {tax.size for tax in found if tax.size is not None}
    return [_per_leaf(results, found), *([_by_size(found)] if len(swept) > 1 else [])]


def _per_leaf(results: Results, found: list[Tax]) -> Section:
    smallest = min(results.benchmarks, key=lambda b: b.facts.flops).facts.workload
    here = [tax for tax in found if tax.group.split("/")[0] == smallest]
    rows = []
    for arm in dict.fromkeys(tax.arm for tax in here):
        mine = [tax for tax in here if tax.arm == arm]
        few, many = min(mine, key=lambda t: t.leaves), max(mine, key=lambda t: t.leaves)
        cells = {tax.phase: _microseconds(tax) for tax in mine}
        rows.append((arm, *(cells.get(phase, "-") for phase in _phases(here)), _slope(few, many)))
    return Section(
        f"Framework tax on {smallest}, in µs a call over pure[jit]",
        ("arm", *_phases(here), "µs a leaf"),
        rows,
        (
            "Paired with pure[jit], with 95 % intervals. * where it runs another program, so that the tax is not "
            "of crossing the jit boundary alone. Per leaf: between the phases with the fewest and the most.",
        ),
    )


def _by_size(found: list[Tax]) -> Section:
    sizes = sorted({tax.size for tax in found if tax.size is not None})
    swept = [tax for tax in found if tax.size is not None]
    rows = []
    for phase in _phases(swept):
        for arm in dict.fromkeys(tax.arm for tax in swept):
            mine = {tax.size: tax for tax in swept if (tax.arm, tax.phase) == (arm, phase)}
            cells = [_share(mine[size]) if size in mine else "-" for size in sizes]
            rows.append((f"{arm} {phase}", *cells, _negligible_from(mine)))
    name = found[0].group.split("/")[0].partition("@")[2].partition("=")[0]
    return Section(
        f"Framework tax against size: share of pure[jit]'s time, by {name}",
        ("arm", *map(str, sizes), f"under {NEGLIGIBLE:.0%} from"),
        rows,
        (
            f"Under {NEGLIGIBLE:.0%}: the first size from which on the interval's upper end stays below it. "
            f'"by estimate": the estimates do, the intervals do not. * It runs another program.',
        ),
    )


def _negligible_from(by_size: dict[int | None, Tax]) -> str:
    """The size from which on the tax is negligible, as far as the sweep shows."""
    sure, likely = None, None
    for size in sorted((s for s in by_size if s is not None), reverse=True):
        if by_size[size].share >= NEGLIGIBLE:
            break
        likely = size
        if by_size[size].high_share < NEGLIGIBLE and sure == _next(by_size, size):
            sure = size
    if sure is not None:
        return str(sure)
    return "beyond" if likely is None else f"{likely} by estimate"


def _next(by_size: dict[int | None, Tax], size: int) -> int | None:
    larger = [s for s in by_size if s is not None and s > size]
    return min(larger, default=None)


def _tax(b: Benchmark, baseline: Benchmark) -> Tax:
    time_s = float(np.median(baseline.time_s))
    shares = [ratio - 1 for ratio in (b.facts.ratio, b.facts.ratio_low, b.facts.ratio_high)]
    _, _, size = b.facts.workload.partition("=")
    mine, its = b.facts.program, baseline.facts.program
    return Tax(
        b.name,
        b.group,
        b.facts.phase,
        int(size) if size else None,
        b.facts.leaves,
        *(share * time_s for share in shares),
        *shares,
        same_program=mine is not None and its is not None and mine.fingerprint == its.fingerprint,
    )


def _slope(few: Tax, many: Tax) -> str:
    if few.leaves == many.leaves:
        return "-"
    span = many.leaves - few.leaves
    slope = (many.tax_s - few.tax_s) / span
    error = ((many.high_s - many.low_s) ** 2 + (few.high_s - few.low_s) ** 2) ** 0.5 / 2 / span
    return f"{slope * 1e6:.2g} ± {error * 1e6:.1g}"


def _phases(found: list[Tax]) -> list[str]:
    return list(dict.fromkeys(tax.phase for tax in found))


def _microseconds(tax: Tax) -> str:
    numbers = [f"{1e6 * s:.0f}" if abs(s) >= 1e-4 else f"{1e6 * s:.1f}" for s in (tax.tax_s, tax.low_s, tax.high_s)]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]" + ("" if tax.same_program else "*")


def _share(tax: Tax) -> str:
    return f"{tax.share:+.1%}" + ("" if tax.same_program else "*")
