"""What kernels and devices gain, in a group and over groups, from results whose ratios are known."""

import msgspec
import numpy as np
import pytest
from support.runs import draw_kernels, make_arm, make_benchmark, make_results, plan, with_benchmarks, with_facts
from trigru.bench.analysis.answer import answer, sight
from trigru.bench.analysis.pairs import best_ceilings, mean_speedup, means_of, speedups
from trigru.bench.analysis.tidy import timings
from trigru.bench.reporting.times import timing_tables
from trigru.bench.results.run import Ceilings

PROCESS = np.repeat(np.arange(6), 8)
#: By the name of an arm and, on several devices, their number and way: its time.
TIMES = {("pure[jit]",): 1.0, ("pure[jit]#2",): 1.0, ("linen[apply]",): 3.0,
         ("linen[apply]", 2, "placed"): 6.0, ("linen[apply]", 2, "shard_map"): 2.0,
         ("linen[apply]", 4, "placed"): 3.01}  # fmt: skip


def on_devices(rng, times, division="stock"):
    """A group on a machine that drifts."""
    machine, found = rng.lognormal(0, 0.3, len(PROCESS)), []
    for (name, *where), time_s in times.items():
        arm = make_arm(name, "medium", "train_step", division)
        if where:
            arm = msgspec.structs.replace(arm, devices=where[0], way=where[1], role="arm")
        noisy = time_s * machine * rng.lognormal(0, 1e-3, len(PROCESS))
        found.append(make_benchmark(arm, noisy, PROCESS, floor=0.02, ratio=time_s))
    return make_results(found, plan=plan(workloads=("medium",), devices=(1, 2, 4)))


def test_a_speedup_on_devices_is_over_the_same_arm_on_one(rng):
    found = speedups(on_devices(rng, TIMES), "one device")
    assert [(s.arm, s.other.name, s.verdict) for s in found] == [
        ("linen[apply] on 2, placed", "linen[apply]", "slower"),
        ("linen[apply] on 2, shard_map", "linen[apply]", "faster"),
        ("linen[apply] on 4, placed", "linen[apply]", "indistinguishable"),
    ]
    for s, speedup in zip(found, (0.5, 1.5, 1.0), strict=True):
        assert s.ratio.ratio == pytest.approx(speedup, rel=1e-2)
        assert s.ratio.low <= s.ratio.ratio <= s.ratio.high
    alone = {key: value for key, value in TIMES.items() if key != ("linen[apply]",)}
    assert speedups(on_devices(rng, alone), "one device") == []


def test_kernels_are_compared_with_themselves_on_one_device(rng):
    times = {("pure[jit]",): 1.0, ("pure[jit]#2",): 1.0, ("pure[jit]:fused",): 0.5,
             ("pure[jit]", 2, "placed"): 2.0, ("pure[jit]:fused", 2, "placed"): 0.25}  # fmt: skip
    run = on_devices(rng, times, "fused")
    assert {s.benchmark.name: round(s.ratio.ratio, 1) for s in speedups(run, "one device")} == {
        "pure[jit] on 2, placed": 0.5, "pure[jit]:fused on 2, placed": 2.0
    }  # fmt: skip
    (kernel,) = speedups(run)
    assert kernel.ratio.ratio == pytest.approx(2.0, rel=1e-2), "on one device"


def test_arms_on_several_devices_stand_in_no_other_table(rng):
    run = on_devices(rng, TIMES)
    (row,) = answer(run).rows
    assert [cell.ratio for cell in row.cells["functional"].values()] == pytest.approx([3.0])
    (linen,) = (row for row in timings([run], styles=["functional"]) if row.port == "linen")
    assert linen.time_s == pytest.approx(np.median(run.benchmarks[2].time_s))
    assert not [row for section in timing_tables(run) for row in section.rows if " on " in row[0]]
    wide = [with_facts(b, ratio_high=9 * b.ratio) if b.arm.way else b for b in run.benchmarks]
    assert sight(with_benchmarks(run, wide)) == sight(run), "what several devices do says nothing of what one shows"


def test_the_floor_of_a_mean_is_the_mean_of_its_floors(rng):
    of_pure = [s for s in speedups(draw_kernels(rng)) if (s.arm, s.benchmark.arm.phase) == ("pure[jit]", "forward")]
    floors = (0.01, 0.02, 0.3)
    mean = mean_speedup([msgspec.structs.replace(s, floor=floor) for s, floor in zip(of_pure, floors, strict=True)])
    assert [m.groups for m in means_of(of_pure[:2])] == [2]
    assert mean.groups == 3
    assert mean.floor == pytest.approx(np.prod(np.add(1, floors)) ** (1 / 3) - 1)


def test_each_style_is_compared_with_its_own_stock_arm(rng):
    results = draw_kernels(rng)
    assert {s.temp_share for s in speedups(results)} == {0.25}
    without = [b for b in results.benchmarks if b.name != "nnx[nnx.jit]"]
    assert {s.benchmark.arm.port for s in speedups(with_benchmarks(results, without))} == {"pure"}
    others = [
        make_benchmark(
            make_arm(b.name.replace("nnx.jit", "pytree"), str(b.arm.workload), b.arm.phase, b.arm.division),
            3 * b.time_s, b.process,
        )
        for b in results.benchmarks if b.arm.port == "nnx"
    ]  # fmt: skip
    found = speedups(with_benchmarks(results, results.benchmarks + others))
    for arm in ("nnx[nnx.jit]", "nnx[pytree]"):
        assert sorted(s.ratio.ratio for s in found if s.arm == arm) == pytest.approx([1.0, 2.0, 4.0], rel=1e-3)


def test_the_best_of_each_limit_counts():
    seen = [{"float32": Ceilings(100.0, 40.0, 2e-6)}, {"float32": Ceilings(90.0, 50.0, 1e-6)}]
    results = make_results([make_benchmark(make_arm("pure[jit]"), [1e-3, 1e-3], process=[0, 1])], ceilings=seen)
    assert best_ceilings(results, "float32") == Ceilings(100.0, 50.0, 1e-6)
