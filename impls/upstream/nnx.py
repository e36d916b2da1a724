"""`nnx.RNN(nnx.GRUCell)`, unchanged, with a learned initial carry."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn import initializers

from ...common.errors import NotOfferedError
from ..nnx import LAYOUT, Classifier, NNXPort
from .departure import Departure, lacks
from .rnn import X, departures_of_both


class GRU(nnx.Module):
    """The answer of the README: `nnx.Param` for the initial carry, everything else NNX's own."""

    def __init__(self, config: Any, *, rngs: nnx.Rngs):
        H, param_dtype = config.hidden_size, jnp.dtype(config.param_dtype)
        cell = nnx.GRUCell(config.input_size, H, dtype=config.dtype, param_dtype=param_dtype, rngs=rngs)
        self.rnn = nnx.RNN(cell, return_carry=True, unroll=config.unroll, rngs=False)
        self.initial_carry = nnx.Param((config.carry_init or initializers.zeros)(rngs.params(), (H,), param_dtype))

    def __call__(self, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False):
        """As `trigru.impls.nnx.GRU`, where NNX's own parts allow it."""
        if resets is not None:
            raise NotOfferedError("nnx.RNN takes no resets")
        h = self._start(x.shape[1:-1] if time_major else x.shape[:-2], carry)
        return self.rnn(
            x, initial_carry=h, seq_lengths=lengths, reverse=reverse, keep_order=True, time_major=time_major
        )

    def step(self, x, carry=None, *, reset=None):
        """One time step by the cell alone."""
        if reset is not None:
            raise NotOfferedError("nnx.GRUCell takes no reset")
        return self.cell(self._start(x.shape[:-1], carry), x)

    @property
    def cell(self) -> Any:
        """Where trigru's has it."""
        return self.rnn.cell

    def _start(self, batch, carry):
        h = self.initial_carry[...] if carry is None else carry
        return jnp.broadcast_to(h, (*batch, h.shape[-1]))


class UpstreamNNXPort(NNXPort):
    """`trigru.common.Port` of NNX's own parts. They have no place for b_hn: it is lost, and its gradient is 0."""

    name = "nnx.RNN"
    title = "nnx.RNN(nnx.GRUCell)"
    kernels = ("stock",)
    layout = replace(LAYOUT, cell="rnn.cell.", rows=tuple(row for row in LAYOUT.rows if row.field != "bias_n"))

    def initial_carry(self, model, batch_shape=()):
        raise NotOfferedError("nnx.RNN hands out no learned state")

    def make(self, config, key) -> Any:
        if config.remat:
            raise NotOfferedError("nnx.RNN has no rematerialisation")
        rngs = nnx.Rngs(key)
        gru = GRU(config, rngs=rngs)
        return gru if config.classes is None else Classifier(gru, config.classes, rngs=rngs)


PORT = UpstreamNNXPort()


# Where they depart ------------------------------------------------------------------------------------------------


def _cell(**options: Any) -> nnx.GRUCell:
    return nnx.GRUCell(4, 8, rngs=nnx.Rngs(0), **options)


def _rnn(**options: Any) -> Any:
    return nnx.RNN(_cell(**options), return_carry=True, rngs=nnx.Rngs(0))


def _no_b_hn() -> str | None:
    biases = [leaf.shape for leaf in jax.tree.leaves(nnx.state(_cell(), nnx.Param)) if leaf.ndim == 1]
    return None if sum(size for (size,) in biases) == 4 * 8 else f"8 units, biases of shapes {biases}"


def _no_learned_state() -> str | None:
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(nnx.state(_rnn()))]
    return None if any("carry" in name for name in names) else "no state among the parameters"


def _run(x: Any, *, dtype: Any = None, **options: Any) -> tuple[Any, Any]:
    return _rnn(dtype=dtype)(x, **options)


def _gradient(x: Any, lengths: Any) -> Any:
    def total(rnn):
        carry, _ = rnn(x, seq_lengths=lengths)
        return carry.sum()

    return nnx.grad(total)(_rnn())


def _fused_orthogonal() -> str | None:
    kernel = np.asarray(_cell().dense_h.kernel[...])
    off = max(float(np.abs(gate @ gate.T - np.eye(8)).max()) for gate in np.split(kernel, 3, axis=1))
    return f"gates up to {off:.2g} from orthogonal" if off > 1e-3 else None


def _closed_over() -> str | None:
    rnn, h = _rnn(), jnp.zeros((3, 8))
    failed = []
    for name, transform in (("jit", jax.jit), ("vmap", jax.vmap), ("checkpoint", jax.checkpoint)):
        try:
            transform(lambda x, h: rnn(x, initial_carry=h))(X, h)
        except Exception as error:
            failed.append(f"jax.{name} ({type(error).__name__})")
    return f"a model that is closed over fails in {', '.join(failed)}" if failed else None


WITH_BIASES = (
    *("sequence", "chunks", "step", "classifier", "inference", "jvp", "hvp", "batch-axes", "long", "inputs", "hidden"),
    *("carry", "lengths", "arrays", "reverse", "time-major", "long+unroll", "unroll", "vmap", "transform", "styles"),
    *("styles+training", "conversion", "training", "life"),
)
B_HN = "https://github.com/google/flax/issues/5594"

DEPARTURES: tuple[Departure, ...] = (
    *(
        Departure(name, "nnx.RNN", "flax", what, evidence, checks, source=source)
        for name, what, evidence, checks, source in (
            ("no-b-hn", "has no b_hn, which its documentation has", _no_b_hn, WITH_BIASES, B_HN),
            ("no-learned-state", "has no initial state among its parameters", _no_learned_state, ("start",), ""),
            ("no-remat", "has no rematerialisation", lacks("remat", nnx.RNN.__init__), ("remat", "memory"), ""),
            ("fused-orthogonal", "one orthogonal draw for the fused matrix", _fused_orthogonal, ("draws",), ""),
            ("closed-over", "can't be closed over by a transform of JAX", _closed_over, ("export",), ""),
        )
    ),
    *departures_of_both("nnx.RNN", nnx.RNN, _run, _gradient, lambda dtype: _cell(param_dtype=dtype)),
)
