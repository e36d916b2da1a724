"""What a framework costs over plain JAX: per call, per leaf, by size, and of what kind."""

import msgspec
import pytest
from support.runs import PROGRAM, make_arm, make_benchmark, make_results
from trigru.bench.analysis.overhead import Overhead, cause_of, negligible_from, per_leaf_s


def overhead(share=0.0, high_share=0.0, size=None, leaves=0, time_s=0.0, reach_s=0.0):
    bounds_s = time_s - reach_s, time_s + reach_s
    return Overhead("linen[apply]", "tiny", "forward", size, leaves, time_s, *bounds_s, share, share, high_share, True)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.002)], (128, True)),
        ([(0.1, 0.11), (0.001, 0.002), (0.001, 0.002)], (32, True)),
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.02)], (128, False)),
        ([(0.1, 0.11), (0.01, 0.02), (0.02, 0.02)], (None, False)),
        ([(0.001, 0.005), (0.001, 0.02), (0.001, 0.005)], (128, True)),  # an interval that reaches further in between
    ],
)
def test_a_size_counts_only_where_every_larger_one_does(shares, expected):
    assert negligible_from([overhead(*of, size) for of, size in zip(shares, (8, 32, 128), strict=True)]) == expected


def test_the_cost_of_a_leaf_is_the_slope_between_phases():
    few, many = overhead(leaves=5, time_s=5e-6, reach_s=3e-8), overhead(leaves=16, time_s=16e-6, reach_s=4e-8)
    middle = overhead(leaves=9, time_s=1.0, reach_s=1.0)
    assert per_leaf_s([many, middle, few]) == pytest.approx((1e-6, 5e-8 / 11))
    assert per_leaf_s([few, few]) is None


def group(over_s, workload="tiny", phase="forward", division="stock", flops=1e6, mine=PROGRAM, its=PROGRAM):
    """The baseline, which takes 10 ms, and linen, which takes that much longer."""

    def make(name, **facts):
        return make_benchmark(make_arm(name, workload, phase, division), [1e-2] * 6, flops=flops, **facts)

    return [make("pure[jit]", program=its), make("linen[apply]", program=mine, ratio=1 + over_s * 100)]


def changed(**counts):
    return msgspec.structs.replace(PROGRAM, fingerprint="other", **counts)


@pytest.mark.parametrize(
    ("mine", "its", "over_s", "kind", "counts"),
    [
        (None, PROGRAM, 1e-6, "unread", ()),
        (PROGRAM, None, 1e-6, "unread", ()),
        (PROGRAM, PROGRAM, 2e-3, "boundary", ()),
        (PROGRAM, PROGRAM, -2e-3, "boundary", ()),
        (PROGRAM, PROGRAM, 2.1e-3, "unexplained", ()),
        (PROGRAM, PROGRAM, -2.1e-3, "unexplained", ()),
        (changed(dots=6), PROGRAM, 5e-3, "operations", (("dots", 6, 2),)),
        (changed(dots=6, fusions=9, whiles=0, transposes=12), PROGRAM, 5e-3, "operations",
         (("dots", 6, 2), ("transposes", 12, 3), ("whiles", 0, 1))),
        (changed(fusions=9), PROGRAM, -5e-6, "other program", (("fusions", 9, 5),)),
        (changed(temp_bytes=9), PROGRAM, 5e-6, "other program", ()),
    ],
)  # fmt: skip
def test_programs_and_the_jit_boundary_tell_the_cause(mine, its, over_s, kind, counts):
    benchmarks = group(over_s, mine=mine, its=its)
    found = cause_of(make_results(benchmarks), benchmarks[1], benchmarks[0])
    assert (found.kind, found.counts, found.leaves) == (kind, counts, (9, 9))
    assert found.overhead_s == pytest.approx(over_s)


@pytest.mark.parametrize(
    ("smallest_s", "over_s", "where", "kind"),
    [
        (0.0, 1e-3, ("forward", "stock"), "unexplained"),
        (0.0, 1e-3, ("forward", "fused"), "boundary"),  # says nothing: other arms are compared there
        (0.0, 1e-3, ("train_step", "stock"), "boundary"),
        (0.0, 9e-5, ("forward", "stock"), "boundary"),
        (2e-4, 5e-4, ("forward", "stock"), "boundary"),
        (2e-4, 7e-4, ("forward", "stock"), "unexplained"),
    ],
)
def test_what_a_call_may_cost_is_seen_on_the_smallest_workload(smallest_s, over_s, where, kind):
    smallest, large = group(smallest_s, "tiny", *where, flops=1e3), group(over_s, "question")
    assert cause_of(make_results(smallest + large), large[1], large[0]).kind == kind
