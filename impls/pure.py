"""The GRU in plain JAX: the floor that every framework's cost is measured from."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jaxtyping import Array, Bool, Float, Int

from ..common.config import GRUConfig, check_sizes
from ..common.initializers import per_gate
from ..common.inputs import check_call, computation_dtype, scan_inputs
from ..common.params import ClassifierParams, GRUParams, ReadoutParams, check_params
from ..common.port import CallStyle, check_kernel, functional_program

__all__ = ["PORT", "classify", "gru", "gru_step", "init"]


def gru(
    params: GRUParams,
    x: Float[Array, "*batch time features"],
    carry: Float[Array, "*batch hidden"] | None = None,
    *,
    lengths: Int[Array, "*batch"] | None = None,
    resets: Bool[Array, "*batch time"] | None = None,
    dtype: Any = None,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch time hidden"]]:
    """Run a GRU over a sequence, from its learned initial state unless a carry is passed.

    The equations are those of `trigru.common.oracle`, the parameters those of `trigru.common.params`.

    Args:
        params: canonical parameters.
        x: inputs (*batch, T, D).
        carry: starting state (*batch, H); None starts from `params.initial_carry`.
        lengths: valid steps (*batch); later steps leave the carry alone and give zero outputs.
        resets: (*batch, T); where true, the state becomes the initial carry before that step.
        dtype: of the computation; None promotes inputs and parameters.

    Returns:
        The final carry (*batch, H) and the outputs (*batch, T, H).

    Raises:
        InputError: shapes or dtypes that do not fit.

    >>> params = init(GRUConfig(input_size=4, hidden_size=8), jax.random.key(0))
    >>> carry, outputs = gru(params, jnp.ones((2, 5, 4)))
    >>> carry.shape, outputs.shape
    ((2, 8), (2, 5, 8))
    """
    D, H = params.weight_ih.shape[1], params.bias_n.shape[0]
    check_call(x, carry, input_size=D, hidden_size=H, lengths=lengths, resets=resets)
    x, params = _promote(dtype, x, params)
    x, resets, active = scan_inputs(x, lengths, resets)
    h = _start(params, x.shape[:-2], carry)

    def advance(h, inputs):
        x, reset, active = inputs
        if reset is not None:
            h = jnp.where(reset[..., None], jnp.broadcast_to(params.initial_carry, h.shape), h)
        h_next = _cell(params, x, h)
        if active is None:
            return h_next, h_next
        on = active[..., None]  # (*batch, 1)
        return jnp.where(on, h_next, h), jnp.where(on, h_next, jnp.zeros_like(h_next))

    by_time = jax.tree.map(lambda a: jnp.moveaxis(a, x.ndim - 2, 0), (x, resets, active))  # (T, *batch, ...)
    carry, outputs = jax.lax.scan(advance, h, by_time)
    return carry, jnp.moveaxis(outputs, 0, -2)  # (*batch, T, H)


def gru_step(
    params: GRUParams,
    x: Float[Array, "*batch features"],
    carry: Float[Array, "*batch hidden"] | None = None,
    *,
    dtype: Any = None,
) -> tuple[Float[Array, "*batch hidden"], Float[Array, "*batch hidden"]]:
    """Run one time step on x (*batch, D); returns the carry and the output, which are the same (*batch, H)."""
    D, H = params.weight_ih.shape[1], params.bias_n.shape[0]
    check_call(x, carry, input_size=D, hidden_size=H, time=False)
    x, params = _promote(dtype, x, params)
    h = _cell(params, x, _start(params, x.shape[:-1], carry))
    return h, h


def init(config: GRUConfig, key: Array) -> GRUParams:
    """Draw parameters: the distributions of `trigru.common.initializers`, the carry by `config.carry_init`."""
    check_sizes(input_size=config.input_size, hidden_size=config.hidden_size)
    D, H, dtype = config.input_size, config.hidden_size, jnp.dtype(config.param_dtype)
    key_i, key_h, key_c = jax.random.split(key, 3)
    return GRUParams(
        weight_ih=per_gate(initializers.lecun_normal())(key_i, (D, 3 * H), dtype).T,
        weight_hh=per_gate(initializers.orthogonal())(key_h, (H, 3 * H), dtype).T,
        bias=jnp.zeros((3 * H,), dtype),
        bias_n=jnp.zeros((H,), dtype),
        initial_carry=(config.carry_init or initializers.zeros)(key_c, (H,), dtype),
    )


def classify(params: ClassifierParams, x: Array, lengths: Array | None = None, *, dtype: Any = None) -> Array:
    """Logits (*batch, C) from the final carry of x (*batch, T, D)."""
    carry, _ = gru(params.gru, x, lengths=lengths, dtype=dtype)
    _, readout = _promote(carry.dtype, carry, params.readout)
    return _affine(carry, readout.weight, readout.bias)


def _cell(params: GRUParams, x: Array, h: Array) -> Array:
    gi_r, gi_z, gi_n = jnp.split(_affine(x, params.weight_ih, params.bias), 3, axis=-1)  # each (*batch, H)
    gh_r, gh_z, gh_n = jnp.split(h @ params.weight_hh.T, 3, axis=-1)  # each (*batch, H)
    r = jax.nn.sigmoid(gi_r + gh_r)
    z = jax.nn.sigmoid(gi_z + gh_z)
    n = jnp.tanh(gi_n + r * (gh_n + jnp.broadcast_to(params.bias_n, gh_n.shape)))
    return (1 - z) * n + z * h


def _affine(x: Array, weight: Array, bias: Array) -> Array:
    y = x @ weight.T
    return y + jnp.broadcast_to(bias, y.shape)


def _start(params: GRUParams, batch: tuple[int, ...], carry: Array | None) -> Array:
    h = params.initial_carry if carry is None else jnp.asarray(carry, params.initial_carry.dtype)
    return jnp.broadcast_to(h, (*batch, h.shape[-1]))


def _promote(dtype: Any, x: Any, params: Any) -> tuple[Array, Any]:
    """Inputs and parameters in the dtype of the computation."""
    dtype = computation_dtype(dtype, x, jax.tree.leaves(params)[0].dtype)
    return jnp.asarray(x, dtype), jax.tree.map(lambda p: jnp.asarray(p, dtype), params)


# The port ---------------------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Model:
    """Parameters with the dtype to compute in, so that every port has a model."""

    params: Any
    dtype: Any = field(default=None, metadata={"static": True})


class PurePort:
    """`trigru.common.port.Port` of plain JAX."""

    name = "pure"
    title = "plain JAX"
    packages = ("jax", "jaxlib")
    kernels = ("stock",)

    def make(self, config, key):
        check_kernel(self, config)
        gru = init(config, key)
        if config.classes is None:
            return Model(gru, config.dtype)
        shape, dtype = (config.hidden_size, config.classes), jnp.dtype(config.param_dtype)
        weight = initializers.lecun_normal()(jax.random.fold_in(key, 1), shape, dtype).T
        readout = ReadoutParams(weight, jnp.zeros((config.classes,), dtype))
        return Model(ClassifierParams(gru, readout), config.dtype)

    def load(self, config, params):
        check_kernel(self, config)
        check_params(params, config)
        return Model(jax.tree.map(jnp.asarray, params), config.dtype)

    def dump(self, tree):
        return jax.tree.map(np.asarray, tree.params)

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        return gru(model.params, x, carry, lengths=lengths, resets=resets, dtype=model.dtype)

    def step(self, model, x, carry=None):
        return gru_step(model.params, x, carry, dtype=model.dtype)

    def classify(self, model, x, lengths=None):
        return classify(model.params, x, lengths, dtype=model.dtype)

    def value_and_grad(self, function):
        def differentiate(model, *arrays):
            return jax.value_and_grad(function, argnums=tuple(range(1 + len(arrays))))(model, *arrays)

        return differentiate

    call_styles = (CallStyle("jit", "jax.jit(f)(params, x)", functional_program),)


PORT = PurePort()
