"""Interleaving, blocking and the guards around the clock."""

import gc
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.bench.timing import sampling
from trigru.bench.timing.sampling import CPU, WarmUp, sample_rounds


class Arm:
    """What the clock sees of a function."""

    def __init__(self, call):
        self.call = call

    def wait(self, outputs):
        return jax.block_until_ready(outputs)


def scheduled(arms, sample_time_s=0.0, calibration=CPU):
    """The schedule of arms, after their warm-up."""
    warmed = [sampling.warm_up(arm, sample_time_s, calibration) for arm in arms]
    return sampling.schedule_of(warmed, sample_time_s, calibration)


@pytest.mark.parametrize("arms", [2, 3, 4, 7, 11])
def test_each_arm_takes_each_position_and_follows_each_other_equally_often(arms):
    orders = np.stack(list(sampling.balanced_orders(arms, 2 * arms, seed=2)))
    assert all(sorted(order) == list(range(arms)) for order in orders.tolist())
    places = np.array(
        [
            [np.sum(orders[:arms, place] == arm) for place in range(arms)]
            for arm in range(arms)
        ]
    )
    assert (places == 1).all()
    follows = np.zeros((arms, arms), int)
    for order in orders:
        np.add.at(follows, (order[:-1], order[1:]), 1)
    assert set(follows[~np.eye(arms, dtype=bool)]) == {2}
    assert len(list(sampling.balanced_orders(arms, 7, seed=1))) == 7


def test_orders_are_shuffled_and_seeded():
    orders = np.stack(list(sampling.balanced_orders(11, 33, seed=3)))
    moves = {
        tuple(after[np.argsort(before)]) for before, after in pairwise(orders[:11])
    }
    assert len(moves) > 2, "the rows of the square come in their order"
    first, third = (
        {pair for order in orders[at : at + 11].tolist() for pair in pairwise(order)}
        for at in (0, 22)
    )
    assert first != third, "the same arms are neighbours in all squares"
    first, again, other = (
        np.stack(list(sampling.balanced_orders(5, 10, seed))).tolist()
        for seed in (0, 0, 1)
    )
    assert first == again != other


def test_arms_run_interleaved_without_garbage_collection():
    log = []
    jnp.zeros(())
    gc.freeze()  # as in a measuring process
    arms = [
        Arm(lambda name=name: log.append((name, gc.isenabled())) or jnp.zeros(()))
        for name in "abc"
    ]
    schedule = scheduled(arms)
    assert schedule.calls == {"blocked": [1] * 3, "pipelined": [4] * 3}
    found = sample_rounds(arms, 6, schedule)
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
    timed = log[-18 - 2 * 3 * 4 :][
        :18
    ]  # after the warm-up; then two rounds of four calls without waiting
    assert {enabled for _, enabled in timed} == {False}
    assert gc.isenabled()
    orders = sampling.balanced_orders(3, 6, seed=0)
    assert [name for name, _ in timed] == [
        "abc"[index] for order in orders for index in order
    ]
    assert all(len(s["blocked"]) == 6 and min(s["blocked"]) > 0 for s in found)


def test_an_arm_that_compiles_or_raises_while_timed_loses_its_own_numbers_alone():
    size, calls = iter(range(1, 1000)), iter(range(1000))
    jnp.zeros(())

    def breaks_down():
        if next(calls) > 6:
            raise MemoryError("out of memory")
        return jnp.zeros(())

    arms = [
        lambda: jax.jit(lambda x: x * 2)(np.zeros(next(size), "f4")),
        breaks_down,
        lambda: jnp.zeros(()),
    ]
    schedule = sampling.schedule_of([WarmUp(True, 1.0)] * 3, 0.0)
    compiled, failed, fine = sample_rounds([Arm(call) for call in arms], 8, schedule)
    assert gc.get_freeze_count() == 0
    assert isinstance(compiled, sampling.CompiledWhileTimingError)
    assert isinstance(failed, MemoryError)
    assert len(fine["blocked"]) == 8
    assert min(fine["blocked"]) > 0
    assert gc.isenabled()


def test_arms_are_warm_before_the_clock_counts(virtual):
    called = []

    def arm():
        called.append(
            virtual.pass_s(0.05 * 0.6 ** min(len(called) + 1, 5))
        )  # faster each time, as caches fill

    found = sampling.warm_up(Arm(arm), sample_time_s=0.0)
    assert found.steady
    assert len(called) == 7
    assert found.call_time_s == pytest.approx(0.05 * 0.6**5, rel=1e-3)


def test_steady_stretches_that_a_faster_one_parts_do_not_end_a_warm_up(virtual):
    left = iter([1e-3, 1e-3, 5e-4, 5e-4, 2e-4, 2e-4, 2e-4])
    assert sampling.warm_up(
        Arm(lambda: virtual.pass_s(next(left))), sample_time_s=0.0
    ).steady
    assert not [*left]


def test_a_warm_up_that_does_not_end_is_reported(virtual, monkeypatch):
    monkeypatch.setattr("trigru.bench.timing.sampling.MAX_WARM_UP_S", 0.2)
    delay_s = iter(np.geomspace(0.1, 0.01, 50))
    assert not sampling.warm_up(
        Arm(lambda: virtual.pass_s(next(delay_s))), sample_time_s=0.0
    ).steady


class Queue:
    """An arm of an asynchronous device: a call returns after its dispatch, and its
    result is ready later.
    """

    def __init__(self, clock, dispatch_s, device_s):
        self.clock, self.dispatch_s, self.device_s = clock, dispatch_s, device_s

    def call(self):
        self.clock.now_s += self.dispatch_s
        self.clock.free_s = max(self.clock.free_s, self.clock.now_s) + self.device_s
        return self.clock.free_s

    def wait(self, outputs):
        self.clock.now_s = max(
            self.clock.now_s, *(outputs if isinstance(outputs, list) else [outputs])
        )


class Clock:
    """In place of `time`: it moves by what is done, and by a nanosecond when it is
    looked at.
    """

    now_s = free_s = 0.0

    def pass_s(self, seconds):
        self.now_s += seconds

    def perf_counter_ns(self):
        self.now_s += 1e-9
        return round(self.now_s * 1e9)


@pytest.fixture
def virtual(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("trigru.bench.timing.sampling.time", clock)
    return clock


def test_on_an_accelerator_throughput_leads_and_latency_is_the_other_clock(virtual):
    """Dispatch of 60 µs hides behind 100 µs of a device, and 200 µs of dispatch does
    not.
    """
    arms = [Queue(virtual, 60e-6, 100e-6), Queue(virtual, 200e-6, 100e-6)]
    schedule = scheduled(arms, 1e-3, sampling.ACCELERATOR)
    facts = zip(
        sample_rounds(arms, 8, schedule), schedule.calls["pipelined"], strict=True
    )
    for (found, calls), throughput_s, latency_s in zip(
        facts, (100e-6, 200e-6), (160e-6, 300e-6), strict=True
    ):
        assert [(clock, len(of)) for clock, of in found.items()] == [
            ("pipelined", 8),
            ("blocked", 2),
        ]
        np.testing.assert_allclose(found["pipelined"], throughput_s, rtol=1e-2)
        np.testing.assert_allclose(found["blocked"], latency_s, rtol=1e-2)
        assert calls >= 50
        assert calls * min(found["pipelined"]) >= 0.99 * 50e-3
    assert sampling.ACCELERATOR.calls(WarmUp(True, 1.0), 1e-3) == 50, (
        "however long they take"
    )
    began_s = virtual.now_s
    sampling.warm_up(arms[0], 1e-3, sampling.ACCELERATOR)
    assert virtual.now_s - began_s >= 0.99, (
        "a second of warm-up, while the clock rate rises"
    )


def test_on_a_cpu_what_is_waited_for_leads(virtual):
    shares, arms = [], [Queue(virtual, 0.0, 9.0)] * 2
    sample_rounds(arms, 4, scheduled(arms, 1e-3), progress=shares.append)
    assert shares == pytest.approx([1 / 8] * 4 + [1 / 4] * 2), (
        "of the time, also within a long round"
    )
    arms = [Queue(virtual, 60e-6, 100e-6)]
    schedule = scheduled(arms, 1e-3)
    assert schedule.calls["blocked"] == [7]
    (found,) = sample_rounds(arms, 8, schedule)
    assert [(clock, len(of)) for clock, of in found.items()] == [
        ("blocked", 8),
        ("pipelined", 2),
    ]
    np.testing.assert_allclose(found["blocked"], 160e-6, rtol=1e-3)
    np.testing.assert_allclose(found["pipelined"], (7 * 100e-6 + 60e-6) / 7, rtol=1e-3)


@pytest.mark.parametrize(
    ("clock", "calls", "rounds"), [("blocked", 1, (5, 2)), ("pipelined", 4, (2, 5))]
)
def test_a_call_that_fills_a_sample_is_one_of_four_in_flight(
    virtual, clock, calls, rounds
):
    arms = [Queue(virtual, 1.0, 9.0)]
    schedule = scheduled(arms, 1e-3, sampling.Calibration(clock))
    assert schedule.calls[clock] == [calls]
    (times,) = sample_rounds(arms, 5, schedule)
    assert (len(times["blocked"]), len(times["pipelined"])) == rounds
    np.testing.assert_allclose(times["blocked"], 10.0, rtol=1e-6)
    np.testing.assert_allclose(times["pipelined"], (4 * 9.0 + 1.0) / 4, rtol=1e-6)
