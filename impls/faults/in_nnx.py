"""Faulty ports of Flax NNX."""

from copy import copy
from dataclasses import replace

import jax
import jax.numpy as jnp
from flax import nnx

from ...common.gru.initializers import orthogonal
from ..nnx import NNXPort
from .contract import reverse_unrolled


class Closures(NNXPort):
    """Every model keeps a function that was made for it."""

    def make(self, config, key):
        model = super().make(config, key)
        model.drawn_by = nnx.static(lambda: key) if hasattr(nnx, "static") else lambda: key
        return model


class InPlace(NNXPort):
    """Loads into the model that it has."""

    def __init__(self):
        self._known = {}

    def load(self, config, params):
        loaded = super().load(config, params)
        known = self._known.setdefault(config, loaded)
        nnx.update(known, nnx.state(loaded))
        return known


class FusedOrthogonal(NNXPort):
    """As `nnx.GRUCell` draws by default."""

    def make(self, config, key):
        model = super().make(config, key)
        kernel = getattr(model, "gru", model).cell.dense_h.kernel
        kernel[...] = orthogonal(jax.random.fold_in(key, 1), kernel.shape, kernel.dtype)
        return model


class AnyKernel(NNXPort):
    """A kernel that it does not know is the stock one."""

    def make(self, config, key):
        config = copy(config)
        object.__setattr__(config, "kernel", config.kernel if config.kernel in self.kernels else "stock")
        return super().make(config, key)


class UncheckedStep(NNXPort):
    """Calls the cell at once."""

    def step(self, model, x, carry=None, *, reset=None):
        h = model.initial_carry[...] if carry is None else carry
        h = jnp.asarray(h, jnp.promote_types(x.dtype, model.initial_carry.dtype))
        return model.cell(jnp.broadcast_to(h, (*x.shape[:-1], h.shape[-1])), x)


class RematLost(NNXPort):
    """Forgets the option on the way."""

    def load(self, config, params):
        return super().load(replace(config, remat=False), params)


class ReverseUnrolled(NNXPort):
    """Goes forward where the loop is unrolled."""

    def apply(self, model, x, carry=None, **options):
        return reverse_unrolled(super().apply, model, x, carry, **options)
