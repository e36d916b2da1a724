"""Pictures of the results of `trigru train`."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..reporting.plots.figures import GREY, INK, Picture, drawing, marker_of
from .experiments import get_experiment
from .study import STARTS, Run, gain
from .vanishing import LOSSES, Vanishing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe and Ito's colours, which colour-blind readers can distinguish.
OF_START = dict(zip((start.name for start in STARTS), (INK, "#0072B2", "#D55E00"), strict=True))
OF_LOSS = dict(zip((objective.name for objective in LOSSES), ("#D55E00", "#0072B2"), strict=True))
DASHES = ("-", "--", ":")


def gains_picture(runs: list[Run]) -> Picture | None:
    """By how much a learned start is better than the fixed one, paired by seed, with intervals; None without seeds."""
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    frameworks = list(dict.fromkeys(run.framework for run in runs))
    lines = [(start, framework) for start in STARTS[1:] for framework in frameworks]
    said = []
    with drawing():
        figure = Figure(figsize=(5.4, (0.2 * len(lines) + 0.95) * len(experiments)), layout="constrained")
        for axes, name in zip(figure.subplots(len(experiments), 1, squeeze=False)[:, 0], experiments, strict=True):
            for y, (start, framework) in enumerate(lines):
                here = [run for run in runs if (run.experiment, run.framework) == (name, framework)]
                found = gain(here, start.name) if here else None
                if found is None or not np.isfinite(found.low):
                    continue
                reach = [[found.mean - found.low], [found.high - found.mean]]
                colour = GREY if found.verdict == "indistinguishable" else OF_START[start.name]
                marker = marker_of(frameworks.index(framework))
                axes.errorbar([found.mean], [y], xerr=reach, color=colour, marker=marker, markersize=4.5, capsize=2.5)
                said.append(
                    f"{name}, {start.summary}, {framework} {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
                )
            _frame_gains(axes, name, [f"{start.summary}, {framework}" for start, framework in lines])
        figure.suptitle("Better than fixed at zero, paired by seed; 95 % intervals", fontsize=10)
    if not said:
        return None
    description = "Better by than with an initial state fixed at zero, paired by seed, with 95 % intervals over seeds"
    return Picture("gains", figure, f"{description}: {'; '.join(said)}.")


def _frame_gains(axes: "Axes", name: str, labels: list[str]) -> None:
    experiment = get_experiment(name)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(name, fontsize=10, loc="left")
    axes.set_xlabel(f"better by: {experiment.score_name}", fontsize=8)


def curves_picture(runs: list[Run]) -> Picture:
    """Validation loss by epoch, while all seeds train: the median of each framework, with a colour for each start."""
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    frameworks = list(dict.fromkeys(run.framework for run in runs))
    with drawing():
        figure = Figure(figsize=(5.4, 2.5 * len(experiments) + 0.6), layout="constrained")
        grid = figure.subplots(len(experiments), 1, squeeze=False)[:, 0]
        for axes, experiment in zip(grid, experiments, strict=True):
            _draw_curves(axes, experiment, [run for run in runs if run.experiment == experiment], frameworks)
        figure.legend(
            *grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False
        )
    seeds = len({run.seed for run in runs})
    starts = ", ".join(start.summary for start in STARTS)
    return Picture(
        "learning_curves", figure,
        f"Validation loss by epoch of {', '.join(experiments)}, from initial states {starts}: medians over {seeds} "
        "seeds, with quartiles of the first framework, as long as all seeds train.",
    )  # fmt: skip


def _draw_curves(axes: "Axes", experiment: str, runs: list[Run], frameworks: list[str]) -> None:
    for start in STARTS:
        for framework, dash in zip(frameworks, DASHES, strict=False):
            here = [run.validation_loss for run in runs if (run.framework, run.start) == (framework, start.name)]
            if not here:
                continue
            shortest = min(map(len, here))  # later, the median would be only of the seeds that still train
            curves, epochs = np.array([curve[:shortest] for curve in here], float), np.arange(1, shortest + 1)
            style = {"color": OF_START[start.name], "linewidth": 1.3, "label": f"{start.summary} ({framework})"}
            axes.plot(epochs, np.median(curves, axis=0), dash, **style)
            if framework == frameworks[0] and len(here) > 3:
                quartiles = np.percentile(curves, [25, 75], axis=0)
                axes.fill_between(epochs, *quartiles, color=OF_START[start.name], alpha=0.12, linewidth=0)
    axes.set(title=experiment, xlabel="epoch", ylabel="validation loss", yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda loss, _: f"{loss:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)


def vanishing_picture(found: Vanishing) -> Picture:
    """Norm of the gradient to the initial state against length: the median over draws, and the range."""
    with drawing():
        figure = Figure(figsize=(5.4, 4.8), layout="constrained")
        axes = figure.subplots()
        lengths, _ = found.of(LOSSES[0].name, "gradient")
        for objective in LOSSES:
            for field, dash, what in (
                ("gradient", "-", "gradient"),
                ("update", "--", "× T, the rate scaled by length"),
            ):
                _, values = found.of(objective.name, field)
                shown = np.where(values > 0, values, np.nan)
                colour, label = OF_LOSS[objective.name], f"loss of {objective.summary}: {what}"
                median, style = np.median(shown, axis=1), {"linewidth": 1.4, "markersize": 3}
                axes.plot(lengths, median, f"o{dash}", color=colour, label=label, **style)
                axes.fill_between(lengths, shown.min(axis=1), shown.max(axis=1), color=colour, alpha=0.12)
        shown_at = lengths[:: 1 + len(lengths) // 8]
        axes.set_xscale("log", base=2)
        axes.set(
            yscale="log", ylim=(1e-20, 10), xticks=shown_at, xticklabels=[str(length) for length in shown_at],
            xlabel="T, steps of the sequence", ylabel="Euclidean norm (below 1e-20 not shown)",
            title="Gradient that reaches the initial state",
        )  # fmt: skip
        axes.yaxis.set_major_formatter(lambda norm, _: f"{norm:.0e}")
        axes.grid(alpha=0.3)
        figure.legend(fontsize=8, frameon=False, loc="outside lower center")
    said = []
    for objective in LOSSES:
        _, values = found.of(objective.name, "gradient")
        first, last = np.median(values[0]), np.median(values[-1])
        said.append(f"{first:.2g} to {last:.2g} with the loss of {objective.summary}")
    return Picture(
        "vanishing", figure,
        f"Norm of the gradient to the initial state, from {lengths[0]} to {lengths[-1]} steps: {'; '.join(said)}.",
    )  # fmt: skip
