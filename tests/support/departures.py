"""Ports of the frameworks' own RNNs, unchanged, and a table of where they depart from the contract.

They are what a user has without trigru. Parameters are laid out as trigru's.
"""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from trigru.common.errors import NotOfferedError
from trigru.impls.equinox import EquinoxPort
from trigru.impls.linen import LinenPort
from trigru.impls.nnx import LAYOUT, NNXPort


@dataclass(frozen=True)
class Departure:
    """A place where a framework's own part does something else than the contract.

    Args:
        part: the framework's name for it.
        what: it does, in a sentence.
        checks: those that fail for this reason.
        source: where it is reported or documented.
    """

    part: str
    what: str
    checks: tuple[str, ...]
    source: str = ""


#: What linen's RNN and NNX's have in common.
_OF_FLAX = (
    ("has no episode resets", ("golden", "resets")),
    ("seq_lengths 0 returns the padded end's carry", ("lengths", "held")),
    (
        "outputs past a length are not zero, as its documentation says",
        ("lengths", "held"),
    ),
    ("NaN in the padding reaches gradients", ("lengths",)),
    ("dtype gives way to the carry's", ("carry", "life")),
    (
        "the default recurrent_kernel_init, JAX's orthogonal, can't draw in half precision",
        ("draws",),
    ),
    (
        "takes integers as inputs; bad calls go through or fail inside Flax",
        ("refusals",),
    ),
)
_OF_ALL = (
    ("has no initial state among its parameters", ("start",)),
    (
        "no loop of it can be traced in jax.shard_map where its inputs alone are divided: JAX's rule",
        ("mesh",),
    ),
)
_WITH_BIASES = (
    "sequence",
    "again",
    "chunks",
    "step",
    "inference",
    "jvp",
    "hvp",
    "batch-axes",
    "long",
    "inputs",
    "hidden",
    "carry",
    "lengths",
    "arrays",
    "reverse",
    "time-major",
    "long+unroll",
    "unroll",
    "vmap",
    "transform",
    "frozen",
    "told",
    "styles",
    "styles+training",
    "conversion",
    "life",
)
_WITHOUT_BN = Departure(
    "nnx.RNN",
    "has no b_hn, which its documentation has",
    _WITH_BIASES,
    "https://github.com/google/flax/issues/5594",
)
_OF_NNX = (
    ("has no option for rematerialisation", ("remat",)),
    ("one orthogonal draw for the fused matrix", ("draws",)),
    (
        "can't be closed over by a transform of JAX: pass it as an argument",
        ("export", "frozen"),
    ),
)
_OF_EQUINOX = (
    ("has no lengths", ("lengths", "golden", "counted", "refusals")),
    ("has no episode resets", ("resets", "golden")),
    ("draws weights and biases uniformly", ("draws",)),
    ("has no option for the dtype of the computation", ("carry", "life")),
)


def _departures() -> list[Departure]:
    departures = [_WITHOUT_BN]
    for part, rows in (
        ("nn.RNN", _OF_ALL + _OF_FLAX),
        ("nnx.RNN", _OF_ALL + _OF_NNX + _OF_FLAX),
        ("eqx.nn.GRUCell", _OF_ALL + _OF_EQUINOX),
    ):
        for what, checks in rows:
            departures.append(Departure(part, what, checks))
    return departures


DEPARTURES = _departures()


class OwnParts:
    """The base, before trigru's port, of a port of a framework's own parts."""

    name: str
    kernels = ("stock",)
    model_class = None

    def initial_carry(self, model, batch_shape=()):
        raise NotOfferedError(f"{self.name} has no method for the learned state")


def require_none(part: str, **masks: Any) -> None:
    """Raise a NotOfferedError for a mask that is passed to a part that takes none."""
    for name, mask in masks.items():
        if mask is not None:
            raise NotOfferedError(f"{part} takes no {name}")


def start_of(config):
    """The initializer of the initial carry."""
    return config.carry_init or jax.nn.initializers.zeros


# Flax: linen's and NNX's RNN and GRUCell take the same arguments -----------------------


class FlaxGRU:
    """The calls of a module with `rnn`, `cell` and `initial_carry`."""

    def __call__(
        self,
        x,
        carry=None,
        *,
        lengths=None,
        resets=None,
        reverse=False,
        time_major=False,
    ):
        require_none("Flax's RNN", resets=resets)
        batch = x.shape[1:-1] if time_major else x.shape[:-2]
        return self.rnn(
            x,
            initial_carry=self._start(batch, carry),
            seq_lengths=lengths,
            reverse=reverse,
            keep_order=True,
            time_major=time_major,
        )

    def step(self, x, carry=None, *, reset=None):
        require_none("Flax's GRUCell", reset=reset)
        return self.cell(self._start(x.shape[:-1], carry), x)

    def _start(self, batch, carry):
        h = self.initial_carry[...] if carry is None else carry
        return jnp.broadcast_to(h, (*batch, h.shape[-1]))


class LinenGRU(FlaxGRU, nn.Module):
    """`self.param` for the initial carry, everything else linen's own."""

    config: Any

    @property
    def dtype(self):
        return self.config.dtype

    @property
    def param_dtype(self):
        return jnp.dtype(self.config.param_dtype)

    def setup(self):
        H = self.config.hidden_size
        cell = nn.remat(nn.GRUCell) if self.config.remat else nn.GRUCell
        self.cell = cell(H, dtype=self.dtype, param_dtype=self.param_dtype)
        self.rnn = nn.RNN(self.cell, return_carry=True, unroll=self.config.unroll)
        self.initial_carry = self.param(
            "initial_carry", start_of(self.config), (H,), self.param_dtype
        )


class LinenRNNPort(OwnParts, LinenPort):
    """`nn.RNN(nn.GRUCell)` with a learned initial carry."""

    name = "nn.RNN"
    title = "linen nn.RNN(nn.GRUCell)"

    def _gru(self, config):
        return LinenGRU(config)


class NNXGRU(FlaxGRU, nnx.Module):
    """`nnx.Param` for the initial carry, everything else NNX's own."""

    def __init__(self, config, *, rngs):
        H = config.hidden_size
        param_dtype = jnp.dtype(config.param_dtype)
        cell = nnx.GRUCell(
            config.input_size,
            H,
            dtype=config.dtype,
            param_dtype=param_dtype,
            rngs=rngs,
        )
        self.rnn = nnx.RNN(cell, return_carry=True, unroll=config.unroll, rngs=False)
        start = start_of(config)(rngs.params(), (H,), param_dtype)
        self.initial_carry = nnx.Param(start)

    @property
    def cell(self):
        return self.rnn.cell


class NNXRNNPort(OwnParts, NNXPort):
    """`nnx.RNN(nnx.GRUCell)` with a learned initial carry. `load` drops b_hn, whose gradient is 0."""

    name = "nnx.RNN"
    title = "nnx.RNN(nnx.GRUCell)"
    layout = replace(
        LAYOUT,
        cell="rnn.cell.",
        rows=tuple(row for row in LAYOUT.rows if row.field != "bias_n"),
    )

    def _gru(self, config, rngs):
        if config.remat:
            raise NotOfferedError("nnx.RNN has no rematerialisation")
        return NNXGRU(config, rngs=rngs)


# Equinox ------------------------------------------------------------------------------


class EquinoxGRU(eqx.Module):
    """An array field for the initial carry, everything else Equinox's own."""

    cell: eqx.nn.GRUCell
    initial_carry: jax.Array
    unroll: int = eqx.field(static=True)
    remat: bool = eqx.field(static=True)

    def __call__(self, x, carry=None, *, lengths=None, resets=None, reverse=False):
        require_none("a scan over eqx.nn.GRUCell", lengths=lengths, resets=resets)

        def advance(h, x):
            h = self.cell(x, h)
            return h, h

        if self.remat:
            advance = eqx.filter_checkpoint(advance)
        h = self.initial_carry if carry is None else carry
        return jax.lax.scan(advance, h, x, reverse=reverse, unroll=self.unroll)

    def step(self, x, carry=None, *, reset=None):
        require_none("eqx.nn.GRUCell", reset=reset)
        h = self.cell(x, self.initial_carry if carry is None else carry)
        return h, h


class EquinoxCellPort(OwnParts, EquinoxPort):
    """A scan over `eqx.nn.GRUCell` with a learned initial carry."""

    name = "eqx.nn.GRUCell"
    title = "scan over eqx.nn.GRUCell"

    def _gru(self, config, key):
        if config.dtype not in (None, config.param_dtype):
            raise NotOfferedError(
                "eqx.nn.GRUCell has no dtype of the computation beside that of its parameters"
            )
        cell_key, carry_key = jax.random.split(key)
        H = config.hidden_size
        dtype = jnp.dtype(config.param_dtype)
        cell = eqx.nn.GRUCell(config.input_size, H, dtype=dtype, key=cell_key)
        start = start_of(config)(carry_key, (H,), dtype)
        return EquinoxGRU(cell, start, config.unroll, config.remat)


PARTS = (LinenRNNPort(), NNXRNNPort(), EquinoxCellPort())
