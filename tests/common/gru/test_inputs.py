"""What a scan reads at each step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.gru.inputs import scan_inputs


def test_without_masks_only_time_comes_first():
    x = jnp.arange(24.0).reshape(2, 3, 4)
    frames, resets, active = scan_inputs(x)
    np.testing.assert_array_equal(frames, jnp.swapaxes(x, 0, 1))
    assert resets is None
    assert active is None


def test_lengths_of_any_integer_dtype_count_long_sequences():
    for dtype in ("int8", "uint8", "int16", "int32", "uint32"):
        _, _, active = scan_inputs(jnp.ones((2, 300, 1)), np.array([5, 100], dtype))
        np.testing.assert_array_equal(active.sum(0), [5, 100])


@pytest.mark.parametrize("lengths", [[2, 3], (2, 3), np.array([2, 3])], ids=["list", "tuple", "array"])
def test_a_scan_takes_lengths_in_any_form(lengths):
    _, _, active = scan_inputs(jnp.ones((2, 3, 1)), lengths)
    np.testing.assert_array_equal(active.sum(0), [2, 3])
    for length in (2, np.int8(2), np.int64(2)):
        _, _, active = scan_inputs(jnp.ones((3, 1)), length)
        np.testing.assert_array_equal(active, [True, True, False])


def test_lengths_outside_the_sequence_count_as_none_or_all_of_it():
    _, _, active = scan_inputs(jnp.ones((2, 3, 1)), np.array([-4, 9], "int32"))
    np.testing.assert_array_equal(active.sum(0), [0, 3])


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("dtype", ["uint32", "int64", "uint64"])
def test_a_length_without_end_is_the_whole_sequence(dtype, x64):
    lengths = np.array([np.iinfo(dtype).max, 2], dtype)
    with jax.enable_x64(x64):
        for given in (lengths, jnp.asarray(lengths)) if x64 or dtype == "uint32" else (lengths,):
            _, _, active = scan_inputs(jnp.ones((2, 3, 1)), given)
            np.testing.assert_array_equal(active.sum(0), [3, 2])
