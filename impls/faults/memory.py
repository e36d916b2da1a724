"""Faults in what `remat` saves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ...common.gru.inputs import start
from ...common.port.protocol import WithKernel
from ..pure import PurePort, _cell, _promote
from .fault import Applied, Elsewhere, Fault


def _ignored(call, model, x, carry, **options):
    return call(replace(model, remat=False), x, carry, **options)


def _whole_call(call, model, x, carry, **options):
    """All gates of all steps are computed again at once, and are there at once."""
    run = Applied(_ignored).apply
    if not model.remat:
        return run(model, x, carry, **options)
    return jax.checkpoint(lambda model, x, carry: run(model, x, carry, **options))(model, x, carry)


class _Checkpointed(PurePort):
    """The plain sequence, with another `jax.checkpoint`."""

    def __init__(self, checkpoint: Callable[..., Any]):
        self._checkpoint = checkpoint

    def apply(self, model, x, carry=None, **options):
        if not model.remat or any(value is not None and value is not False for value in options.values()):
            return super().apply(model, x, carry, **options)
        params, x = _promote(model.dtype, model.params, x)

        def advance(h, x):
            h = _cell(params, x, h)
            return h, h

        axis = x.ndim - 2
        frames = jnp.moveaxis(x, axis, 0)
        h = start(params.initial_carry if carry is None else carry, frames)
        carry, outputs = jax.lax.scan(self._checkpoint(advance), h, frames, unroll=model.unroll)
        return carry, jnp.moveaxis(outputs, 0, axis)


class _SavesAll(PurePort):
    """The fused kernel that saves everything, whatever is chosen."""

    def load(self, config, params):
        kernel = "fused" if config.kernel.startswith("fused@save") else config.kernel
        return super().load(replace(config, kernel=kernel), params)


class _NameWins(PurePort):
    """The fused kernel whose name says what is saved, whatever `remat` says."""

    def load(self, config, params):
        return super().load(replace(config, remat=config.remat and "save=" not in config.kernel), params)


class _RematWins(PurePort):
    """The fused kernel that forgets all its choices where `remat` is set."""

    def load(self, config, params):
        return super().load(replace(config, kernel="fused" if config.remat else config.kernel), params)


class _ClassifiesWith(PurePort):
    """A classifier that forgets a choice of its model."""

    def __init__(self, **forgotten: Any):
        self._forgotten = forgotten

    def classify(self, model, x, lengths=None):
        return super().classify(replace(model, **self._forgotten), x, lengths)


FAULTS: tuple[Fault, ...] = (
    Fault("remat-ignored", "remat ignored", "memory", Applied(_ignored)),
    Fault("remat-whole", "the whole call recomputed at once", "memory", Applied(_whole_call)),
    Fault(
        "remat-merged",
        "unrolled, XLA merges the recomputation",
        "memory",
        _Checkpointed(lambda advance: jax.checkpoint(advance, prevent_cse=False)),
    ),
    Fault("choice-saves-all", "fused@save=some saves all", "memory", WithKernel(_SavesAll(), "fused")),
    Fault("name-over-remat", "fused@save=all saves all, remat or not", "memory", WithKernel(_NameWins(), "fused")),
    Fault("remat-over-choices", "remat forgets the kernel's choices", "memory", WithKernel(_RematWins(), "fused")),
    Fault("readout-forgets-remat", "a classifier forgets remat", "memory", _ClassifiesWith(remat=False)),
    Fault(
        "readout-forgets-kernel",
        "a classifier forgets the kernel",
        "memory",
        WithKernel(_ClassifiesWith(kernel="stock"), "fused"),
    ),
    Fault("linen-remat-saves", "linen: remat saves everything", "memory", Elsewhere("linen", "SavesEverything")),
    Fault("nnx-remat-ignored", "NNX: remat is lost", "memory", Elsewhere("nnx", "RematLost")),
    Fault("equinox-remat-whole", "Equinox: one remat around all steps", "memory", Elsewhere("equinox", "RematWhole")),
)
