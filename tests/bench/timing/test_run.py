"""From samples to facts: with a clock that says what the test wants, every published number is known."""

import msgspec
import numpy as np
import pytest
from trigru.bench.analysis.statistics import compare, noise_floor
from trigru.bench.arms.plan import Plan
from trigru.bench.timing import worker
from trigru.bench.timing.sampling import Samples, WarmUp

PLAN = Plan(("tiny",), ("forward",), ("pure", "linen"), processes=2, rounds=6, sample_time_s=3e-4, seed=7)
PROCESS = 6 * [0] + 6 * [1]


@pytest.fixture
def clock(monkeypatch):
    """Times that are known: the baseline 1 s, its duplicate about 1.05 s, linen 1.02 s or as set."""
    asked = []
    linen = {"factor": 1.02}
    rng = np.random.default_rng(0)
    machine = rng.lognormal(0, 0.2, 12)
    duplicate = 1.05 * machine * rng.lognormal(0, 0.01, 12)

    def sample_rounds(arms, rounds, **options):
        start = 6 * (len(asked) % 2)
        asked.append((rounds, options))
        times = [machine, duplicate, linen["factor"] * machine]
        return [
            Samples(t[start:][:rounds], np.array([0.1]), 5, np.arange(rounds) % 3, 1e9 + t[:rounds], warm)
            for t, warm in zip(times, options["warm"], strict=True)
        ]

    monkeypatch.setattr(worker, "sample_rounds", sample_rounds)
    linen.update(asked=asked, machine=machine, duplicate=duplicate)
    return linen


@pytest.fixture
def measured(measure):
    """Measure the plan; returns the benchmarks."""

    def measured(plan=PLAN):
        results = measure(plan)
        assert results.untimed == []
        return results.benchmarks

    return measured


def test_ratios_are_time_over_the_baselines_time(clock, measured):
    pure, again, linen = (b.facts for b in measured())
    assert linen.ratio == pytest.approx(1.02, rel=1e-5)
    assert linen.ratio_low == pytest.approx(1.02, rel=1e-4)
    assert pure.ratio == 1
    expected = compare(clock["duplicate"], clock["machine"], PROCESS, seed=7)
    np.testing.assert_allclose((again.ratio, again.ratio_low, again.ratio_high), tuple(vars(expected).values()), 1e-4)


def test_the_floor_is_the_duplicates_and_the_verdict_heeds_it(clock, measured):
    floor = noise_floor(compare(clock["duplicate"], clock["machine"], PROCESS, seed=7), processes=2)
    assert floor > 0.02
    found = measured()
    assert [b.facts.floor for b in found] == pytest.approx([floor] * 3, rel=1e-3)
    assert found[2].facts.verdict == "indistinguishable"
    clock["factor"] = 2
    assert measured()[2].facts.verdict == "slower"
    clock["factor"] = 0.5
    assert measured()[2].facts.verdict == "faster"


def test_each_arm_keeps_its_own_samples_and_program(clock, measured):
    pure, _, linen = measured()
    np.testing.assert_allclose(linen.time_s, 1.02 * clock["machine"], rtol=1e-5)
    assert linen.stats["median"] == pytest.approx(1.02 * pure.stats["median"], rel=1e-5)
    assert linen.facts.program.dots == 6
    assert pure.facts.program.dots == 2
    assert pure.facts.program.fingerprint != linen.facts.program.fingerprint
    assert linen.facts.leaves == 11
    assert linen.facts.calls == [5, 5]
    assert linen.facts.process == PROCESS
    assert linen.facts.position == [0, 1, 2] * 4
    assert linen.facts.pipelined_s == [0.1, 0.1]
    assert len(linen.facts.started_s) == 12


def test_the_clock_is_set_by_the_plan(clock, measured):
    measured()
    (rounds, first), (_, second) = clock["asked"]
    assert rounds == 6
    assert first["sample_time_s"] == 3e-4
    assert (first["seed"], second["seed"]) == (7, 8), "each process has orders of its own"


def test_a_train_step_carries_the_optimisers_state_and_more_products(clock, measured):
    found = measured(msgspec.structs.replace(PLAN, phases=("forward", "train_step"), processes=1))
    for before, after in zip(found[:3], found[3:], strict=True):
        assert after.facts.program.dots > before.facts.program.dots
        assert after.facts.flops > 2 * before.facts.flops
        # Adam: a count and two moments of each parameter
        assert after.facts.leaves == 3 * before.facts.leaves + 1


def test_what_a_warm_up_found_is_reported(clock, measured, monkeypatch):
    monkeypatch.setattr(worker, "warm_up", lambda ready, time_s: WarmUp(17, ready.arm.port == "pure", 1e-4))
    pure, _, linen = measured()
    assert pure.facts.warm_up_calls == [17, 17]
    assert pure.facts.steady == [True, True]
    assert linen.facts.steady == [False, False]


def test_one_time_step_counts_as_one_for_each_sequence(clock, measured):
    plan = msgspec.structs.replace(PLAN, workloads=("vowels",), phases=("step",), processes=1)
    assert measured(plan)[0].facts.steps == 32


def test_progress_adds_up_to_the_whole(clock, measure):
    shares = []
    measure(PLAN, lambda what, share: shares.append(share))
    assert 0.5 - 1e-9 <= sum(shares) <= 1 + 1e-9
