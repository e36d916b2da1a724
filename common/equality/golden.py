"""Golden vectors: inputs, parameters, outputs and gradients that the oracle once gave, kept in a file.

The other checks compare ports with the oracle as it is now. A change in both, or in NumPy, shows only here.
The file is written by `.ci/golden.py`, and changes only together with the equations.
"""

from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

from ..parameters.record import from_leaves
from .contract.data import USUAL, Data


def golden_data() -> Data:
    """The inputs, in float64: four sequences of 9 steps, 3 inputs, 5 units, lengths 0 and 9 among them."""
    x, lengths, resets, *linear = (_stored()[name][None] for name in ("x", "lengths", "resets", "targets", "d_carry"))
    return Data((USUAL,), from_leaves(_stored()), x, None, lengths, resets, *linear)


def golden_answers() -> dict[str, np.ndarray]:
    """Final carry, outputs, and the gradients of Σ outputs · weights + Σ carry · d_carry, from the learned start.

    With lengths and resets; names as in rows of the contract.
    """
    return {name.removeprefix("answer "): array for name, array in _stored().items() if name.startswith("answer ")}


@cache
def _stored() -> dict[str, np.ndarray]:
    arrays = load((files("trigru.common") / "data" / "golden.safetensors").read_bytes())
    return dict(sorted(arrays.items()))  # which come in another order each time
