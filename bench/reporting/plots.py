"""Pictures from a results file, and from nothing else."""

from pathlib import Path

import numpy as np

from ...common.files import write_whole
from ...common.gru.kernels import STOCK
from ..analysis.overhead import NEGLIGIBLE, taxes
from ..results.record import Results

__all__ = ["plot_sweep"]

#: Okabe and Ito's colours, which the colour-blind tell apart (https://jfly.uni-koeln.de/color/), by port; each style of
#: a port has a marker of its own.
COLOURS = {"pure": "#000000", "linen": "#E69F00", "nnx": "#0072B2", "equinox": "#009E73"}
OTHERS = ("#CC79A7", "#D55E00", "#56B4E9")
MARKERS = "osD^vPX"


def plot_sweep(results: Results, path: Path) -> bool:
    """Throughput and framework tax against the swept size, a row for each phase.

    Args:
        results: of a sweep.
        path: of the picture to write, whose suffix says in which format.

    Returns:
        Whether there was a sweep to plot.
    """
    import io

    from matplotlib.figure import Figure

    found = [tax for tax in taxes(results) if tax.size is not None]
    sizes = sorted({tax.size for tax in found if tax.size is not None})
    if len(sizes) < 2:
        return False
    phases = list(dict.fromkeys(tax.phase for tax in found))
    swept = next(b.facts.workload for b in results.benchmarks)
    base, _, over = swept.partition("@")
    axis = over.partition("=")[0]
    figure = Figure(figsize=(11, 4.2 * len(phases)), layout="constrained")
    grid = figure.subplots(len(phases), 2, squeeze=False)
    for (left, right), phase in zip(grid, phases, strict=True):
        stock = [b for b in results.benchmarks if b.facts.division == STOCK and b.facts.copy == 1]
        here = [b for b in stock if b.facts.phase == phase]
        for name in dict.fromkeys(b.name for b in here):
            mine = sorted((b for b in here if b.name == name), key=lambda b: _size(b.facts.workload))
            style = _style(mine[0].facts.port, name, [b.name for b in here])
            x = [_size(b.facts.workload) for b in mine]
            left.plot(x, [b.facts.steps / float(np.median(b.time_s)) for b in mine], label=name, **style)
            paid = [tax for tax in found if (tax.arm, tax.phase) == (name, phase)]
            if paid:
                paid.sort(key=lambda tax: tax.size or 0)
                shares = np.array([[t.share, t.low_share, t.high_share] for t in paid]).T
                reach = [shares[0] - shares[1], shares[2] - shares[0]]
                right.errorbar(x, shares[0], reach, elinewidth=0.8, capsize=2, **style)
        left.set(title=f"{phase}: throughput", ylabel="time steps per second", yscale="log")
        right.axhline(NEGLIGIBLE, color="grey", linewidth=0.8, linestyle="--")
        right.axhline(0, color="black", linewidth=0.8)
        right.set_yscale("symlog", linthresh=0.02)
        right.set(title=f"{phase}: cost over plain JAX, with 95 % intervals", ylabel="share of pure[jit]'s time")
        right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.set_xlabel(f"{axis} ({base}, float32)")
            axes.grid(alpha=0.3)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=110)
    write_whole(path, buffer.getvalue())
    return True


def _size(workload: str) -> int:
    return int(workload.partition("=")[2])


def _style(port: str, name: str, names: list[str]) -> dict[str, str | float]:
    styles = list(dict.fromkeys(n for n in names if n.partition("[")[0] == port))
    others = list(dict.fromkeys(n.partition("[")[0] for n in names if n.partition("[")[0] not in COLOURS))
    colour = COLOURS[port] if port in COLOURS else OTHERS[others.index(port) % len(OTHERS)]
    return {"color": colour, "marker": MARKERS[styles.index(name) % len(MARKERS)], "markersize": 5, "linewidth": 1.2}
