"""What a kernel makes of an arm, in a group and over groups, from results whose ratios are known."""

from dataclasses import replace

import numpy as np
import pytest
from support.runs import KERNEL_TRUTH as TRUTH
from support.runs import draw_kernels, make_arm, make_benchmark, slowed, with_benchmarks, with_facts
from trigru.bench.analysis.speedups import mean_speedup, speedups

LUCK = np.repeat([0.8, 0.9, 1.0, 1.1, 1.2], 6)


@pytest.fixture
def results(rng):
    """Two ports and two peers in the fused division, and two ports in the stock division."""
    return draw_kernels(rng)


def of_pure(results):
    return [s for s in speedups(results) if (s.benchmark.arm.port, s.phase) == ("pure", "forward")]


def test_speedups_are_recovered_with_their_intervals(results):
    found = sorted(speedups(results), key=lambda s: s.ratio.ratio)
    for speedup, ((_, port, phase), truth) in zip(found, sorted(TRUTH.items(), key=lambda t: t[1]), strict=True):
        assert (speedup.benchmark.arm.port, speedup.phase) == (port, phase)
        assert speedup.ratio.ratio == pytest.approx(truth, rel=1e-3)
        assert 0 < speedup.ratio.high - speedup.ratio.low < 0.01 * truth, "the machine's drift cancels within rounds"


def test_a_geometric_mean_is_recovered_with_its_interval_and_the_mean_of_the_floors(results):
    mine = of_pure(results)
    mean = mean_speedup(mine)
    truth = np.prod([t for (_, port, phase), t in TRUTH.items() if (port, phase) == ("pure", "forward")]) ** (1 / 3)
    assert mean.groups == 3
    assert mean.ratio.ratio == pytest.approx(truth, rel=1e-3)
    assert mean.ratio.low < mean.ratio.ratio < mean.ratio.high < 1.01 * truth
    floors = (0.01, 0.02, 0.3)
    mean = mean_speedup([replace(s, floor=floor) for s, floor in zip(mine, floors, strict=True)])
    assert mean.floor == pytest.approx(np.prod(np.add(1, floors)) ** (1 / 3) - 1)


def test_few_rounds_of_one_process_bear_no_verdict(results):
    few = [make_benchmark(b.arm, b.time_s[:5]) if b.arm.workload.name == "question" else b for b in results.benchmarks]
    found = [s for s in of_pure(with_benchmarks(results, few)) if s.benchmark.arm.workload.name == "question"]
    assert [(s.enough, s.verdict) for s in found] == [(False, "indistinguishable")]
    assert mean_speedup([*found, *found]).verdict == "indistinguishable"


def test_what_has_no_stock_arm_or_no_program_is_left_out_or_blank(results):
    without = [b for b in results.benchmarks if b.name != "nnx[nnx.jit]"]
    assert {s.benchmark.arm.port for s in speedups(with_benchmarks(results, without))} == {"pure"}
    assert {(s.temp_bytes, s.temp_share) for s in speedups(results)} == {((4096, 1024), 0.25)}
    blank = with_facts(results, program=None)
    assert {(s.temp_bytes, s.temp_share) for s in speedups(blank)} == {((None, None), None)}


def test_each_style_of_a_port_is_held_against_its_own_stock_arm(results):
    others = []
    for b in results.benchmarks:
        if b.arm.port == "nnx":
            name = b.name.replace("nnx.jit", "pytree")
            arm = make_arm(name, str(b.arm.workload), b.arm.phase, b.arm.division)
            others.append(make_benchmark(arm, 3 * b.time_s, b.facts.process))
    found = [s for s in speedups(with_benchmarks(results, results.benchmarks + others)) if s.arm.startswith("nnx")]
    for arm in ("nnx[nnx.jit]", "nnx[pytree]"):
        assert sorted(s.ratio.ratio for s in found if s.arm == arm) == pytest.approx([1.0, 2.0, 4.0], rel=1e-3)


def test_a_group_of_one_process_is_not_in_the_mean_of_those_of_several(results):
    def in_one_process(*workloads):
        alone = [0] * len(LUCK)
        return with_benchmarks(
            results,
            [with_facts(b, process=alone) if str(b.arm.workload) in workloads else b for b in results.benchmarks],
        )

    mean = mean_speedup(of_pure(in_one_process("medium")))
    assert mean.groups == 2
    assert mean.ratio.ratio == pytest.approx((1.005 * 1.5) ** 0.5, rel=1e-3)
    assert mean_speedup(of_pure(in_one_process("tiny", "question", "medium"))).groups == 3


def test_a_processs_luck_is_in_the_interval(results):
    for speedup in speedups(slowed(results, LUCK, lambda b: not b.arm.kernel.is_stock)):
        assert speedup.ratio.high / speedup.ratio.low > 1.3
