"""Faulty ports of Equinox."""

import copy
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ..equinox import GRU, Classifier, EquinoxPort, _over_batch
from .contract import first_reset


class _Copied(GRU):
    """Whose copies are made by hand, and not in full."""

    def __deepcopy__(self, memo: Any):
        return _with_fields(type(self), copy.deepcopy(vars(self), memo) | {"remat": False})


class CopyForgets(EquinoxPort):
    """A deep copy lacks what came later."""

    def make(self, config, key):
        model = super().make(config, key)
        if isinstance(model, Classifier):
            return model
        return _with_fields(_Copied, vars(model))


class Uniform(EquinoxPort):
    """As `eqx.nn.GRUCell` draws."""

    def make(self, config, key):
        model = super().make(config, key)
        gru = model.gru if isinstance(model, Classifier) else model
        dtype = gru.initial_carry.dtype
        own = eqx.nn.GRUCell(config.input_size, config.hidden_size, dtype=dtype, key=jax.random.fold_in(key, 2))

        def cell(model: Any) -> Any:
            return (model.gru if isinstance(model, Classifier) else model).cell

        return eqx.tree_at(cell, model, own)


class VmapRefuses(EquinoxPort):
    """Leaves it to `jax.vmap` to say that there are fewer lengths than examples."""

    def classify(self, model, x, lengths=None):
        return _over_batch(model, getattr(x, "ndim", 0) - 2)(x, lengths)


class CutLengths(EquinoxPort):
    """Keeps 32 bits of NumPy's lengths, as `jax.vmap` does without jax_enable_x64."""

    def classify(self, model, x, lengths=None):
        if isinstance(lengths, np.ndarray) and lengths.dtype == np.int64:
            lengths = lengths.astype(np.int32)
        return super().classify(model, x, lengths)


class RematWhole(EquinoxPort):
    """`eqx.filter_checkpoint` around the loop instead of a step."""

    def apply(self, model, x, carry=None, **options):
        call = super().apply
        if not model.remat:
            return call(model, x, carry, **options)
        plain = _with_fields(type(model), vars(model) | {"remat": False})
        return eqx.filter_checkpoint(lambda model, x, carry: call(model, x, carry, **options))(plain, x, carry)


def _with_fields(kind: type, fields: Mapping[str, Any]) -> Any:
    """A module of these fields, past its own `__init__`."""
    module = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(module, name, value)
    return module


class FirstReset(EquinoxPort):
    """Takes a passed carry for the start of an episode."""

    def apply(self, model, x, carry=None, **options):
        return first_reset(super().apply, model, x, carry, **options)
