"""How a trace is evaluated: precision, constants, draws, and who observes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from .sets import Array


@runtime_checkable
class Observer(Protocol):
    """Sees what an evaluation does.

    An operand is the very object that was a result before, an argument or a constant. A
    scan takes steps apart, and puts them together, by `step`.
    """

    def step(
        self,
        equation: Any,
        function: Callable[..., Any],
        operands: Sequence[Array],
        results: Sequence[Array],
    ) -> None:
        """Called after an equation, with the function that evaluated it."""

    def enter(self, equation: Any) -> None:
        """Called before the equations of a function or loop that an equation calls."""

    def leave(self) -> None:
        """Called after them."""


@dataclass(frozen=True)
class How:
    """How a trace is evaluated."""

    wide: bool = False  # compute in float64, whatever real dtypes the trace has
    observe: Observer | None = None
    #: Changes a constant, an array with an axis of sets, of some type in the trace.
    constants: Callable[[Array, Any], Array] | None = None
    draws: bool = True  # draw random bits; else they are those of 0.25 drawn uniformly

    def dtype(self, dtype: Any) -> np.dtype[Any]:
        """The dtype in which values are computed that have this one in the trace."""
        return wide(dtype) if self.wide else np.dtype(dtype)


def wide(dtype: Any) -> np.dtype[Any]:
    """Float64 for each real dtype, and complex128 for each complex one.

    Any other dtype stays itself.
    """
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.dtype(np.complex128)
    if jnp.issubdtype(dtype, jnp.floating):
        return np.dtype(np.float64)
    return np.dtype(dtype)
