"""What a run can see is what it finds four times in five."""

import numpy as np
import pytest
from support.runs import make_arm, make_benchmark
from trigru.bench.analysis.answer import least_seen
from trigru.bench.analysis.statistics import MIN_FLOOR, as_ratio, effect_of, verdict

TRIALS = 200
#: Standard deviations of the log-ratio of two samples of one round, as in the published calibrations.
BETWEEN_PROCESSES, BETWEEN_ROUNDS = 0.007, 0.032


def drawn(rng, processes, rounds):
    """The log-ratio of an arm to the baseline, in each round, and the rounds' processes.

    Few processes share what their run does to all of them.
    """
    process = np.repeat(range(processes), rounds)
    of_run = rng.normal(0, 0.01) if processes <= 4 else 0.0
    of_process = rng.normal(of_run, BETWEEN_PROCESSES, processes)
    return of_process[process] + rng.normal(0, BETWEEN_ROUNDS, len(process)), process


@pytest.mark.parametrize(("processes", "rounds"), [(4, 12), (10, 36)])
def test_what_a_run_can_see_is_found_four_times_in_five(rng, processes, rounds):
    draws, seen = [drawn(rng, processes, rounds) for _ in range(TRIALS)], []
    for log_ratio, process in draws:
        ratio = as_ratio(effect_of(log_ratio, process, resamples=60))
        b = make_benchmark(
            make_arm("linen[apply]"), np.exp(log_ratio), process,
            ratio=ratio.ratio, ratio_low=ratio.low, ratio_high=ratio.high, floor=MIN_FLOOR,
        )  # fmt: skip
        seen.append(least_seen(b))
    least = np.median(seen)
    assert least > MIN_FLOOR
    shifted = [as_ratio(effect_of(of + np.log1p(least), process, resamples=60)) for of, process in draws]
    found = [verdict(ratio, MIN_FLOOR) == "slower" for ratio in shifted]
    assert np.mean(found) == pytest.approx(0.8, abs=0.15)


def test_a_run_sees_nothing_below_its_noise_floor_and_less_with_fewer_processes():
    def of(low, high, floor, processes):
        found = {"ratio_low": low, "ratio_high": high, "floor": floor}
        return least_seen(make_benchmark(make_arm("linen[apply]"), np.ones(20), np.arange(20) % processes, **found))

    assert of(1.0, 1.0, 0.03, 5) == of(1.0, 1.0, 0.03, 1) == pytest.approx(0.03)
    assert of(1.0, 1.0, 0.03, 2) == pytest.approx(1.03 * np.exp(0.841621 * 0.01) - 1), "runs of two differ by 1 %"
    assert of(0.98, 1.02, 0.03, 5) > 0.03
    assert 0.1 < of(0.9, 1.1, 0.01, 5) < 0.2
