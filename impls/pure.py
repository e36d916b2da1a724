"""A GRU in plain JAX whose initial state is a parameter, for comparing times.

The layout of the parameters differs from the canonical one: the matrices
(features_in, 3H) are fused, with the gates in the order r, z, n, and multiply from the
right.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray

from ..common.gru import checks, initializers, recurrence
from ..common.parameters.record import GRUParams
from ..common.port.protocol import (
    ModelClass,
    Port,
    check_config,
    check_load,
    own_array,
)
from ..common.port.styles import shared_styles

__all__ = ["PORT", "Params", "get_initial_carry", "gru", "gru_step", "init"]


class Params(NamedTuple):
    """The parameters of one GRU with D inputs and H units."""

    kernel_i: Float[Array, "D 3*H"]
    kernel_h: Float[Array, "H 3*H"]
    bias: Float[Array, " 3*H"]
    bias_n: Float[Array, " H"]
    initial_carry: Float[Array, " H"] | None  # None: not learned, zeros


def init(
    input_size: int,
    hidden_size: int,
    carry_init: Callable[..., Any] | None = jax.nn.initializers.zeros,
    *,
    kernel_init: Callable[..., Any] = initializers.fan_in_per_gate,
    recurrent_kernel_init: Callable[..., Any] = initializers.orthogonal_per_gate,
    bias_init: Callable[..., Any] = jax.nn.initializers.zeros,
    param_dtype: DTypeLike = jnp.float32,
    key: PRNGKeyArray,
) -> Params:
    """Draw parameters.

    Args:
        input_size: D, features of one input frame.
        hidden_size: H, hidden units.
        carry_init: JAX initializer of the initial carry, called with shape (H,). None
            means zeros that are not learned.
        kernel_init, recurrent_kernel_init, bias_init: JAX initializers, called with the
            shapes (D, 3H), (H, 3H), and (3H,) and (H,). By default each gate's matrix
            is drawn by itself, lecun_normal and orthogonal, and biases are zero.
        param_dtype: of the parameters.
        key: for the parameters.

    Raises an InputError for a size below 1, a dtype that is not a floating-point one,
    or a `carry_init` that fails.
    """
    checks.check_model(
        input_size=input_size, hidden_size=hidden_size, param_dtype=param_dtype
    )
    D = input_size
    H = hidden_size
    key_i, key_h, key_c, key_b, key_n = jax.random.split(key, 5)
    initial_carry = None
    if carry_init is not None:
        draw = initializers.for_carry(carry_init)
        initial_carry = draw(key_c, (H,), param_dtype)
    return Params(
        kernel_i=kernel_init(key_i, (D, 3 * H), param_dtype),
        kernel_h=recurrent_kernel_init(key_h, (H, 3 * H), param_dtype),
        bias=bias_init(key_b, (3 * H,), param_dtype),
        bias_n=bias_init(key_n, (H,), param_dtype),
        initial_carry=initial_carry,
    )


def gru(
    params: Params,
    x: Float[Array, "... features"],
    carry: Float[Array, "*batch hidden"] | None = None,
    *,
    lengths: Integer[Array, "*batch"] | None = None,
    resets: Bool[Array, "..."] | None = None,
    reverse: bool = False,
    time_major: bool = False,
    dtype: DTypeLike | None = None,
    unroll: int = 1,
    remat: bool = False,
    kernel: str = "stock",
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "... hidden"]]:
    """Run a GRU over sequences, from the learned initial carry unless one is passed.

    The equations are those of `trigru.common.equality.oracle`.

    Args:
        params: of D inputs and H units.
        x: inputs (*batch, T, D).
        carry: starting state (*batch, H); None starts from `params.initial_carry`.
        lengths: valid steps (*batch). Later steps leave the carry alone, and their
            outputs are zero.
        resets: (*batch, T). Where true, the state becomes the initial carry before
            that step.
        reverse: run from the last step to the first; outputs stay beside their
            inputs.
        time_major: inputs, resets and outputs are (T, *batch, ...).
        dtype: of the computation; None promotes inputs, parameters and a passed carry.
        unroll: steps in one iteration of the compiled loop.
        remat: recompute the gates in the backward pass instead of keeping them.
        kernel: "stock" scans the cell in plain JAX, "fused" runs `common.gru.fused`.
            Both give the same values up to rounding. "auto" chooses by the device and
            the sizes of a call (docs/kernel.md).

    Returns the final carry (*batch, H) and the outputs (*batch, T, H), in the dtype of
    the computation. Raises an InputError for arrays, flags or options that do not fit.

    >>> params = init(4, 8, key=jax.random.key(0))
    >>> carry, outputs = gru(params, jnp.ones((2, 5, 4)))
    >>> carry.shape, outputs.shape
    ((2, 8), (2, 5, 8))
    """
    checks.check_model(unroll=unroll, remat=remat, kernel=kernel, dtype=dtype)
    checks.check_call(
        x,
        carry,
        lengths=lengths,
        resets=resets,
        reverse=reverse,
        time_major=time_major,
        input_size=params.kernel_i.shape[0],
        hidden_size=params.bias_n.shape[0],
    )
    loop = recurrence.begin(
        x,
        carry,
        get_initial_carry(params, dtype=dtype),
        lengths=lengths,
        resets=resets,
        reverse=reverse,
        time_major=time_major,
        dtype=dtype,
    )
    weights = _weights(params, loop.dtype)
    if recurrence.is_fused(kernel, loop.x):
        return loop.run_fused(weights, unroll=unroll, remat=remat)
    return loop.run(partial(_cell, weights), unroll=unroll, remat=remat)


def gru_step(
    params: Params,
    x: Float[Array, "*batch features"],
    carry: Float[Array, "*batch hidden"] | None = None,
    *,
    reset: Bool[Array, "*batch"] | None = None,
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch hidden"]]:
    """Run one time step on x (*batch, D).

    It starts from the initial carry where reset (*batch) is true. Returns the carry and
    the output, which are the same (*batch, H), in the dtype of the computation. Raises
    an InputError for arrays or a dtype that do not fit.
    """
    checks.check_call(
        x,
        carry,
        reset=reset,
        time=False,
        input_size=params.kernel_i.shape[0],
        hidden_size=params.bias_n.shape[0],
    )
    initial = get_initial_carry(params, dtype=dtype)  # (H,)
    h, x = recurrence.begin_step(x, carry, initial, reset=reset, dtype=dtype)
    h = _cell(_weights(params, h.dtype), h, x)
    return h, h


def get_initial_carry(
    params: Params, batch_shape: tuple[int, ...] = (), *, dtype: DTypeLike | None = None
) -> Float[Array, "*batch hidden"]:
    """The initial carry (*batch_shape, H), in `dtype` or that of the parameters.

    Raises an InputError for a bad shape.
    """
    checks.check_model(dtype=dtype)
    checks.check_batch_shape(batch_shape)
    dtype = checks.computation_dtype(dtype, *params)
    shape = (*batch_shape, params.bias_n.shape[0])
    if params.initial_carry is None:
        return jnp.zeros(shape, dtype)
    return jnp.broadcast_to(jnp.asarray(params.initial_carry, dtype), shape)


def _weights(params: Params, dtype: Any) -> recurrence.Weights:
    weights = recurrence.Weights(
        params.kernel_i, params.kernel_h, params.bias, params.bias_n
    )
    return recurrence.cast(weights, dtype)


def _cell(weights: recurrence.Weights, h: Array, x: Array) -> Array:
    """The next state (*batch, H) after h (*batch, H), for inputs x (*batch, D)."""
    gi = x @ weights.kernel_i  # (*batch, 3H)
    gi = gi + jnp.broadcast_to(weights.bias, gi.shape)
    gh = h @ weights.kernel_h  # (*batch, 3H)
    gi_r, gi_z, gi_n = jnp.split(gi, 3, axis=-1)  # each (*batch, H)
    gh_r, gh_z, gh_n = jnp.split(gh, 3, axis=-1)  # each (*batch, H)
    r = jax.nn.sigmoid(gi_r + gh_r)
    z = jax.nn.sigmoid(gi_z + gh_z)
    n = jnp.tanh(gi_n + r * (gh_n + jnp.broadcast_to(weights.bias_n, gh_n.shape)))
    return (1 - z) * n + z * h


# The port -----------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Model:
    """Parameters with the options of a call; a call is one of `gru`."""

    params: Params
    dtype: Any = field(default=None, metadata={"static": True})
    unroll: int = field(default=1, metadata={"static": True})
    remat: bool = field(default=False, metadata={"static": True})
    kernel: str = field(default="stock", metadata={"static": True})

    def __call__(self, x, carry=None, **arguments):
        return gru(
            self.params,
            x,
            carry,
            **arguments,
            dtype=self.dtype,
            unroll=self.unroll,
            remat=self.remat,
            kernel=self.kernel,
        )


def _construct(key, input_size, hidden_size, **options):
    call_options = {}
    for name in ("dtype", "unroll", "remat", "kernel"):
        if name in options:
            call_options[name] = options.pop(name)
    params = init(input_size, hidden_size, **options, key=key)
    return Model(params, **call_options)


CLASS = ModelClass(
    _construct,
    initializers={
        "kernel_init": ("weight_ih",),
        "recurrent_kernel_init": ("weight_hh",),
        "bias_init": ("bias", "bias_n"),
    },
)


# Call styles --------------------------------------------------------------------------

CALL_STYLES = shared_styles(
    name="jit",
    source="https://docs.jax.dev/en/latest/jit-compilation.html",
)


# The protocol -------------------------------------------------------------------------


class PurePort(Port):
    """`trigru.common.Port` of plain JAX."""

    name = "pure"
    title = "plain JAX"
    packages = ("jax", "jaxlib")
    model_class = CLASS
    call_styles = CALL_STYLES

    def make(self, config, key):
        check_config(self, config)
        return _construct(
            key, config.input_size, config.hidden_size, **config.model_options()
        )

    def load(self, config, params):
        check_load(self, config, params)
        arrays = Params(
            kernel_i=params.weight_ih.T,
            kernel_h=params.weight_hh.T,
            bias=params.bias,
            bias_n=params.bias_n,
            initial_carry=params.initial_carry,
        )
        return Model(
            jax.tree.map(own_array, arrays),
            dtype=config.dtype,
            unroll=config.unroll,
            remat=config.remat,
            kernel=config.kernel,
        )

    def dump(self, tree):
        params = jax.tree.map(np.asarray, tree.params)
        initial_carry = params.initial_carry
        if initial_carry is None:
            initial_carry = np.zeros_like(params.bias_n)
        return GRUParams(
            weight_ih=params.kernel_i.T,
            weight_hh=params.kernel_h.T,
            bias=params.bias,
            bias_n=params.bias_n,
            initial_carry=initial_carry,
        )

    def step(self, model, x, carry=None, *, reset=None):
        return gru_step(model.params, x, carry, reset=reset, dtype=model.dtype)

    def initial_carry(self, model, batch_shape=()):
        return get_initial_carry(model.params, batch_shape, dtype=model.dtype)


PORT = PurePort()
