"""Faults in a model's life: calls again, copies, what is stored, and two models made alike."""

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ..pure import Model, PurePort
from .fault import Elsewhere, Fault


class _Remembers(PurePort):
    """Outside of jit, the second call starts where the first one ended."""

    def __init__(self):
        self._last: Any = None

    def apply(self, model, x, carry=None, **options):
        if isinstance(x, Tracer):
            return super().apply(model, x, carry, **options)
        fits = self._last is not None and self._last.shape[:-1] == x.shape[:-2]
        found = super().apply(model, x, self._last if fits and carry is None else carry, **options)
        self._last = found[0]
        return found


class _LoadsOnce(PurePort):
    """Keeps the first model of a configuration and hands it out again."""

    def __init__(self):
        self._known: dict[Any, Any] = {}

    def load(self, config, params):
        key = replace(config, carry_init=None)
        return self._known.setdefault(key, super().load(config, params))


class _LoadsByShape(PurePort):
    """Guesses from the shape of a matrix whether its first axis is that of gates."""

    def load(self, config, params):
        gru = getattr(params, "gru", params)
        if hasattr(gru, "weight_ih") and gru.weight_ih.shape[0] == config.input_size:
            gru = gru._replace(weight_ih=gru.weight_ih.T)
        return super().load(config, params._replace(gru=gru) if hasattr(params, "gru") else gru)


class _LoadForgets(PurePort):
    def load(self, config, params):
        return super().load(replace(config, unroll=1), params)


class _MakeForgets(PurePort):
    """A made classifier keeps all that remat would compute again."""

    def make(self, config, key):
        return super().make(replace(config, remat=config.remat and config.classes is None), key)


class _MakeNarrows(PurePort):
    """In float32, whatever the configuration says."""

    def make(self, config, key):
        return super().make(replace(config, param_dtype="float32"), key)


class _MadeOther(PurePort):
    """A made model, whose biases are still zero, computes something else."""

    def apply(self, model, x, carry=None, **options):
        carry, outputs = super().apply(model, x, carry, **options)
        drawn = jnp.all(model.params.bias == 0)
        return carry, jnp.where(drawn, outputs * (1 + 1e-9), outputs)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Rounding(Model):
    """In a pickle, numbers take half the space."""

    half: bool = field(default=True, metadata={"static": True})

    def __copy__(self):
        return replace(self)

    def __deepcopy__(self, memo):
        return replace(self)

    def __getstate__(self):
        return vars(self) | {"params": jax.tree.map(lambda p: p.astype(jnp.float32), self.params)}

    def __setstate__(self, state):
        wide = jax.tree.map(lambda p: p.astype(jnp.float64), state["params"])
        vars(self).update(state | {"params": wide})


class _PickleRounds(PurePort):
    def load(self, config, params):
        return _Rounding(*vars(super().load(config, params)).values())

    def make(self, config, key):
        return _Rounding(*vars(super().make(config, key)).values())


class _LoadKeeps(PurePort):
    """Keeps an array of the record that it loads."""

    def load(self, config, params):
        model = super().load(config, params)
        return model if config.classes else replace(model, params=model.params._replace(bias=params.bias))


FAULTS: tuple[Fault, ...] = (
    Fault("remembers", "a call starts where the one before ended", "life", _Remembers()),
    Fault("loads-once", "other parameters are not loaded again", "life", _LoadsOnce()),
    Fault("load-by-shape", "a square input matrix is loaded transposed", "faint", _LoadsByShape()),
    Fault("load-forgets", "loaded, unroll is lost", "life", _LoadForgets()),
    Fault("load-keeps", "who writes into a record changes the model loaded from it", "life", _LoadKeeps()),
    Fault("make-forgets", "made, a classifier's remat is lost", "life", _MakeForgets()),
    Fault("make-narrows", "made in float32, whatever is asked for", "life", _MakeNarrows()),
    Fault("made-other", "a made model is not what it dumps", "life", _MadeOther()),
    Fault("pickle-rounds", "a pickle rounds to float32", "life", _PickleRounds()),
    Fault("linen-anew", "linen: each model is compiled anew", "life", Elsewhere("linen", "Anew")),
    Fault("nnx-closures", "NNX: each model has closures of its own", "life", Elsewhere("nnx", "Closures")),
    Fault("nnx-in-place", "NNX: loading changes the models before", "life", Elsewhere("nnx", "InPlace")),
    Fault("equinox-copy", "Equinox: a copy forgets remat", "life", Elsewhere("equinox", "CopyForgets")),
)
