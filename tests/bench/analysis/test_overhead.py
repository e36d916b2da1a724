"""From which size on what a framework costs over plain JAX is negligible."""

import pytest
from support.runs import make_arm, make_benchmark
from trigru.bench.analysis.overhead import Overhead, negligible_from
from trigru.bench.analysis.pairs import Difference


def overhead(share, high_share, size):
    ratios = (1 + share, 1 + share, 1 + high_share)
    over = Difference("linen[apply]", "pure[jit]", *ratios, 0.0, 0.0, 0.0, "slower", True, "boundary", ())
    return Overhead(make_benchmark(make_arm("linen[apply]"), [1.0]), size, over)


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
