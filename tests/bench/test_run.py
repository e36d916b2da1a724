"""From samples to facts: with a clock that says what the test wants, every published number is known."""

from dataclasses import replace

import numpy as np
import pytest
from trigru.bench import run as run_module
from trigru.bench.run import Plan, run
from trigru.bench.sampling import Samples
from trigru.bench.statistics import compare, noise_floor

PLAN = Plan(("tiny",), ("forward",), ("pure", "linen"), rounds=12, sample_time_s=3e-4, seed=7)


@pytest.fixture
def clock(monkeypatch):
    """Times that are known: the baseline 1 s, its duplicate 1 s give or take 5 %, linen 1.02 s or as set."""
    asked = []
    linen = {"factor": 1.02}
    rng = np.random.default_rng(0)
    machine = rng.lognormal(0, 0.2, 12)
    duplicate = machine * rng.lognormal(0, 0.05, 12)

    def sample_rounds(arms, rounds, **options):
        asked.append((rounds, options))
        times = [machine, duplicate, linen["factor"] * machine][: len(arms)]
        return [Samples(t[:rounds], 5, np.arange(rounds) % len(arms)) for t in times]

    monkeypatch.setattr(run_module, "sample_rounds", sample_rounds)
    linen.update(asked=asked, machine=machine, duplicate=duplicate)
    return linen


def measured(plan=PLAN):
    (found, untimed), *_ = run(plan, lambda what, share: None)
    assert untimed == []
    return found


def test_ratios_are_time_over_the_baselines_time(clock):
    pure, again, linen = (b.facts for b in measured())
    assert linen.ratio == pytest.approx(1.02)
    assert linen.ratio_low == pytest.approx(1.02)
    assert pure.ratio == 1
    assert (again.ratio, again.ratio_low, again.ratio_high) == tuple(
        vars(compare(clock["duplicate"], clock["machine"], seed=7)).values()
    )


def test_the_floor_is_the_duplicates_and_the_verdict_heeds_it(clock):
    floor = noise_floor(compare(clock["duplicate"], clock["machine"], seed=7))
    assert floor > 0.02
    found = measured()
    assert {b.facts.floor for b in found} == {floor}
    assert found[2].facts.verdict == "indistinguishable"
    clock["factor"] = 1.5
    assert measured()[2].facts.verdict == "slower"
    clock["factor"] = 0.5
    assert measured()[2].facts.verdict == "faster"


def test_each_arm_keeps_its_own_samples_and_program(clock):
    pure, _, linen = measured()
    np.testing.assert_array_equal(linen.time_s, 1.02 * clock["machine"])
    assert linen.stats["median"] == pytest.approx(1.02 * pure.stats["median"])
    assert linen.facts.dots == 6
    assert pure.facts.dots == 2
    assert linen.facts.leaves == 11
    assert linen.facts.calls == 5
    assert linen.facts.position == [0, 1, 2] * 4


def test_the_clock_is_set_by_the_plan(clock):
    measured()
    rounds, options = clock["asked"][-1]
    assert rounds == 12
    assert options["sample_time_s"] == 3e-4
    assert options["seed"] == 7


def test_a_train_step_carries_the_optimisers_state_and_more_products(clock):
    (forward, _), (train, _) = run(replace(PLAN, phases=("forward", "train_step")), lambda what, share: None)
    for before, after in zip(forward, train, strict=True):
        assert after.facts.dots > before.facts.dots
        # Adam: a count and two moments of each parameter
        assert after.facts.leaves == 3 * before.facts.leaves + 1


def test_progress_adds_up_to_the_whole(clock):
    shares = []
    list(run(PLAN, lambda what, share: shares.append(share)))
    assert 0.5 <= sum(shares) <= 1 + 1e-9
