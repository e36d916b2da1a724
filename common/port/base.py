"""The part of a port that does not depend on its framework."""

from collections.abc import Callable
from typing import Any

import jax

from ..gru.kernels import KERNELS
from ..parameters.layouts import Layout, flatten
from .classes import ModelClass


class BasePort:
    """The parts of a `trigru.common.Port` that do not depend on its framework.

    A port overrides what its models do otherwise: here they are called as `trigru.impls.nnx.GRU` is.
    """

    kernels = KERNELS
    layout: Layout
    model_class: ModelClass | None = None
    differentiated: Callable[..., Any] = staticmethod(jax.value_and_grad)

    def dump(self, tree: Any) -> Any:
        return self.layout.record(flatten(tree))

    def apply(self, model: Any, x: Any, carry: Any = None, **options: Any) -> Any:
        return model(x, carry, **options)

    def step(self, model: Any, x: Any, carry: Any = None, *, reset: Any = None) -> Any:
        return model.step(x, carry, reset=reset)

    def initial_carry(self, model: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        return model.get_initial_carry(batch_shape)

    def classify(self, model: Any, x: Any, lengths: Any = None) -> Any:
        return model(x, lengths)

    def value_and_grad(self, function: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., Any]:
        """`jax.value_and_grad`, or the framework's own, with respect to the model and all arrays."""

        def differentiate(model, *arrays):
            argnums = tuple(range(1 + len(arrays)))
            return self.differentiated(function, argnums=argnums, has_aux=has_aux)(model, *arrays)

        return differentiate
