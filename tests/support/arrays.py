"""Assertions about arrays that fail with one sentence, not with the arrays."""

import numpy as np
from trigru.common.equality.bounds import relative_error
from trigru.common.parameters.record import leaves


def assert_near(got, want, bound, what="the result"):
    """The largest difference is at most `bound` of the largest expected magnitude."""
    if np.shape(got) != np.shape(want):
        raise AssertionError(f"{what} has shape {np.shape(got)}, expected {np.shape(want)}")
    error = relative_error(got, want)
    if not error <= bound:  # NaN is no error that passes
        raise AssertionError(f"{what} has error {error:.1e}, at most {bound:.1e} allowed")


def assert_each_near(got, want, bound):
    """Two records of arrays have the same names, and each array is near."""
    assert {*got} == {*want}
    for name, array in want.items():
        assert_near(got[name], array, bound, name)


def assert_bits(got, want, what="the result"):
    """Shape, dtype and every bit agree."""
    got, want = np.asarray(got), np.asarray(want)
    if (got.shape, got.dtype) != (want.shape, want.dtype):
        raise AssertionError(f"{what} is {got.dtype}{got.shape}, expected {want.dtype}{want.shape}")
    if got.tobytes() != want.tobytes():
        raise AssertionError(f"{what} differs in {np.sum(got != want)} of {want.size} entries, or in the sign of a 0")


def same_bits(found, expected):
    """Whether two records have the same names, dtypes and bits."""
    found, expected = leaves(found), leaves(expected)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert_bits(found[name], array, name)
    return True
