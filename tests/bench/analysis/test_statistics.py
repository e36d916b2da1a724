"""Intervals that cover, verdicts that hold back."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t
from trigru.bench.analysis import statistics
from trigru.bench.analysis.comparison import TimeComparison
from trigru.bench.analysis.statistics import (
    Effect,
    beyond_chance,
    compare,
    compare_effects,
    effect_of,
)


def test_the_interval_of_one_process_covers_the_truth_about_as_often_as_it_says(
    rng, monkeypatch
):
    """Less than share - 4 standard errors is seen once in thirty thousand runs.

    That of several is known by hand.
    """
    monkeypatch.setattr(statistics, "RESAMPLES", 500)  # enough for this, and faster
    share, trials = 0.93, 300
    found = [effect_of(rng.normal(0, 0.01, 44), seed=seed) for seed in range(trials)]
    covered = sum(e.low <= 0 <= e.high for e in found) / trials
    halved = (
        sum(e.low + e.log_ratio <= 0 <= e.high + e.log_ratio for e in found) / trials
    )
    assert share - 4 * (share * (1 - share) / trials) ** 0.5 <= covered
    assert halved < share, (
        "intervals of which half would do are too wide to say anything"
    )


@pytest.mark.parametrize("processes", [1, 2, 4, 5])
def test_two_to_four_processes_are_widened_no_others_and_no_arm_against_itself(
    rng, monkeypatch, processes
):
    process = np.repeat(np.arange(processes), 11)
    log_ratio = rng.normal(0, 0.01, processes)[process] + rng.normal(
        0, 0.01, len(process)
    )
    found, alike = (
        effect_of(log_ratio, process),
        effect_of(np.full(len(process), 0.25), process),
    )
    monkeypatch.setattr(statistics, "BETWEEN_RUNS", 0.0)
    own = effect_of(log_ratio, process)
    assert (found.log_ratio, found.standard_error) == (
        own.log_ratio,
        own.standard_error,
    )
    more = 1.959964 * 0.01 if 2 <= processes <= 4 else 0.0
    assert found.high - found.log_ratio == pytest.approx(
        np.hypot(own.high - own.log_ratio, more)
    )
    assert found.log_ratio - found.low == pytest.approx(
        np.hypot(own.log_ratio - own.low, more)
    )
    assert (alike.low, alike.log_ratio, alike.high) == (0.25, 0.25, 0.25)


def test_it_is_reproducible_and_the_bootstrap_the_seeds_own(rng):
    machine = np.exp(
        np.cumsum(rng.normal(0, 0.05, 40))
    )  # drifts, by the end by about a third
    slow, base = (
        factor * machine * rng.lognormal(0, 0.01, 40) for factor in (1.02, 1.0)
    )
    first = compare(slow, base, seed=3)
    statistics._bootstrap.cache_clear()
    assert compare(slow, base, seed=3) == first
    assert first.low < first.ratio < first.high
    assert len({compare(slow, base, seed=seed) for seed in range(8)}) > 1


def test_the_floor_is_the_reach_of_the_duplicates_interval_or_ratio():
    assert statistics.noise_floor(TimeComparison(1.0, 0.9, 1.05)) == pytest.approx(
        1 / 0.9 - 1
    )
    assert statistics.noise_floor(TimeComparison(1.0, 0.95, 1.2)) == pytest.approx(0.2)
    assert (
        statistics.noise_floor(TimeComparison(1.0, 0.999, 1.001))
        == statistics.MIN_FLOOR
    )
    assert statistics.noise_floor(
        TimeComparison(0.97, 0.9, 1.05), processes=2
    ) == pytest.approx(1 / 0.97 - 1)


def test_verdicts_at_the_very_thresholds():
    """At a floor of 1, a ratio of 2 or of a half is on it; an interval that ends at 1
    has 1 in it.
    """
    for ratio, low, high, expected in (
        (2.0, 1.5, 2.5, "indistinguishable"),
        (np.nextafter(2.0, 3.0), 1.5, 2.5, "slower"),
        (0.5, 0.4, 0.6, "indistinguishable"),
        (np.nextafter(0.5, 0.0), 0.4, 0.6, "faster"),
        (3.0, 1.0, 9.0, "indistinguishable"),
        (3.0, np.nextafter(1.0, 2.0), 9.0, "slower"),
        (0.3, 0.1, 1.0, "indistinguishable"),
        (0.3, 0.1, np.nextafter(1.0, 0.0), "faster"),
    ):
        assert (
            statistics.verdict(TimeComparison(ratio, low, high), floor=1.0) == expected
        )


def test_the_median_within_a_process_and_the_mean_over_processes_by_hand():
    """Medians 0 and 3 of uneven rounds, whose means are others; of any dtype."""
    rounds, process = np.array([-1, 0, 4, 2, 3, 10]), [0, 0, 0, 1, 1, 1]
    found = effect_of(rounds, process)
    assert found.log_ratio == 1.5
    assert found == effect_of(rounds.astype(">f8"), process)


def test_the_interval_of_processes_by_hand():
    """Six that agree within: Student's t of their medians, whose deviation is that of a
    sample.
    """
    medians = np.array(
        [0.0, 0.01, 0.03, 0.02, 0.05, 0.07]
    )  # their squared deviations from 0.03 add up to 0.0034
    found = effect_of(np.repeat(medians, 4), np.repeat(range(6), 4))
    assert found.standard_error == pytest.approx((0.0034 / 5 / 6) ** 0.5)
    reach = t.ppf(0.975, 5) * found.standard_error
    assert (found.log_ratio, found.low, found.high) == pytest.approx(
        (0.03, 0.03 - reach, 0.03 + reach)
    )


@pytest.mark.parametrize("between", [0.0, 0.01])
@pytest.mark.parametrize(
    ("processes", "freedom"),
    [((3, 5), 625 / (81 / 2 + 256 / 4)), ((1, 5), 625 / (256 / 4)), ((1, 1), np.inf)],
)
def test_the_interval_and_the_chance_of_a_change_by_hand(processes, freedom, between):
    """How runs differ is known beforehand, has no degrees of freedom, and is added for
    each of the two.

    At either end of the interval one in forty, and half where nothing moved; twice as
    far out, freedom decides.
    """
    new, old = (
        Effect(0.1, 0.0, 0.0, s, n, between)
        for s, n in zip((0.003, 0.004), processes, strict=True)
    )
    reach = np.hypot(t.ppf(0.975, freedom) * 0.005, 1.959964 * 2**0.5 * between)
    for ends, chance in (
        (0, 0.5),
        (1, 0.025),
        (-1, 0.975),
        (2, t.sf(2 * t.ppf(0.975, freedom), freedom)),
    ):
        moved = replace(new, log_ratio=0.1 + ends * reach)
        change, found = compare_effects(moved, old)
        expected = reach * (ends + np.array([0, -1, 1]))
        assert np.log((change.ratio, change.low, change.high)) == pytest.approx(
            expected, abs=1e-9
        )
        assert found == pytest.approx(chance, rel=2e-3), ends
    still = Effect(0.0, 0.0, 0.0, 0.0, 3)
    for shift, chance in ((0.1, 0.0), (0.0, 0.5), (-0.1, 1.0)):
        assert compare_effects(replace(still, log_ratio=shift), still)[1] == chance, (
            "without width there is none"
        )


def test_what_is_believed_of_many_by_hand():
    """The least first, each against 0.05 over how many are left, until one is not."""
    assert (beyond_chance([]), beyond_chance([0.05]), beyond_chance([0.051])) == (
        [],
        [True],
        [False],
    )
    assert beyond_chance([0.9, 0.012, 0.026, 0.009, 0.017]) == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert beyond_chance([0.011] * 5) == [False] * 5


def test_processes_resampled_at_once_are_each_resampled_as_if_alone(rng, monkeypatch):
    """Of several lengths, and one whose rounds are all equal.

    Their medians do not differ.
    """
    monkeypatch.setattr(statistics, "RESAMPLES", statistics.RESAMPLES_EACH)
    rounds = [rng.normal(0, 0.02, count) for count in (5, 7, 5, 9)] + [np.zeros(5)]
    rounds = [one - np.median(one) for one in rounds]
    found = effect_of(
        np.concatenate(rounds),
        np.repeat(np.arange(5), [len(one) for one in rounds]),
        seed=3,
    )
    alone = [effect_of(one, seed=3).standard_error for one in rounds]
    assert found.standard_error == pytest.approx(np.sqrt(np.sum(np.square(alone))) / 5)
    assert found.high == -found.low == pytest.approx(1.959964 * found.standard_error)
