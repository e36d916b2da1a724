"""What trigru's GRUs share in all frameworks: parameters, checks and errors.

Import the names of `__all__` from here. Each is loaded when it is first used, and none
of them imports Flax or Equinox:

>>> from trigru.common import GRUConfig
>>> GRUConfig(input_size=20, hidden_size=200).hidden_size
200
"""

from importlib import import_module
from typing import Any

#: Names by the module that has them. Importing this package loads none of them, so
#: that it imports neither JAX nor Optax nor SciPy.
_HANDED_ON = {
    "config": ("GRUConfig",),
    "equality.checks": ("get_checks",),
    "equality.verification": ("Measurement", "assert_equivalent", "verify"),
    "errors": (
        "InputError",
        "NotOfferedError",
        "ParamsFileError",
        "TrigruError",
        "UnavailableError",
    ),
    "gru.initializers": ("for_carry",),
    "gru.checks": (
        "check_batch_shape",
        "check_call",
        "clip_lengths",
        "computation_dtype",
    ),
    "gru.optimizers": ("carry_learning_rate",),
    "parameters.record": ("GRUParams", "config_of"),
    "port.protocol": (
        "ModelClass",
        "CallStyle",
        "Port",
        "Program",
        "check_config",
        "check_load",
    ),
    "port.styles": ("functional_program", "shared_styles"),
    "compat": ("vary_alike",),
}
_MODULE_OF = {name: module for module, names in _HANDED_ON.items() for name in names}

__all__ = [*_MODULE_OF]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
