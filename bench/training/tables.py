"""Tables of the results of `trigru train`."""

from collections.abc import Iterable

import numpy as np

from ..reporting.numbers import count
from ..reporting.provenance import ARITHMETIC
from ..reporting.sections import Section, Words
from .experiments import Experiment, get_experiment
from .fit import PATIENCE
from .study import LEAST_SEEDS, SAME_CURVE, STARTS, Agreement, Run, gain
from .vanishing import LOSSES, Vanishing


def seeds_wanted(experiments: Iterable[Experiment], seeds: int) -> list[str]:
    """What so many seeds cannot answer, in a sentence; nothing where they are enough."""
    if seeds < LEAST_SEEDS:
        return [f"{count(seeds, 'seed')} cannot give a verdict: an interval takes at least {LEAST_SEEDS} seeds."]
    few = [e for e in experiments if e.enough_seeds is None or seeds < e.enough_seeds]
    if not few:
        return []
    needed = ", ".join(f"{e.name} (it takes {e.enough_seeds or 'more than 100'})" for e in few)
    return [
        f"{count(seeds, 'seed')} are few for {needed}: a gain as small as the published one is told from chance less "
        "than four times in five, so a verdict of indistinguishable does not mean that there is none."
    ]


def curves_agree(found: Iterable[Agreement]) -> bool:
    """Whether all frameworks have the float64 losses of the first one, for each experiment."""
    return all(difference <= SAME_CURVE for _, difference in _differences(list(found)))


def agreement_table(found: list[Agreement]) -> Section:
    """How much the frameworks' float64 losses differ over an epoch."""
    rows = [
        (
            curve.experiment,
            curve.framework,
            str(len(curve.losses)),
            f"{curve.losses[0]:.6f}",
            f"{curve.losses[-1]:.6f}",
            f"{difference:.1e}" + ("" if difference <= SAME_CURVE else " FAILED"),
        )
        for curve, difference in _differences(found)
    ]
    return Section(
        "One epoch in float64 from one start",
        ("experiment", Words("framework"), "steps", "first loss", "last loss", "difference"),
        rows,
        ("Difference: the largest difference from plain JAX over the steps, relative to the largest loss of plain JAX; "
         f"{SAME_CURVE:.0e} is the limit.",),
    )  # fmt: skip


def gain_table(runs: list[Run], *, complete: bool = True) -> Section:
    """Test scores by start, and how much better than the first start the others are, paired by seed."""
    reference = STARTS[0]
    rows = []
    for experiment in dict.fromkeys(run.experiment for run in runs):
        alike: dict[tuple[tuple[str, ...], ...], list[str]] = {}  # frameworks by their rows of the table
        for framework in dict.fromkeys(run.framework for run in runs):
            here = [run for run in runs if (run.experiment, run.framework) == (experiment, framework)]
            alike.setdefault(tuple(_gains(here)), []).append(framework)
        for cells, frameworks in alike.items():
            shared = "all" if len({run.framework for run in runs}) == len(frameworks) > 1 else ", ".join(frameworks)
            rows += [(experiment, shared, *cell) for cell in cells]
    seeds = len({run.seed for run in runs})
    capped = sum(run.capped for run in runs)
    experiments = [get_experiment(name) for name in dict.fromkeys(run.experiment for run in runs)]
    return Section(
        "Learned against fixed initial state" + ("" if complete else ": INTERRUPTED, not all was trained"),
        ("experiment", Words("framework"), Words("initial state"), "test", "better by", Words("verdict")),
        rows,
        (
            f"Test: the mean over {seeds} seeds, with the parameters of the epoch with the least validation loss. "
            f"Training ends {PATIENCE} epochs after it. {capped} of {len(runs)} trainings ended before that, at the "
            "last epoch allowed.",
            f"Better by: the mean difference from the state {reference.summary}, paired by seed, with its 95 % "
            "interval (Student's t over seeds). Positive is better, for an error and for an accuracy. The test "
            "sequences are the same for all seeds, so the interval is about training, not about other data. No "
            "interval is widened for the number of rows. All frameworks start from the same parameters and repeat one "
            "result: those that agree in every digit shown share a row.",
            ARITHMETIC,
            *seeds_wanted(experiments, seeds),
            *(f"{experiment.name}: {experiment.summary}; {experiment.score_name}." for experiment in experiments),
        ),
    )


def _gains(runs: list[Run]) -> Iterable[tuple[str, ...]]:
    """The last cells of each start's row, for one experiment in one framework."""
    for start in STARTS:
        scores = [run.test_score for run in runs if run.start == start.name]
        if not scores:
            continue
        cells = (start.summary, f"{np.mean(scores):.3f}")
        if start is STARTS[0]:
            yield (*cells, "", "")
            continue
        found = gain(runs, start.name)
        if np.isfinite(found.low):
            yield (*cells, f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]", found.verdict)
        else:
            mean = "-" if np.isnan(found.mean) else f"{found.mean:+.4f}"
            yield (*cells, mean, "too few seeds" if len(scores) < LEAST_SEEDS else "no spread")


def vanishing_table(found: Vanishing) -> Section:
    """Norms of the gradient to the initial state against length, in one framework. Others differ only by rounding."""
    columns = [found.of(objective.name, field) for objective in LOSSES for field in ("gradient", "update")]
    columns += [found.of(LOSSES[-1].name, "weights")]
    lengths = columns[0][0]
    rows = []
    for number, length in enumerate(lengths):
        norms = [float(np.median(values[number])) for _, values in columns]
        rows.append((str(length), *(f"{norm:.2g}" if norm else "underflow" for norm in norms)))
    names = [f"{objective.name}{what}" for objective in LOSSES for what in ("", ", × T")]
    draws = columns[0][1].shape[1]
    return Section(
        "Gradient that reaches the initial state",
        ("T", *names, "weights"),
        rows,
        (
            f"Euclidean norms, {f'medians of {draws} draws' if draws > 1 else 'one draw'}, float64, 20 inputs, "
            "200 units, newly drawn parameters. × T: how far one SGD step at a learning rate of 1 moves the state, "
            "with the rate scaled by the length. Weights: the gradient of the recurrent weights, with the loss at "
            "every step. "
            + ("Underflow: below float64's smallest number. " if any("underflow" in row for row in rows) else "")
            + _spread(found),
        ),
    )


def _spread(found: Vanishing) -> str:
    if len({norm.framework for norm in found.norms}) == 1:
        return "One framework alone."
    if found.spread() == 0:
        return "The frameworks agree in all six digits that the file has."
    return f"The frameworks differ by at most {found.spread():.0e} of a norm."


def _differences(found: list[Agreement]) -> list[tuple[Agreement, float]]:
    first: dict[str, Agreement] = {}
    return [(curve, curve.differs(first.setdefault(curve.experiment, curve))) for curve in found]
