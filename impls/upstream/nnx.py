"""`nnx.RNN(nnx.GRUCell)`, unchanged, with a learned initial carry."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn import initializers

from ...common.errors import NotOfferedError
from ..nnx import LAYOUT, NNXPort
from .departure import Departure, lacks


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

    def step(self, x, carry=None):
        """One time step by the cell alone."""
        return self.rnn.cell(self._start(x.shape[:-1], carry), x)

    def _start(self, batch, carry):
        h = self.initial_carry[...] if carry is None else carry
        return jnp.broadcast_to(h, (*batch, h.shape[-1]))


class Classifier(nnx.Module):
    """A linear readout of the GRU's final carry."""

    def __init__(self, gru: GRU, config: Any, *, rngs: nnx.Rngs):
        self.gru = gru
        param_dtype = jnp.dtype(config.param_dtype)
        self.readout = nnx.Linear(config.hidden_size, config.classes, param_dtype=param_dtype, rngs=rngs)

    def __call__(self, x, lengths=None):
        """Logits (*batch, C)."""
        carry, _ = self.gru(x, lengths=lengths)
        return self.readout(carry)


class UpstreamNNXPort(NNXPort):
    """`trigru.common.Port` of NNX's own parts. They have no place for b_hn: it is lost, and its gradient is 0."""

    name = "nnx.RNN"
    title = "nnx.RNN(nnx.GRUCell)"
    kernels = ("stock",)
    layout = replace(LAYOUT, cell="rnn.cell.", rows=tuple(row for row in LAYOUT.rows if row.field != "bias_n"))

    def make(self, config, key) -> Any:
        if config.remat:
            raise NotOfferedError("nnx.RNN has no rematerialisation")
        rngs = nnx.Rngs(key)
        gru = GRU(config, rngs=rngs)
        return gru if config.classes is None else Classifier(gru, config, rngs=rngs)


PORT = UpstreamNNXPort()


# Where they depart ------------------------------------------------------------------------------------------------

X = np.linspace(-1, 1, 3 * 7 * 4, dtype="f4").reshape(3, 7, 4)
LENGTHS = np.array([0, 7, 3], "i4")


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


def _length_zero() -> str | None:
    carry, _ = _rnn()(X, seq_lengths=LENGTHS)
    seen = np.abs(np.asarray(carry[0])).max()
    return f"length 0 from a carry of zeros returns entries up to {seen:.2g}" if seen else None


def _padding_runs_on() -> str | None:
    _, outputs = _rnn()(X, seq_lengths=LENGTHS)
    seen = np.abs(np.asarray(outputs[2, 3:])).max()
    return f"outputs up to {seen:.2g} past the length" if seen else None


def _padding_reaches_gradients() -> str | None:
    lengths = np.array([2, 7, 3], "i4")
    x = np.where((np.arange(7) >= lengths[:, None])[..., None], np.float32(np.nan), X)

    def total(rnn):
        carry, _ = rnn(x, seq_lengths=lengths)
        return carry.sum()

    gradient = jax.tree.leaves(nnx.grad(total)(_rnn()))
    bad = sum(not np.isfinite(leaf).all() for leaf in gradient)
    return f"NaN in the padding makes {bad} of {len(gradient)} gradients of the final carry NaN" if bad else None


def _two_batch_axes() -> str | None:
    try:
        carry, _ = _rnn()(np.stack([X] * 3), seq_lengths=np.stack([LENGTHS] * 3))
    except Exception as error:
        return f"batch (3, 3): {type(error).__name__}"
    return None if carry.shape == (3, 3, 8) else f"batch (3, 3), 8 units: a carry of shape {carry.shape}"


def _bare_carry() -> str | None:
    try:
        _rnn()(X, initial_carry=jnp.zeros(8))
    except Exception as error:
        return f"a carry of shape (8,) on batch 3: {type(error).__name__} from the scan's body"
    return None


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


def _half_precision_parameters() -> str | None:
    try:
        _cell(param_dtype=jnp.bfloat16)
    except (TypeError, NotImplementedError) as error:  # of QR, in one JAX and in another
        return f"param_dtype=bfloat16: {type(error).__name__}, no QR in bfloat16"
    return None


def _dtype_of_the_carry() -> str | None:
    _, outputs = _rnn(dtype=jnp.bfloat16)(X)
    return None if outputs.dtype == jnp.bfloat16 else f"dtype=bfloat16 without a carry gives {outputs.dtype} outputs"


MASKED = ("golden", "resets", "masks", "reverse", "batch-axes", "time-major", "inference", "hvp")
WITH_BIASES = (
    *("conversion", "sequence", "carry", "chunks", "step", "lengths", "unroll", "eager", "vmap", "export", "jvp"),
    *("dtype", "param-dtype", "forward", "training", "sgd", "adamw", "classifier", "carry-rate"),
)
B_HN = "https://github.com/google/flax/issues/5594"

DEPARTURES: tuple[Departure, ...] = tuple(
    Departure(name, "nnx.RNN", "flax", what, evidence, checks, source=source)
    for name, what, evidence, checks, source in (
        ("no-b-hn", "has no b_hn, which its documentation has", _no_b_hn, WITH_BIASES, B_HN),
        ("no-learned-state", "has no initial state among its parameters", _no_learned_state, (), ""),
        ("no-resets", "has no episode resets", lacks("resets", nnx.RNN.__call__), MASKED, ""),
        ("no-remat", "has no rematerialisation", lacks("remat", nnx.RNN.__init__), ("remat",), ""),
        ("length-zero", "seq_lengths 0 returns the padded end's carry", _length_zero, ("lengths", "classifier"), ""),
        ("padding-runs-on", "outputs past a length are not zero", _padding_runs_on, ("lengths",), ""),
        ("padding-gradients", "NaN in the padding reaches gradients", _padding_reaches_gradients, ("lengths",), ""),
        ("two-batch-axes", "seq_lengths with two batch axes", _two_batch_axes, (), ""),
        ("bare-carry", "an unbatched carry is not broadcast", _bare_carry, (), ""),
        ("fused-orthogonal", "one orthogonal draw for the fused matrix", _fused_orthogonal, (), ""),
        ("closed-over", "can't be closed over by a transform of JAX", _closed_over, (), ""),
        ("dtype", "dtype gives way to the carry's", _dtype_of_the_carry, ("dtype",), ""),
        (
            "half-parameters",
            "parameters in half precision can't be made",
            _half_precision_parameters,
            ("sequence", "param-dtype"),
            "",
        ),
    )
)
