"""What a scan reads at each step."""

import jax.numpy as jnp
import numpy as np
from trigru.common.inputs import scan_inputs


def test_without_masks_nothing_changes():
    x = jnp.ones((2, 3, 4))
    frames, resets, active = scan_inputs(x)
    assert frames is x
    assert resets is None
    assert active is None


def test_padding_is_zeroed_and_resets_in_it_are_dropped():
    x, resets = jnp.full((2, 3, 4), jnp.nan), jnp.ones((2, 3), bool)
    frames, resets, active = scan_inputs(x, jnp.array([1, 3]), resets)
    np.testing.assert_array_equal(active, [[True, False, False], [True, True, True]])
    np.testing.assert_array_equal(resets, active)
    np.testing.assert_array_equal(jnp.isnan(frames).all(-1), active)
    assert not frames[~active].any()


def test_lengths_of_any_integer_dtype_count_long_sequences():
    for dtype in ("int8", "uint8", "int16", "int32", "uint32"):
        _, _, active = scan_inputs(jnp.ones((2, 300, 1)), np.array([5, 100], dtype))
        np.testing.assert_array_equal(active.sum(1), [5, 100])


def test_lengths_outside_the_sequence_count_as_none_or_all_of_it():
    _, _, active = scan_inputs(jnp.ones((2, 3, 1)), np.array([-4, 9], "int32"))
    np.testing.assert_array_equal(active.sum(1), [0, 3])
