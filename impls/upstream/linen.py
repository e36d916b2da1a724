"""`nn.RNN(nn.GRUCell)`, unchanged, with a learned initial carry."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers

from ...common.errors import NotOfferedError
from ..linen import Classifier, LinenPort
from .departure import Departure, lacks


class GRU(nn.Module):
    """The answer of the README: `self.param` for the initial carry, everything else linen's own."""

    features: int
    carry_init: Callable[..., Any] = initializers.zeros
    dtype: Any = None
    param_dtype: Any = jnp.float32
    unroll: int = 1
    remat: bool = False

    def setup(self):
        make = nn.remat(nn.GRUCell, prevent_cse=False) if self.remat else nn.GRUCell
        self.cell = make(self.features, dtype=self.dtype, param_dtype=self.param_dtype)
        self.rnn = nn.RNN(self.cell, return_carry=True, unroll=self.unroll)
        self.initial_carry = self.param("initial_carry", self.carry_init, (self.features,), self.param_dtype)

    def __call__(self, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False):
        """As `trigru.impls.linen.GRU`, where linen's own parts allow it."""
        if resets is not None:
            raise NotOfferedError("nn.RNN takes no resets")
        batch = x.shape[1:-1] if time_major else x.shape[:-2]
        h = jnp.broadcast_to(self.initial_carry if carry is None else carry, (*batch, self.features))
        return self.rnn(
            x, initial_carry=h, seq_lengths=lengths, reverse=reverse, keep_order=True, time_major=time_major
        )

    def step(self, x, carry=None):
        """One time step by the cell alone."""
        h = jnp.broadcast_to(self.initial_carry if carry is None else carry, (*x.shape[:-1], self.features))
        return self.cell(h, x)


class UpstreamLinenPort(LinenPort):
    """`trigru.common.Port` of linen's own parts; its parameters are laid out as those of trigru's port."""

    name = "nn.RNN"
    title = "linen nn.RNN(nn.GRUCell)"
    kernels = ("stock",)

    def _module(self, config) -> Any:
        options = {name: getattr(config, name) for name in ("dtype", "unroll", "remat")}
        param_dtype = jnp.dtype(config.param_dtype)
        carry_init = config.carry_init or initializers.zeros
        gru: Any = GRU(config.hidden_size, carry_init, param_dtype=param_dtype, **options)
        return gru if config.classes is None else Classifier(gru, config.classes)


PORT = UpstreamLinenPort()


# Where they depart ------------------------------------------------------------------------------------------------

X = np.linspace(-1, 1, 3 * 7 * 4, dtype="f4").reshape(3, 7, 4)
LENGTHS = np.array([0, 7, 3], "i4")


def _run(x: Any = X, *, dtype: Any = None, **options: Any) -> tuple[Any, Any]:
    rnn: Any = nn.RNN(nn.GRUCell(8, dtype=dtype), return_carry=True)
    return rnn.apply(rnn.init(jax.random.key(0), X), x, **options)


def _no_learned_state() -> str | None:
    variables = nn.RNN(nn.GRUCell(8)).init(jax.random.key(0), X)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    return None if any("carry" in name for name in names) else f"init gives {len(names)} leaves, no state among them"


def _length_zero() -> str | None:
    carry, _ = _run(seq_lengths=LENGTHS)
    seen = np.abs(np.asarray(carry[0])).max()
    return f"length 0 from a carry of zeros returns entries up to {seen:.2g}" if seen else None


def _padding_runs_on() -> str | None:
    _, outputs = _run(seq_lengths=LENGTHS)
    seen = np.abs(np.asarray(outputs[2, 3:])).max()
    return f"outputs up to {seen:.2g} past the length" if seen else None


def _padding_reaches_gradients() -> str | None:
    lengths = np.array([2, 7, 3], "i4")
    x = np.where((np.arange(7) >= lengths[:, None])[..., None], np.float32(np.nan), X)
    rnn: Any = nn.RNN(nn.GRUCell(8), return_carry=True)

    def total(variables):
        carry, _ = rnn.apply(variables, x, seq_lengths=lengths)
        return carry.sum()

    gradient = jax.tree.leaves(jax.grad(total)(rnn.init(jax.random.key(0), X)))
    bad = sum(not np.isfinite(leaf).all() for leaf in gradient)
    return f"NaN in the padding makes {bad} of {len(gradient)} gradients of the final carry NaN" if bad else None


def _two_batch_axes() -> str | None:
    try:
        carry, _ = _run(np.stack([X] * 3), seq_lengths=np.stack([LENGTHS] * 3))
    except Exception as error:
        return f"batch (3, 3): {type(error).__name__}"
    return None if carry.shape == (3, 3, 8) else f"batch (3, 3), 8 units: a carry of shape {carry.shape}"


def _bare_carry() -> str | None:
    try:
        _run(initial_carry=np.zeros(8, "f4"))
    except Exception as error:
        return f"a carry of shape (8,) on batch 3: {type(error).__name__} from the scan's body"
    return None


def _dtype_of_the_carry() -> str | None:
    _, outputs = _run(dtype=jnp.bfloat16)
    return None if outputs.dtype == jnp.bfloat16 else f"dtype=bfloat16 without a carry gives {outputs.dtype} outputs"


def _half_precision_parameters() -> str | None:
    try:
        nn.RNN(nn.GRUCell(8, param_dtype=jnp.bfloat16)).init(jax.random.key(0), X)
    except (TypeError, NotImplementedError) as error:  # of QR, in one JAX and in another
        return f"param_dtype=bfloat16: {type(error).__name__}, no QR in bfloat16"
    return None


MASKED = ("golden", "resets", "masks", "reverse", "batch-axes", "time-major", "inference", "hvp")

DEPARTURES: tuple[Departure, ...] = tuple(
    Departure(name, "nn.RNN", "flax", what, evidence, checks)
    for name, what, evidence, checks in (
        ("no-learned-state", "init returns no initial state", _no_learned_state, ()),
        ("no-resets", "has no episode resets", lacks("resets", nn.RNN.__call__), MASKED),
        ("length-zero", "seq_lengths 0 returns the padded end's carry", _length_zero, ("lengths", "classifier")),
        ("padding-runs-on", "outputs past a length are not zero", _padding_runs_on, ("lengths",)),
        ("padding-gradients", "NaN in the padding reaches gradients", _padding_reaches_gradients, ("lengths",)),
        ("two-batch-axes", "seq_lengths with two batch axes", _two_batch_axes, ()),
        ("bare-carry", "an unbatched carry is not broadcast", _bare_carry, ()),
        ("dtype", "dtype gives way to the carry's", _dtype_of_the_carry, ("dtype",)),
        (
            "half-parameters",
            "parameters in half precision can't be made",
            _half_precision_parameters,
            ("sequence", "param-dtype"),
        ),
    )
)
