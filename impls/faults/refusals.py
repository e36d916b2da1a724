"""Faults in what is refused."""

from copy import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.errors import InputError
from ..pure import PurePort
from .fault import Applied, Elsewhere, Fault


def _truthy_flags(call, model, x, carry, **options):
    flags = {name: bool(options[name]) for name in ("reverse", "time_major") if name in options}
    return call(model, x, carry, **options | flags)


def _any_lengths(call, model, x, carry, **options):
    lengths: Any = options.get("lengths")
    if hasattr(lengths, "dtype") and lengths.dtype.kind in "fb":
        options["lengths"] = lengths.astype(np.int32)
    return call(model, x, carry, **options)


def _one_carry_for_all(call, model, x, carry, **options):
    if getattr(carry, "ndim", 0) == 1:
        carry = jnp.broadcast_to(carry, (*x.shape[:-2], carry.shape[-1]))
    return call(model, x, carry, **options)


def _other_error(call, model, x, carry, **options):
    try:
        return call(model, x, carry, **options)
    except InputError as error:
        raise ValueError(str(error)) from None


def _no_lengths_beyond(call, model, x, carry, **options):
    lengths = options.get("lengths")
    if isinstance(lengths, np.ndarray) and lengths.max(initial=0) > x.shape[-2]:
        raise InputError("lengths are beyond the end.")
    return call(model, x, carry, **options)


def _jax_arrays_alone(call, model, x, carry, **options):
    if not isinstance(x, jax.Array):
        raise InputError("inputs are no JAX array.")
    return call(model, x, carry, **options)


def _bytes_wrap(call, model, x, carry, **options):
    """Lengths in the dtype of the steps' numbers, one byte: at 251 and beyond, a step too many would be 0."""
    lengths: Any = options.get("lengths")
    if getattr(lengths, "dtype", None) == np.uint8:
        options["lengths"] = (lengths + np.uint8(251)).astype(np.int32)
    return call(model, x, carry, **options)


def _wide_lengths_wrap(call, model, x, carry, **options):
    """As int64 becomes int32 where JAX has no 64 bits."""
    lengths: Any = options.get("lengths")
    if getattr(lengths, "dtype", None) == np.int64:
        options["lengths"] = lengths.astype(np.int32)
    return call(model, x, carry, **options)


class _LoadCasts(PurePort):
    def load(self, config, params):
        if isinstance(params, tuple) and all(hasattr(p, "dtype") for p in params):
            params = jax.tree.map(lambda p: p.astype(config.param_dtype), params)
        return super().load(config, params)


class _NoUnroll(PurePort):
    """Where nothing was checked before, as somebody calls the class."""

    def make(self, config, key):
        config = copy(config)
        object.__setattr__(config, "unroll", config.unroll or 1)
        return super().make(config, key)


FAULTS: tuple[Fault, ...] = (
    Fault("truthy-flags", "reverse=1 goes through", "refusals", Applied(_truthy_flags)),
    Fault("any-lengths", "floating and boolean lengths go through", "refusals", Applied(_any_lengths)),
    Fault("bare-carry", "one carry for a batch goes through", "refusals", Applied(_one_carry_for_all)),
    Fault("other-error", "refused by another error", "refusals", Applied(_other_error)),
    Fault("no-length-beyond", "lengths beyond the end are refused", "refusals", Applied(_no_lengths_beyond)),
    Fault("no-numpy", "NumPy arrays are refused", "refusals", Applied(_jax_arrays_alone)),
    Fault("bytes-wrap", "lengths of one byte wrap", "refusals", Applied(_bytes_wrap)),
    Fault("wide-wrap", "lengths of 64 bits wrap", "refusals", Applied(_wide_lengths_wrap)),
    Fault("load-casts", "parameters of another dtype are loaded", "refusals", _LoadCasts()),
    Fault("linen-casts", "linen: an integer carry goes through", "refusals", Elsewhere("linen", "CastsTheCarry")),
    Fault("no-unroll", "unroll=0 goes through", "refusals", _NoUnroll()),
    Fault("nnx-any-kernel", "NNX: any kernel goes through", "refusals", Elsewhere("nnx", "AnyKernel")),
    Fault("nnx-step", "NNX: one step refuses nothing", "refusals", Elsewhere("nnx", "UncheckedStep")),
    Fault("equinox-classify", "Equinox: vmap refuses lengths", "refusals", Elsewhere("equinox", "VmapRefuses")),
    Fault(
        "equinox-cuts", "Equinox: a classifier's lengths cut to 32 bits", "refusals", Elsewhere("equinox", "CutLengths")
    ),
)
