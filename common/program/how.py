"""How a trace is evaluated: in which dtype, with which constants, and who follows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

Array = np.ndarray


@runtime_checkable
class Observer(Protocol):
    """Follows an evaluation. An operand is the very object that was a result before, an argument or a constant."""

    def enter(self, equation: Any) -> None:
        """The equations that follow are of a function that this equation calls, or of its loop."""

    def leave(self) -> None:
        """The end of what was entered last."""

    def step(
        self, equation: Any, function: Callable[..., Any], operands: Sequence[Any], results: Sequence[Any]
    ) -> None:
        """An equation was evaluated: the function of its operands is these results. A scan takes steps apart by it."""


@dataclass(frozen=True)
class How:
    """How a trace is evaluated. The fields are the arguments of `trigru.common.program.evaluator.Evaluator`."""

    wide: bool = False
    observe: Observer | None = None
    constants: Callable[[Array, Any], Array] | None = None
    draws: bool = True

    def dtype(self, dtype: Any) -> Any:
        """The dtype in which values are computed that have this one in the trace."""
        return wide(dtype) if self.wide else np.dtype(dtype)


def wide(dtype: Any) -> np.dtype[Any]:
    """Float64 for each real dtype, complex128 for each complex one, and any other itself."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.dtype(np.complex128)
    return np.dtype(np.float64) if jnp.issubdtype(dtype, jnp.floating) else np.dtype(dtype)
