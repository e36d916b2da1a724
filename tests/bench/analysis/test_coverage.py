"""How often intervals hold, where that is known."""

import numpy as np
import pytest
from support.runs import make_arm, make_benchmark, make_results
from trigru.bench.analysis.coverage import coverage

TRUTH = {"linen[apply]": 1.5, "nnx[split-merge]": 1.1}


def run(intervals):
    """Of the baseline and of arms with these intervals."""
    benchmarks = [make_benchmark(make_arm("pure[jit]"), [1.0] * 6)]
    benchmarks += [
        make_benchmark(make_arm(name), [1.0] * 6, ratio=(low * high) ** 0.5, ratio_low=low, ratio_high=high)
        for name, (low, high) in intervals.items()
    ]
    return make_results(benchmarks)


LONG = run({name: (ratio, ratio) for name, ratio in TRUTH.items()})
HOLDS, MISSES = {"linen[apply]": (1.4, 1.6), "nnx[split-merge]": (1.0, 1.2)}, {"linen[apply]": (1.6, 1.7)}


def test_every_arm_of_every_run_counts_and_the_baseline_does_not():
    found = coverage([run(HOLDS), run(HOLDS), run(HOLDS | MISSES), run(MISSES)], LONG)
    assert (found.runs, found.intervals) == (4, 7)
    assert found.share == pytest.approx(5 / 7)
    arms = {
        f"tiny/forward/float32/stock/{name}": share for name, share in (("linen[apply]", 0.5), ("nnx[split-merge]", 1))
    }
    assert found.by_arm == arms
    assert found.width == pytest.approx(np.expm1(np.median(
        [np.log(1.6 / 1.4) / 2] * 2 + [np.log(1.2) / 2] * 3 + [np.log(1.7 / 1.6) / 2] * 2
    )))  # fmt: skip


def test_the_interval_is_of_whole_runs():
    """Ten arms that miss together are one accident, not ten."""
    good, bad = run(HOLDS), run({"linen[apply]": (1.6, 1.7), "nnx[split-merge]": (1.2, 1.3)})
    found = coverage([good] * 9 + [bad], LONG)
    assert found.share == pytest.approx(0.9)
    drawn = np.random.default_rng(1).binomial(10, 0.9, 100_000) / 10
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.051)


def test_the_interval_is_one_of_95_percent():
    bad = run({"linen[apply]": (1.6, 1.7), "nnx[split-merge]": (1.2, 1.3)})
    found = coverage([run(HOLDS)] * 20 + [bad] * 20, LONG)
    drawn = np.random.default_rng(1).binomial(40, 0.5, 100_000) / 40
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_runs_of_other_arms_say_nothing():
    with pytest.raises(ValueError, match="no arm in common"):
        coverage([run({"equinox[partition]": (1.0, 1.1)})], LONG)
