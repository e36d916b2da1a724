"""What a scan reads at each step."""

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


@pytest.mark.parametrize("lengths", [[2, 3], (2, 3), np.array([2, 3])], ids=["list", "tuple", "array"])
def test_a_scan_takes_lengths_in_any_form(lengths):
    _, _, active = scan_inputs(jnp.ones((2, 3, 1)), lengths)
    np.testing.assert_array_equal(active.sum(0), [2, 3])
    for length in (2, np.int8(2), np.int64(2)):
        _, _, active = scan_inputs(jnp.ones((3, 1)), length)
        np.testing.assert_array_equal(active, [True, True, False])
