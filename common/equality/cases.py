"""The data of the checks that have a function of their own: a batch of short sequences, its models; golden vectors."""

from dataclasses import replace
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

from ..config import GRUConfig
from ..parameters.record import random_params

B, T, D, H, C = 3, 5, 4, 6, 2  # all different, so that no axis passes for another
CONFIG = GRUConfig(D, H, param_dtype="float64")
READOUT = replace(CONFIG, classes=C)
PARAMS, OF_READOUT = random_params(CONFIG), random_params(READOUT)
RNG = np.random.default_rng(0)
X, CARRY = RNG.normal(size=(B, T, D)), RNG.normal(size=(B, H))
RESETS = RNG.random((B, T)) < 0.3
LENGTHS = np.array([0, 5, 3], np.int32)


@cache
def golden() -> dict[str, np.ndarray]:
    """What the oracle once gave in float64: parameters, inputs, and answers from the learned start, with both masks.

    Four sequences of 9 steps, 3 inputs, 5 units, lengths 0 and 9 among them; gradients are those of Σ outputs · targets
    + Σ carry · d_carry. The other checks compare ports with the oracle as it is now: a change in both, or in NumPy,
    shows only here. The oracle's test writes the file, which changes only together with the equations.
    """
    return dict(sorted(load((files("trigru.common") / "data" / "golden.safetensors").read_bytes()).items()))
