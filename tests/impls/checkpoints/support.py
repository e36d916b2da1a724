"""What the tests of checkpoints share."""

from trigru.common.config import GRUConfig
from trigru.common.parameters.record import leaves, random_params

from ...support.arrays import assert_bits

CONFIG = GRUConfig(2, 3)
PARAMS = random_params(CONFIG)
NO_CARRY = "it has no initial_carry: the initial state is 0."
FRAMEWORKS = ("linen", "nnx", "equinox")
DTYPES = ("float32", "float64", "float16")


def same_bits(found, expected):
    """Whether two records have the same names, dtypes and bits."""
    found, expected = leaves(found), leaves(expected)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert_bits(found[name], array, name)
    return True
