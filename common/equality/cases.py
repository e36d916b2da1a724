"""The data of the checks that have a function of their own: a batch of short sequences, and its models."""

from dataclasses import replace

import numpy as np

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
