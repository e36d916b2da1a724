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

from ..compat import broadcast_as, explicit_sharding, sharded, vary_alike


def times(x: Any, kernel: Any) -> Any:
    """Inputs (T, *batch, D) times (D, K), all steps at once; None where one is zero by construction."""
    if is_zero(x) or is_zero(kernel):
        return None
    config: Any = jax.config
    x, kernel = vary_alike(x, kernel)  # otherwise the gradient's psum is missing
    return _product_p.bind(x, kernel, precision=config.jax_default_matmul_precision)


def total(shape: tuple[Any, ...], like: Array, *terms: Any) -> Array:
    """The sum of terms (K,) or (T, *batch, K), broadcast to (T, *batch, K) and spread as inputs (T, *batch, D) are."""
    present = [term for term in terms if not is_zero(term)] or [
        jnp.zeros((), like.dtype)
    ]
    return reduce(jnp.add, [broadcast_as(term, shape, like) for term in present])


def each(term: Array, like: Array) -> Array:
    """A term that is the same for all examples, as an array (*batch, K) that depends on the example.

    Under jax.vmap, its gradient is then summed over the steps first, and over the examples after the loop.
    """
    shape = (*like.shape[1:-1], term.shape[-1])
    one = jnp.ones((), term.dtype)  # of each example, which XLA knows to be 1
    return broadcast_as(term, shape, like, 1) * jnp.where(
        like[0, ..., :1] != 0, one, one
    )


def is_zero(term: Any) -> bool:
    """Whether a term is zero by construction."""
    return term is None or isinstance(term, SymbolicZero)


def _gradient(x: Array, t: Array, *, precision: Any, batch: int) -> Array:
    """Σ xᵀ t over all axes between the first few and the last (*batch, D, K), without gathering a spread batch."""
    mapped, summed = tuple(range(batch)), tuple(range(batch, x.ndim - 1))
    sharding = explicit_sharding(x)
    where = (
        {}
        if sharding is None
        else {"out_sharding": sharded(sharding, *sharding.spec[:batch], None, None)}
    )
    return jax.lax.dot_general(
        x, t, ((summed, summed), (mapped, mapped)), precision=precision, **where
    )


def _gradient_by_rows(x: Array, t: Array, *, precision: Any, batch: int) -> Array:
    """The same on one device: with several axes to sum over, XLA's CPU backend copies both into another order.

    On a mesh of explicit axes, as of one device, JAX would ask how rows are spread.
    """
    if explicit_sharding(x) is not None:
        return _gradient(x, t, precision=precision, batch=batch)
    x, t = (a.reshape(*a.shape[:batch], -1, a.shape[-1]) for a in (x, t))
    return jnp.matmul(jnp.swapaxes(x, -1, -2), t, precision=precision)


def _is_spread(context: Any) -> bool:
    """Whether a module that is being lowered leaves it to XLA to spread arrays over several devices."""
    if hasattr(context, "num_devices"):
        return context.num_devices > 1
    sizes = getattr(
        getattr(context, "mesh", None), "shape", {}
    )  # in a jax.shard_map, over these axes alone
    return any(
        size > 1 for axis, size in sizes.items() if axis not in context.manual_axes
    )


def _lower_gradient(context: Any, x: Any, t: Any, **how: Any) -> Any:
    form = (
        _gradient
        if _is_spread(context.module_context.axis_context)
        else _gradient_by_rows
    )
    return mlir.lower_fun(partial(form, **how), multiple_results=False)(context, x, t)


def _abstract_product(x: Any, kernel: Any, *, precision: Any) -> Any:
    by = getattr(x, "sharding", None)
    own = (
        {}
        if by is None
        else {"sharding": sharded(by, *by.spec[:-1], kernel.sharding.spec[-1])}
    )
    return x.update(shape=(*x.shape[:-1], kernel.shape[-1]), **own)


def _abstract_gradient(x: Any, t: Any, *, precision: Any, batch: int) -> Any:
    by = getattr(x, "sharding", None)
    own = {} if by is None else {"sharding": sharded(by, *by.spec[:batch], None, None)}
    return x.update(shape=(*x.shape[:batch], x.shape[-1], t.shape[-1]), **own)


def _batched_product(arguments: Any, axes: Any, *, precision: Any) -> tuple[Array, int]:
    (x, kernel), (x_axis, kernel_axis) = arguments, axes
    if kernel_axis is not None:
        return jax.vmap(partial(jnp.matmul, precision=precision), axes)(x, kernel), 0
    if x_axis == x.ndim - 1:
        x, x_axis = jnp.moveaxis(x, x_axis, 0), 0
    return _product_p.bind(x, kernel, precision=precision), x_axis


def _batched_gradient(
    arguments: Any, axes: Any, *, precision: Any, batch: int
) -> tuple[Array, int]:
    (size,) = {
        a.shape[axis]
        for a, axis in zip(arguments, axes, strict=True)
        if axis is not None
    }
    x, t = (
        jnp.broadcast_to(a, (size, *a.shape))
        if axis is None
        else jnp.moveaxis(a, axis, 0)
        for a, axis in zip(arguments, axes, strict=True)
    )
    return _gradient_p.bind(x, t, precision=precision, batch=batch + 1), 0


def _times(batch: int, precision: Any) -> Any:
    """The product for arrays whose first axes are mapped."""
    function: Any = partial(_product_p.bind, precision=precision)
    for _ in range(batch):
        function = jax.vmap(function)
    return function


# The product is a primitive, so that it has the transpose above. Under jax.vmap the examples become one more leading
# axis, and the gradient is still one product of matrices.
_product_p = Primitive("all_steps_product")
_product_p.def_impl(jnp.matmul)
_product_p.def_abstract_eval(_abstract_product)
mlir.register_lowering(_product_p, mlir.lower_fun(jnp.matmul, multiple_results=False))
batching.primitive_batchers[_product_p] = _batched_product
ad.defbilinear(
    _product_p,
    lambda t, x, kernel, precision: _product_p.bind(t, kernel.T, precision=precision),
    lambda t, x, kernel, precision: _gradient_p.bind(
        x, t, precision=precision, batch=0
    ),
)
# The transpose is one too, since its form depends on the devices, which are known when it is lowered.
_gradient_p = Primitive("all_steps_gradient")
_gradient_p.def_impl(_gradient_by_rows)  # as on one device
_gradient_p.def_abstract_eval(_abstract_gradient)
mlir.register_lowering(_gradient_p, _lower_gradient)
batching.primitive_batchers[_gradient_p] = _batched_gradient
ad.defbilinear(
    _gradient_p,
    lambda s, x, t, precision, batch: _times(batch, precision)(
        t, jnp.swapaxes(s, -1, -2)
    ),
    lambda s, x, t, precision, batch: _times(batch, precision)(x, s),
)
