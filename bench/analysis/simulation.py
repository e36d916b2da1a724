"""How many verdicts would be right with other numbers of processes and rounds, simulated from a calibration's samples.

A simulated process takes the samples of a recorded one: those of three identical arms, in rounds drawn with
replacement. So what processes do to all rounds of an arm stays, and so does what a round does to all arms; that rounds
close in time resemble each other does not. A true difference is added to the arm's times, and the verdict is made as
for a measured arm.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from ..results.record import Results
from .statistics import Effect, as_ratio, effect_of, noise_floor, verdict

#: Resamples for the lower bound of an interval; thousands of intervals are made.
RESAMPLES = 200
#: A quarter as many pipelined rounds follow the others.
WITH_PIPELINED = 1.25

#: The log-times of a group's identical arms in one process: (arms, rounds).
Samples = np.ndarray


@dataclass(frozen=True)
class Choice:
    """A way to spend a run's time, and what it sees.

    Args:
        time_s: seconds that the calibration would have taken, all workloads together.
        wrong: the share of identical arms that are called different.
        found: for each true difference, the share of arms that are called slower.
    """

    processes: int
    rounds: int
    time_s: float
    wrong: float
    found: dict[float, float]


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the log-ratio of two identical arms, as roots of mean squares.

    Args:
        processes: between processes, beyond what the rounds explain.
        rounds: between rounds of one process; what a median's standard error says, if errors are normal.
    """

    processes: float
    rounds: float


def simulate(
    results: Results, processes: int, rounds: int, differences: tuple[float, ...], trials: int, seed: int = 0
) -> Choice:
    """Make verdicts on simulated arms, the same number for each workload of a calibration."""
    rng = np.random.default_rng(seed)
    wrong, found = 0, dict.fromkeys(differences, 0)
    recorded = samples(results)
    for of_workload in recorded.values():
        for _ in range(trials):
            drawn = [_draw(rng, of_workload, rounds) for _ in range(processes)]
            arm, duplicate = (
                effect_of(np.concatenate(log_ratio), np.repeat(range(processes), rounds), resamples=RESAMPLES)
                for log_ratio in zip(*drawn, strict=True)
            )
            floor = noise_floor(as_ratio(duplicate), processes)
            wrong += verdict(as_ratio(arm), floor) != "indistinguishable"
            for difference in differences:
                found[difference] += verdict(as_ratio(_shifted(arm, np.log1p(difference))), floor) == "slower"
    of = trials * len(recorded)
    return Choice(
        processes,
        rounds,
        time_of(results, processes, rounds),
        wrong / of,
        {difference: count / of for difference, count in found.items()},
    )


def samples(results: Results) -> dict[str, list[Samples]]:
    """By workload: the samples of each group in each process."""
    found: dict[str, list[Samples]] = defaultdict(list)
    for benchmarks in results.groups().values():
        log_times = np.log([b.time_s for b in benchmarks if not b.arm.slowed])
        process = np.asarray(benchmarks[0].facts.process)
        found[str(benchmarks[0].arm.workload)] += [log_times[:, process == p] for p in np.unique(process)]
    return dict(found)


def spread_of(of_workload: list[Samples]) -> Spread:
    """How processes and rounds differ.

    The median over the odd rounds and that over the even ones have errors of their own. What both have in common is
    the process.
    """
    ratios = [log_times[1:] - log_times[0] for log_times in of_workload]
    odd, even = (np.array([np.median(ratio[:, k::2], axis=1) for ratio in ratios]) for k in (0, 1))
    common = float(np.mean(odd * even))
    of_half = np.mean((odd - even) ** 2) / 2
    rounds = ratios[0].shape[1] / 2
    return Spread(max(common, 0.0) ** 0.5, float(of_half * rounds * 2 / np.pi) ** 0.5)


def time_of(results: Results, processes: int, rounds: int) -> float:
    """Seconds that a calibration would have taken with other numbers of processes and rounds.

    It has to have at least four processes: the first two compile, and when the last one ended is not known.
    """
    count = max(p for b in results.benchmarks for p in b.facts.process) + 1
    began_s, in_rounds_s, round_s = np.full(count, np.inf), np.zeros(count), np.zeros(count)
    for benchmarks in results.groups().values():
        started_s = np.array([b.facts.started_s for b in benchmarks])
        process = np.asarray(benchmarks[0].facts.process)
        for p in range(count):
            of_process_s = started_s[:, process == p]
            rounds_here = of_process_s.shape[1]
            of_round_s = np.ptp(of_process_s) / (rounds_here - 1) * WITH_PIPELINED
            began_s[p] = min(began_s[p], of_process_s.min())
            in_rounds_s[p] += of_round_s * rounds_here
            round_s[p] += of_round_s
    other_s = np.diff(began_s) - in_rounds_s[:-1]
    later_s = other_s[2:].mean() + rounds * round_s.mean()
    return float(other_s[:2].sum() + 2 * rounds * round_s.mean() + (processes - 2) * later_s)


def _draw(rng: np.random.Generator, of_workload: list[Samples], rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """The log-ratios of an arm and of a duplicate to a baseline, in one process."""
    log_times = of_workload[rng.integers(len(of_workload))]
    baseline, arm, duplicate = rng.choice(len(log_times), 3, replace=False)
    drawn = log_times[:, rng.integers(log_times.shape[1], size=rounds)]
    return drawn[arm] - drawn[baseline], drawn[duplicate] - drawn[baseline]


def _shifted(effect: Effect, by: float) -> Effect:
    return replace(effect, log_ratio=effect.log_ratio + by, low=effect.low + by, high=effect.high + by)
