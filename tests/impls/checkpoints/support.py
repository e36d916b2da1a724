"""What the tests of checkpoints share."""

from trigru.common.config import GRUConfig
from trigru.common.parameters.record import random_params

CONFIG = GRUConfig(2, 3)
PARAMS = random_params(CONFIG)
NO_CARRY = "it has no initial_carry: the initial state is 0."
FRAMEWORKS = ("linen", "nnx", "equinox")
