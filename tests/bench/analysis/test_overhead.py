"""What a framework costs over plain JAX: per call, per leaf, and by size."""

import pytest
from support.runs import make_arm, make_benchmark
from trigru.bench.analysis.overhead import Overhead, negligible_from, per_leaf_s
from trigru.bench.analysis.pairs import Difference


def overhead(share=0.0, high_share=0.0, size=None, leaves=0, time_s=0.0, reach_s=0.0):
    benchmark = make_benchmark(make_arm("linen[apply]"), [1.0], leaves=leaves)
    ratios, bounds_s = (1 + share, 1 + share, 1 + high_share), (time_s - reach_s, time_s + reach_s)
    over = Difference("linen[apply]", "pure[jit]", *ratios, time_s, *bounds_s, "slower", True, "boundary", ())
    return Overhead(benchmark, size, over)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.002)], (128, True)),
        ([(0.1, 0.11), (0.001, 0.002), (0.001, 0.002)], (32, True)),
        ([(0.1, 0.11), (0.01, 0.02), (0.001, 0.02)], (128, False)),
        ([(0.1, 0.11), (0.01, 0.02), (0.02, 0.02)], (None, False)),
        ([(0.001, 0.002), (0.02, 0.03), (0.001, 0.002)], (128, True)),
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
