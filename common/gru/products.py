"""Products of all steps at once with a weight: their transpose is one matrix product over all steps.

Where a term is zero by construction, like the tangent of an array that is not differentiated, there is no product.
"""

from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from ..compat import varying_axes


def times(x: Any, kernel: Any) -> Any:
    """Inputs (T, *batch, D) times (D, K), all steps at once; None where one is zero by construction."""
    if is_zero(x) or is_zero(kernel):
        return None
    config: Any = jax.config
    return _product_p.bind(*_alike(x, kernel), precision=config.jax_default_matmul_precision)


def total(shape: tuple[int, ...], like: Array, *terms: Any) -> Array:
    """The sum of the terms that are not zero by construction, broadcast to a shape."""
    there = [jnp.broadcast_to(term, shape) for term in terms if not is_zero(term)]
    return reduce(jnp.add, there) if there else jnp.zeros(shape, like.dtype)


def is_zero(term: Any) -> bool:
    """Whether a term is zero by construction."""
    return term is None or isinstance(term, SymbolicZero)


def _alike(x: Array, kernel: Array) -> tuple[Array, Array]:
    """Both arrays, varying over the same axes of a jax.shard_map: otherwise the gradient's psum is missing."""
    axes = [varying_axes(a) for a in (x, kernel)]
    missing = [tuple(axes[1] - axes[0]), tuple(axes[0] - axes[1])]  # nothing is, outside of a jax.shard_map
    x, kernel = (jax.lax.pcast(a, m, to="varying") if m else a for a, m in zip((x, kernel), missing, strict=True))
    return x, kernel


def _product(x: Array, kernel: Array, *, precision: Any) -> Array:
    return jnp.matmul(x, kernel, precision=precision)


def _kernel_gradient(x: Array, t: Array, precision: Any) -> Array:
    """Σ xᵀ t over all leading axes (D, K)."""
    if jax.device_count() > 1:  # a batch spread over devices must not be gathered to be reshaped
        summed = tuple(range(x.ndim - 1))
        return jax.lax.dot_general(x, t, ((summed, summed), ((), ())), precision=precision)
    # with several axes to sum over, XLA's CPU backend copies both factors into another order
    return jnp.matmul(x.reshape(-1, x.shape[-1]).T, t.reshape(-1, t.shape[-1]), precision=precision)


def _batched_product(arguments: Any, axes: Any, *, precision: Any) -> tuple[Array, int]:
    (x, kernel), (x_axis, kernel_axis) = arguments, axes
    if kernel_axis is not None:
        return jax.vmap(partial(_product, precision=precision), (x_axis, kernel_axis))(x, kernel), 0
    if x_axis == x.ndim - 1:
        x, x_axis = jnp.moveaxis(x, x_axis, 0), 0
    return _product_p.bind(x, kernel, precision=precision), x_axis


# The product is a primitive, so that it has the transpose above. Under jax.vmap the examples become one more leading
# axis, and the gradient is still one product of matrices.
_product_p = Primitive("all_steps_product")
_product_p.def_impl(_product)
_product_p.def_abstract_eval(lambda x, kernel, precision: x.update(shape=(*x.shape[:-1], kernel.shape[-1])))
mlir.register_lowering(_product_p, mlir.lower_fun(_product, multiple_results=False))
batching.primitive_batchers[_product_p] = _batched_product
ad.defbilinear(
    _product_p,
    lambda t, x, kernel, precision: _product_p.bind(t, kernel.T, precision=precision),
    lambda t, x, kernel, precision: _kernel_gradient(x, t, precision),
)
