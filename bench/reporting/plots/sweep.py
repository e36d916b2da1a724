"""A sweep as a picture: throughput and framework overhead against the swept size."""

from typing import TYPE_CHECKING

import numpy as np

from ....common.gru.kernels import STOCK
from ...analysis.overhead import NEGLIGIBLE, overheads
from ...analysis.rates import rates_of
from ...results.arm import Arm
from ...results.record import Benchmark, Results
from ..numbers import format_rate
from .figures import INK, Picture, colour_of, drawing, marker_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What the picture shows, in words.
SWEPT = "Throughput, and cost over plain JAX, against the swept size; the table of overhead has the numbers."


def sweep_picture(results: Results) -> Picture | None:
    """Throughput and overhead; None where no size was swept."""
    figure = sweep_figure(results)
    return None if figure is None else Picture("sweep", figure, SWEPT)


def sweep_figure(results: Results) -> "Figure | None":
    """Throughput, and overhead below it, for each phase; None where no size was swept."""
    found = [overhead for overhead in overheads(results) if overhead.size is not None]
    sizes = sorted({overhead.size for overhead in found if overhead.size is not None})
    if len(sizes) < 2:
        return None
    phases = list(dict.fromkeys(overhead.benchmark.arm.phase for overhead in found))
    swept = results.trigru.plan.swept or ""
    base = results.benchmarks[0].arm.workload.name
    with drawing():
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter

        figure = Figure(figsize=(5.4, 6.4 * len(phases) + 0.9), layout="constrained")
        grid = figure.subplots(2 * len(phases), 1).reshape(-1, 2)
        for (rates, costs), phase in zip(grid, phases, strict=True):
            stock = [b for b in results.benchmarks if b.arm.division == STOCK and b.arm.role in ("baseline", "arm")]
            here = [b for b in stock if b.arm.phase == phase]
            for name in dict.fromkeys(b.name for b in here):
                mine = sorted((b for b in here if b.name == name), key=lambda b: b.arm.workload.sizes[swept])
                style = _style(mine[0].arm, here)
                x = [b.arm.workload.sizes[swept] for b in mine]
                rates.plot(x, [rates_of(results, b).steps_per_s for b in mine], label=name, **style)
                paid = [o for o in found if (o.benchmark.name, o.benchmark.arm.phase) == (name, phase)]
                if paid:
                    paid.sort(key=lambda overhead: overhead.size or 0)
                    shares = np.array([[o.over.ratio, o.over.low, o.over.high] for o in paid]).T - 1
                    reach = [shares[0] - shares[1], shares[2] - shares[0]]
                    costs.errorbar(x, shares[0], reach, elinewidth=0.8, capsize=2, **style)
            rates.set(ylabel="time steps per second", yscale="log")
            rates.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            rates.yaxis.set_major_formatter(lambda rate, _: format_rate(rate))
            rates.yaxis.set_minor_formatter(NullFormatter())
            rates.set_title(f"{phase.replace('_', ' ')}: throughput", fontsize=10, loc="left")
            costs.axhline(NEGLIGIBLE, color="grey", linewidth=0.8, linestyle="--")
            costs.axhline(0, color=INK, linewidth=0.8)
            costs.set_yscale("symlog", linthresh=0.02)
            costs.set_ylabel("share of pure[jit]'s time")
            costs.set_title(f"{phase.replace('_', ' ')}: cost over plain JAX, 95 % intervals", fontsize=10, loc="left")
            costs.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
            for axes in (rates, costs):
                axes.set_xscale("log", base=2)
                axes.set_xticks(sizes, [str(size) for size in sizes])
                axes.set_xlabel(f"{swept} ({base}, {results.trigru.plan.arithmetic})")
                axes.grid(alpha=0.3)
        figure.legend(
            *grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False
        )
    return figure


def _style(arm: Arm, benchmarks: list[Benchmark]) -> dict[str, str | float]:
    """A colour for each port, and a marker for each of its styles."""
    styles = list(dict.fromkeys(b.arm.style for b in benchmarks if b.arm.port == arm.port))
    ports = list(dict.fromkeys(b.arm.port for b in benchmarks))
    marker = marker_of(styles.index(arm.style))
    return {"color": colour_of(arm.port, ports), "marker": marker, "markersize": 5, "linewidth": 1.2}
