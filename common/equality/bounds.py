"""How far an answer may be from the oracle's: by rounding in float64, by NumPy's own error in a working dtype."""

from typing import Any

import jax.numpy as jnp
import numpy as np

SAME_BOUND = 1e-12
ACCURACY_FACTOR = 4
ACCURACY_ULPS = 4


def relative_error(got: Any, reference: Any) -> float:
    """The largest difference, relative to the largest reference magnitude (or absolute, where that is 0)."""
    reference = np.asarray(reference, np.float64)
    difference = np.abs(np.asarray(got, np.float64) - reference).max()
    return float(difference / (np.abs(reference).max() or 1.0))


def accuracy_bound(in_dtype: Any, reference: Any, dtype: str, operand_bits: int | None = None) -> float:
    """The bound in a working dtype: 4 times the error of NumPy's answer in it, plus 4 units in the last place.

    Operand bits are the significant bits to which what goes into a matrix product is rounded; None where it is not.
    """
    last_place = max(float(jnp.finfo(dtype).eps), 0.0 if operand_bits is None else 2.0 ** (1 - operand_bits))
    return ACCURACY_FACTOR * relative_error(in_dtype, reference) + ACCURACY_ULPS * last_place
