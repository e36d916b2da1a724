"""Pictures of the results of `trigru train`."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..reporting.plots.figures import write_figure
from .study import STARTS, Run
from .vanishing import LOSSES, Vanishing

#: Okabe and Ito's colours, which colour-blind readers can distinguish.
OF_START = dict(zip((start.name for start in STARTS), ("#000000", "#0072B2", "#D55E00"), strict=True))
OF_LOSS = dict(zip((objective.name for objective in LOSSES), ("#D55E00", "#0072B2"), strict=True))
DASHES = ("-", "--", ":")


def plot_curves(runs: list[Run], path: Path) -> None:
    """Validation loss by epoch, while all seeds train: the median of each framework, with a colour for each start."""
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    frameworks = list(dict.fromkeys(run.framework for run in runs))
    columns = min(2, len(experiments))
    figure = Figure(figsize=(4.2 * columns, 3.4 * -(-len(experiments) // columns)), layout="constrained")
    grid = figure.subplots(-(-len(experiments) // columns), columns, squeeze=False)
    for axes, experiment in zip(grid.flat, experiments, strict=False):
        for start in STARTS:
            for framework, dash in zip(frameworks, DASHES, strict=False):
                chosen = (experiment, framework, start.name)
                here = [r.validation_loss for r in runs if (r.experiment, r.framework, r.start) == chosen]
                if not here:
                    continue
                shortest = min(map(len, here))  # later, the median would be only of the seeds that still train
                curves, epochs = np.array([curve[:shortest] for curve in here], float), np.arange(1, shortest + 1)
                label = f"{start.summary} ({framework})"
                style = {"color": OF_START[start.name], "linewidth": 1.3, "label": label}
                axes.plot(epochs, np.median(curves, axis=0), dash, **style)
                if framework == frameworks[0] and len(here) > 3:
                    quartiles = np.percentile(curves, [25, 75], axis=0)
                    axes.fill_between(epochs, *quartiles, color=OF_START[start.name], alpha=0.12, linewidth=0)
        axes.set(title=experiment, xlabel="epoch", ylabel="validation loss", yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda loss, _: f"{loss:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(experiments) :]:
        axes.set_visible(False)
    figure.legend(
        *grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False
    )
    write_figure(figure, path)


def plot_vanishing(found: Vanishing, path: Path) -> None:
    """Norm of the gradient to the initial state against length: the median over draws, and the range."""
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    axes = figure.subplots()
    lengths, _ = found.of(LOSSES[0].name, "gradient")
    for objective in LOSSES:
        for field, dash, what in (("gradient", "-", "gradient"), ("update", "--", "× T, the rate scaled by length")):
            _, values = found.of(objective.name, field)
            shown = np.where(values > 0, values, np.nan)
            colour, label = OF_LOSS[objective.name], f"loss of {objective.summary}: {what}"
            median, style = np.median(shown, axis=1), {"linewidth": 1.4, "markersize": 3}
            axes.plot(lengths, median, f"o{dash}", color=colour, label=label, **style)
            axes.fill_between(lengths, shown.min(axis=1), shown.max(axis=1), color=colour, alpha=0.12)
    axes.set_xscale("log", base=2)
    axes.set(
        yscale="log", ylim=(1e-20, 10), xticks=lengths, xticklabels=[str(length) for length in lengths],
        xlabel="T, steps of the sequence", ylabel="Euclidean norm (below 1e-20 not shown)",
        title="Gradient that reaches the initial state (20 inputs, 200 units, float64)",
    )  # fmt: skip
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    write_figure(figure, path)
