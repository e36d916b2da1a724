"""What a kernel makes of an arm, in a group and over groups, from results whose ratios are known."""

from dataclasses import replace

import numpy as np
import pytest
from support.runs import draw_kernels, make_arm, make_benchmark, make_results, with_benchmarks
from trigru.bench.analysis.rates import best_ceilings
from trigru.bench.analysis.speedups import mean_speedup, speedups
from trigru.bench.results.run import Ceilings


@pytest.fixture
def results(rng):
    """Two ports and two peers in the fused division, and two ports in the stock division."""
    return draw_kernels(rng)


def of_pure(results):
    return [s for s in speedups(results) if (s.benchmark.arm.port, s.benchmark.arm.phase) == ("pure", "forward")]


def test_the_floor_of_a_mean_is_the_mean_of_its_floors(results):
    floors = (0.01, 0.02, 0.3)
    mean = mean_speedup([replace(s, floor=floor) for s, floor in zip(of_pure(results), floors, strict=True)])
    assert mean.groups == 3
    assert mean.floor == pytest.approx(np.prod(np.add(1, floors)) ** (1 / 3) - 1)


def test_what_has_no_stock_arm_or_no_program_is_left_out_or_blank(results):
    without = [b for b in results.benchmarks if b.name != "nnx[nnx.jit]"]
    assert {s.benchmark.arm.port for s in speedups(with_benchmarks(results, without))} == {"pure"}
    assert {s.temp_share for s in speedups(results)} == {0.25}


def test_each_style_of_a_port_is_held_against_its_own_stock_arm(results):
    others = []
    for b in results.benchmarks:
        if b.arm.port == "nnx":
            name = b.name.replace("nnx.jit", "pytree")
            arm = make_arm(name, str(b.arm.workload), b.arm.phase, b.arm.division)
            others.append(make_benchmark(arm, 3 * b.time_s, b.process))
    found = [s for s in speedups(with_benchmarks(results, results.benchmarks + others)) if s.arm.startswith("nnx")]
    for arm in ("nnx[nnx.jit]", "nnx[pytree]"):
        assert sorted(s.ratio.ratio for s in found if s.arm == arm) == pytest.approx([1.0, 2.0, 4.0], rel=1e-3)


def test_the_best_of_each_limit_counts():
    seen = [{"float32": Ceilings(100.0, 40.0, 2e-6)}, {"float32": Ceilings(90.0, 50.0, 1e-6)}]
    results = make_results([make_benchmark(make_arm("pure[jit]"), [1e-3, 1e-3], process=[0, 1])], ceilings=seen)
    assert best_ceilings(results, "float32") == Ceilings(100.0, 50.0, 1e-6)
