"""The part of a port that does not depend on its framework."""

from collections.abc import Callable
from typing import Any

import jax

from ..gru.kernels import KERNELS
from .classes import ModelClass


class BasePort:
    """The parts of a `trigru.common.Port` that do not depend on its framework."""

    kernels = KERNELS
    model_class: ModelClass | None = None

    def value_and_grad(self, function: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
        """`jax.value_and_grad` with respect to the model and all arrays."""

        def differentiate(model, *arrays):
            argnums = tuple(range(1 + len(arrays)))
            return jax.value_and_grad(function, argnums, has_aux=has_aux)(model, *arrays)

        return differentiate

    def initial_carry(self, model: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """The model's learned initial carry, (*batch_shape, H)."""
        return model.get_initial_carry(batch_shape)
