"""Intervals that cover, verdicts that hold back."""

import numpy as np
import pytest
from trigru.bench.statistics import MIN_FLOOR, Comparison, compare, noise_floor, verdict


def paired(rng, ratio, rounds=40, noise=0.01):
    machine = np.exp(np.cumsum(rng.normal(0, 0.05, rounds)))  # drifts, by the end by about a third
    return [factor * machine * rng.lognormal(0, noise, rounds) for factor in (ratio, 1.0)]


def test_drift_of_the_machine_cancels(rng):
    slow, base = paired(rng, 1.1)
    found = compare(slow, base)
    assert found.low < 1.1 < found.high
    assert found.high - found.low < 0.02
    assert np.std(np.log(base)) > 0.1


@pytest.mark.parametrize("ratio", [1.0, 1.05])
def test_intervals_cover_the_truth_as_often_as_they_say(rng, ratio):
    """Of 300 intervals at 95 %, 285 should cover; a binomial falls below 271 once in ten thousand runs."""
    covered = 0
    for seed in range(300):
        found = compare(*paired(rng, ratio), seed=seed)
        covered += found.low <= ratio <= found.high
    assert covered >= 271


def test_a_spike_in_one_round_moves_nothing_much(rng):
    slow, base = paired(rng, 1.0)
    slow[3] *= 50
    assert compare(slow, base).ratio == pytest.approx(1, abs=0.01)


def test_it_is_reproducible(rng):
    slow, base = paired(rng, 1.02)
    assert compare(slow, base, seed=3) == compare(slow, base, seed=3)


def test_an_arm_against_itself_is_exactly_one(rng):
    _, base = paired(rng, 1.0)
    assert compare(base, base) == Comparison(1.0, 1.0, 1.0)


def test_the_floor_reaches_as_far_as_the_duplicates_interval():
    assert noise_floor(Comparison(1.0, 0.9, 1.05)) == pytest.approx(1 / 0.9 - 1)
    assert noise_floor(Comparison(1.0, 0.999, 1.001)) == MIN_FLOOR


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (Comparison(1.10, 1.08, 1.12), "slower"),
        (Comparison(0.90, 0.88, 0.92), "faster"),
        (Comparison(1.10, 0.99, 1.20), "indistinguishable"),  # the interval has 1 in it
        (Comparison(1.015, 1.01, 1.018), "indistinguishable"),  # clean, but below the floor
        (Comparison(0.985, 0.98, 0.99), "indistinguishable"),
        (Comparison(1.0, 1.0, 1.0), "indistinguishable"),
    ],
)
def test_verdicts(comparison, expected):
    assert verdict(comparison, floor=0.02) == expected
