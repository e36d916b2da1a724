"""Faults in what `make` draws."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import initializers

from ...common.errors import InputError
from ...common.gru.initializers import orthogonal
from ..pure import Classifier, PurePort, _record
from .fault import Elsewhere, Fault, edit


class _Drawn(PurePort):
    """`change(params, key, config)` returns the parameters of the GRU that are drawn otherwise."""

    def __init__(self, change: Callable[..., dict[str, Any]]):
        self._change = change

    def make(self, config, key):
        return edit(super().make(config, key), lambda p: self._change(p, jax.random.fold_in(key, 9), config))


def _inputs_by(initializer: Callable[..., Any]) -> PurePort:
    def change(p, key, config):
        keys = jax.random.split(key, 3)
        shape = p.kernel_i.shape[0], p.bias_n.shape[0]
        return {"kernel_i": jnp.concatenate([initializer(k, shape, p.bias.dtype) for k in keys], axis=1)}

    return _Drawn(change)


def _one_gate_for_all(p, key, config):
    return {"kernel_i": jnp.tile(p.kernel_i[:, : p.bias_n.shape[0]], 3)}


def _orthogonal_whole(p, key, config):
    return {"kernel_h": orthogonal(key, p.kernel_h.shape, p.bias.dtype)}


def _by_the_input_gates_key(p, key, config):
    """The recurrent gate r by the key of the input gate r."""
    shape, H = p.kernel_i.shape, p.bias_n.shape[0]
    keys = jax.random.split(key, 6)
    inputs = [initializers.lecun_normal()(k, (shape[0], H), p.bias.dtype) for k in keys[:3]]
    recurrent = [orthogonal(k, (H, H), p.bias.dtype) for k in (keys[0], *keys[4:])]
    return {"kernel_i": jnp.concatenate(inputs, axis=1), "kernel_h": jnp.concatenate(recurrent, axis=1)}


def _without_signs(p, key, config):
    """Orthogonal by a QR decomposition whose signs are LAPACK's choice, and not drawn."""
    H = p.bias_n.shape[0]
    wide = jnp.promote_types(p.bias.dtype, "float32")
    gates = [jnp.linalg.qr(jax.random.normal(k, (H, H), wide))[0] for k in jax.random.split(key, 3)]
    return {"kernel_h": jnp.concatenate(gates, axis=1).astype(p.bias.dtype)}


def _biases(p, key, config):
    return {"bias_n": initializers.normal(0.01)(key, p.bias_n.shape, p.bias.dtype)}


def _identity(p, key, config):
    return {"kernel_h": jnp.tile(jnp.eye(p.bias_n.shape[0], dtype=p.bias.dtype), 3)}


class _IgnoresTheKey(PurePort):
    def make(self, config, key):
        return super().make(config, jax.random.key(0))


class _Ones(PurePort):
    def make(self, config, key):
        return jax.tree.map(jnp.ones_like, super().make(config, key))


class _Raises(PurePort):
    def make(self, config, key):
        raise NotImplementedError("models are only loaded")


class _LooksAtDraws(PurePort):
    """Makes sure that what was drawn is finite, which nothing that is traced is."""

    def make(self, config, key):
        made = super().make(config, key)
        if not all(jnp.isfinite(array).all() for array in jax.tree.leaves(made)):
            raise InputError("drawn: values that are not finite")
        return made


class _CarryTwice(PurePort):
    """Draws the initial carry once too often, and takes the second."""

    def make(self, config, key):
        made = super().make(config, key)
        if config.carry_init is None:
            return made
        again = config.carry_init(jax.random.fold_in(key, 2), (config.hidden_size,), jnp.dtype(config.param_dtype))
        return edit(made, lambda p: {"initial_carry": again})


class _CarryUnasked(PurePort):
    def make(self, config, key):
        return super().make(replace(config, carry_init=None), key)


class _ReadoutOfAGate(PurePort):
    def make(self, config, key):
        made = super().make(config, key)
        if not isinstance(made.params, Classifier):
            return made
        gate = jnp.asarray(_record(made.params.gru).weight_hh[: config.classes].T)
        fits = gate.shape == made.params.kernel.shape
        return replace(made, params=made.params._replace(kernel=gate)) if fits else made


FAULTS: tuple[Fault, ...] = (
    Fault("fan-out", "variance 1/H, not 1/D", "draws", _inputs_by(initializers.lecun_normal(in_axis=1, out_axis=0))),
    Fault("not-cut", "a normal distribution that is not cut", "draws",
          _inputs_by(initializers.variance_scaling(1.0, "fan_in", "normal"))),
    Fault("one-gate", "one draw for three gates", "draws", _Drawn(_one_gate_for_all)),
    Fault("shared-key", "one key for two matrices", "draws", _Drawn(_by_the_input_gates_key)),
    Fault("identity", "recurrent matrices start as the identity", "draws", _Drawn(_identity)),
    Fault("signs-not-drawn", "orthogonal matrices whose signs are not drawn", "draws", _Drawn(_without_signs)),
    Fault("biases-drawn", "b_hn drawn, not zero", "draws", _Drawn(_biases)),
    Fault("key-ignored", "every key gives the same draws", "draws", _IgnoresTheKey()),
    Fault("ones", "all parameters are 1", "draws", _Ones()),
    Fault("no-make", "models can't be made", "draws", _Raises()),
    Fault("make-untraced", "models can't be made within jit", "draws", _LooksAtDraws()),
    Fault("carry-twice", "the initial carry is drawn twice", "draws", _CarryTwice()),
    Fault("carry-unasked", "carry_init is not asked", "draws", _CarryUnasked()),
    Fault("readout-copied", "the readout is part of a gate", "draws", _ReadoutOfAGate()),
    Fault("linen-one-key", "linen: one key for every carry_init", "draws", Elsewhere("linen", "OneKey")),
    Fault("nnx-orthogonal", "NNX: one orthogonal draw for all gates", "draws", Elsewhere("nnx", "FusedOrthogonal")),
    Fault("equinox-uniform", "Equinox: its own uniform draws", "draws", Elsewhere("equinox", "Uniform")),
)  # fmt: skip
