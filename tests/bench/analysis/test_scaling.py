"""What more devices gain, from samples whose ratios are known."""

import msgspec
import numpy as np
import pytest
from support.runs import make_arm, make_benchmark, make_results, plan, with_benchmarks, with_facts
from trigru.bench.analysis.answer import answer
from trigru.bench.analysis.pairs import overheads
from trigru.bench.analysis.sight import sight
from trigru.bench.analysis.speedups import scalings, speedups
from trigru.bench.analysis.tidy import timings
from trigru.bench.reporting.times import timing_tables
from trigru.common.errors import UnavailableError
from trigru.common.port.spread import spread_of

PROCESS = np.repeat(np.arange(6), 8)


def spread(name, devices, way="placed", *, division="stock"):
    arm = make_arm(name, "medium", "train_step", division)
    return msgspec.structs.replace(arm, devices=devices, way=way, role="arm")


def alone(name, *, division="stock"):
    return make_arm(name, "medium", "train_step", division)


def results(rng, times, *, division="stock"):
    """Arms by name, and devices and way where they have several, with the time of each."""
    machine = rng.lognormal(0, 0.3, len(PROCESS))
    found = []
    for (name, *where), time_s in times.items():
        arm = spread(name, *where, division=division) if where else alone(name, division=division)
        noisy = time_s * machine * rng.lognormal(0, 1e-3, len(PROCESS))
        found.append(make_benchmark(arm, noisy, PROCESS, floor=0.02, ratio=time_s))
    return make_results(found, plan=plan(workloads=("medium",), devices=(1, 2, 4)))


TIMES = {("pure[jit]",): 1.0, ("pure[jit]#2",): 1.0, ("linen[apply]",): 3.0,
         ("linen[apply]", 2, "placed"): 6.0, ("linen[apply]", 2, "shard_map"): 2.0,
         ("linen[apply]", 4, "placed"): 3.01}  # fmt: skip


def test_a_speedup_is_work_in_a_time_over_that_of_the_same_arm_on_one_device(rng):
    found = scalings(results(rng, TIMES))
    assert [s.benchmark.name for s in found] == [
        "linen[apply] on 2, placed", "linen[apply] on 2, shard_map", "linen[apply] on 4, placed"
    ]  # fmt: skip
    assert {s.other.name for s in found} == {"linen[apply]"}
    for s, speedup, verdict in zip(found, (0.5, 1.5, 1.0), ("slower", "faster", "indistinguishable"), strict=True):
        assert s.ratio.ratio == pytest.approx(speedup, rel=1e-2)
        assert s.ratio.low <= s.ratio.ratio <= s.ratio.high
        assert s.verdict == verdict


def test_kernels_are_compared_with_themselves_on_one_device(rng):
    times = {("pure[jit]",): 1.0, ("pure[jit]#2",): 1.0, ("pure[jit]:fused",): 0.5,
             ("pure[jit]", 2, "placed"): 2.0, ("pure[jit]:fused", 2, "placed"): 0.25}  # fmt: skip
    run = results(rng, times, division="fused")
    assert {s.benchmark.name: round(s.ratio.ratio, 1) for s in scalings(run)} == {
        "pure[jit] on 2, placed": 0.5, "pure[jit]:fused on 2, placed": 2.0
    }  # fmt: skip
    (kernel,) = speedups(run)
    assert kernel.ratio.ratio == pytest.approx(2.0, rel=1e-2), "on one device"


def test_an_arm_that_has_no_number_on_one_device_has_no_speedup(rng):
    times = {key: value for key, value in TIMES.items() if key != ("linen[apply]",)}
    assert scalings(results(rng, times)) == []


def test_arms_on_several_devices_stand_in_no_other_table(rng):
    run = results(rng, TIMES)
    assert {o.benchmark.name for o in overheads(run)} == {"linen[apply]"}
    rows = answer(run).rows
    assert len(rows) == 1
    (cell,) = rows[0].cells["functional"].values()
    assert cell.ratio == pytest.approx(3.0)
    (linen,) = (row for row in timings([run], styles=["functional"]) if row.port == "linen")
    assert linen.time_s == pytest.approx(np.median(run.benchmarks[2].time_s))
    assert not [row for section in timing_tables(run) for row in section.rows if " on " in row[0]]
    few = results(rng, {key: value for key, value in TIMES.items() if len(key) == 1})
    assert sight(run).keys() == sight(few).keys()
    wide = [with_facts(b, ratio_high=9 * b.ratio) if b.arm.way else b for b in run.benchmarks]
    assert sight(with_benchmarks(run, wide)) == sight(run), "what several devices do says nothing of what one shows"


def test_more_devices_than_there_are_is_a_reason():
    arm = spread("pure[jit]", 64)
    with pytest.raises(UnavailableError, match="64 devices were asked for, and there are"):
        spread_of(arm.devices, arm.way)
