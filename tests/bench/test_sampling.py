"""Interleaving, blocking and the guards around the clock."""

import gc
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.bench.sampling import CompiledWhileTimingError, balanced_orders, sample_rounds


@pytest.mark.parametrize(("arms", "rounds"), [(3, 3), (3, 9), (5, 7), (2, 11), (11, 44)])
def test_each_arm_takes_each_position_equally_often(arms, rounds):
    orders = np.stack(list(balanced_orders(arms, rounds, seed=1)))
    assert orders.shape == (rounds, arms)
    assert all(sorted(order) == list(range(arms)) for order in orders.tolist())
    counts = np.array([[np.sum(orders[:, place] == arm) for place in range(arms)] for arm in range(arms)])
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("arms", [2, 3, 4, 7, 11])
def test_each_arm_follows_each_other_equally_often(arms):
    orders = np.stack(list(balanced_orders(arms, 2 * arms, seed=2)))
    follows = np.zeros((arms, arms), int)
    for order in orders:
        np.add.at(follows, (order[:-1], order[1:]), 1)
    assert set(follows[~np.eye(arms, dtype=bool)]) == {2}


def test_rounds_and_arms_are_shuffled():
    orders = np.stack(list(balanced_orders(11, 22, seed=3)))
    steps = np.diff(orders[:11, 0])
    assert len(set(steps.tolist())) > 2, "the rows of the square come in their order"
    assert orders[0].tolist() != sorted(orders[0].tolist())


def test_orders_are_shuffled_and_seeded():
    first, again, other = (np.stack(list(balanced_orders(5, 10, seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[:5], first[5:])


def recorder(log, name):
    def arm():
        log.append((name, gc.isenabled()))
        return jnp.zeros(())

    return arm


def test_arms_run_interleaved_without_garbage_collection():
    log = []
    jnp.zeros(())
    found = sample_rounds([recorder(log, name) for name in "ab"], 6, sample_time_s=0.0)
    timed = log[-12:]  # after warm-up and calibration; one call a sample
    assert {enabled for _, enabled in timed} == {False}
    rounds = [{name for name, _ in timed[i : i + 2]} for i in range(0, 12, 2)]
    assert rounds == [{"a", "b"}] * 6
    assert [s.calls for s in found] == [1, 1]
    assert all(s.time_s.shape == (6,) and (s.time_s > 0).all() for s in found)
    assert sorted(found[0].position + found[1].position) == [1] * 6
    assert gc.isenabled()


def test_a_sample_is_as_long_as_asked_for():
    def arm():
        time.sleep(1e-3)
        return jnp.zeros(())

    (found,) = sample_rounds([arm], 2, sample_time_s=30e-3)
    assert 3 <= found.calls <= 30  # fewer where a busy machine stretches the sleep
    assert 1e-3 <= found.time_s.min() < 10e-3, "seconds a call, not a sample"


def test_the_clock_waits_for_the_outputs():
    """Dispatch returns at once; a sample that did not block would be far shorter than the work."""
    matrix = jnp.ones((600, 600))

    @jax.jit
    def work(m):
        return jax.lax.fori_loop(0, 60, lambda _, m: m @ matrix / 600, m)

    (found,) = sample_rounds([lambda: work(matrix)], 3, sample_time_s=0.0)
    start = time.perf_counter()
    work(matrix).block_until_ready()
    assert found.time_s.min() > (time.perf_counter() - start) / 5


def test_a_compilation_inside_the_clock_fails_the_run():
    size = iter(range(1, 1000))
    with pytest.raises(CompiledWhileTimingError, match="XLA compiled"):
        sample_rounds([lambda: jax.jit(lambda x: x * 2)(np.zeros(next(size), "f4"))], 3, sample_time_s=0.0)
    assert gc.isenabled()


def test_every_call_is_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(jax, "block_until_ready", lambda outputs: waited.append(outputs) or outputs)
    made = []
    (found,) = sample_rounds([lambda: made.append(time.sleep(1e-3)) or len(made)], 2, sample_time_s=20e-3)
    assert found.calls > 1
    assert waited == list(range(1, len(made) + 1)), "each call's own output, before the next call"


def test_arms_are_warm_before_the_clock_counts():
    calls = []

    def arm():
        calls.append(time.perf_counter())
        if len(calls) <= 6:
            time.sleep(0.05)  # as the first calls do, while warming up and while their time is taken
        return jnp.zeros(())

    (found,) = sample_rounds([arm], 3, sample_time_s=0.0)
    assert np.median(found.time_s) < 0.05


def test_positions_are_those_that_the_arms_ran_in():
    log = []
    found = sample_rounds([recorder(log, name) for name in "abc"], 6, sample_time_s=0.0)
    rounds = [log[-18:][i : i + 3] for i in range(0, 18, 3)]
    for number, order in enumerate(rounds):
        for place, (name, _) in enumerate(order):
            assert found["abc".index(name)].position[number] == place
