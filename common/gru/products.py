"""Products of all steps at once with a weight.

Their transpose is one matrix product over all steps. Where a term is zero by
construction, like the tangent of an array that is not differentiated, there is no
product.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from ..compat import broadcast_as, explicit_sharding, sharded, vary_alike

__all__ = ["each", "is_zero", "times", "total"]


def times(x: Any, kernel: Any) -> Array | None:
    """Inputs (T, *batch, D) times (D, K), all steps at once.

    None stands for an array that is zero by construction, also as the result.
    """
    if is_zero(x) or is_zero(kernel):
        return None
    config: Any = jax.config
    x, kernel = vary_alike(x, kernel)  # otherwise the gradient's psum is missing
    return _product_p.bind(x, kernel, precision=config.jax_default_matmul_precision)


def total(shape: tuple[Any, ...], like: Array, *terms: Any) -> Array:
    """The sum of terms (K,) or (T, *batch, K), as an array (T, *batch, K).

    It is spread over devices as inputs (T, *batch, D) are.
    """
    present = [term for term in terms if not is_zero(term)]
    if not present:
        present = [jnp.zeros((), like.dtype)]
    first, *others = [broadcast_as(term, shape, like) for term in present]
    for term in others:
        first = first + term
    return first


def each(term: Array, like: Array) -> Array:
    """A term that is the same for all examples, as an array (*batch, K).

    JAX takes the array to depend on the example. Under jax.vmap, its gradient is then
    summed over the steps first, and over the examples after the loop.
    """
    shape = (*like.shape[1:-1], term.shape[-1])
    one = jnp.ones((), term.dtype)
    one_of_each_example = jnp.where(like[0, ..., :1] != 0, one, one)  # (*batch, 1)
    return broadcast_as(term, shape, like, 1) * one_of_each_example


def is_zero(term: Any) -> bool:
    """Whether a term is zero by construction."""
    return term is None or isinstance(term, SymbolicZero)


# The product is a primitive, so that it has a transpose of its own. Under jax.vmap the
# examples become one more leading axis, and the gradient is still one product of
# matrices.


def _abstract_product(x: Any, kernel: Any, *, precision: Any) -> Any:
    shape = (*x.shape[:-1], kernel.shape[-1])
    sharding = getattr(x, "sharding", None)
    if sharding is None:
        return x.update(shape=shape)
    spread = sharded(sharding, *sharding.spec[:-1], kernel.sharding.spec[-1])
    return x.update(shape=shape, sharding=spread)


def _batched_product(arguments: Any, axes: Any, *, precision: Any) -> tuple[Array, int]:
    x, kernel = arguments
    x_axis, kernel_axis = axes
    if kernel_axis is not None:
        product = jax.vmap(partial(jnp.matmul, precision=precision), axes)
        return product(x, kernel), 0
    if x_axis == x.ndim - 1:  # the axis that the product sums over has to be the last
        x = jnp.moveaxis(x, x_axis, 0)
        x_axis = 0
    return _product_p.bind(x, kernel, precision=precision), x_axis


def _transpose_to_x(t: Any, x: Any, kernel: Any, *, precision: Any) -> Any:
    return _product_p.bind(t, kernel.T, precision=precision)


def _transpose_to_kernel(t: Any, x: Any, kernel: Any, *, precision: Any) -> Any:
    return _gradient_p.bind(x, t, precision=precision, batch=0)


_product_p = Primitive("all_steps_product")
_product_p.def_impl(jnp.matmul)
_product_p.def_abstract_eval(_abstract_product)
mlir.register_lowering(_product_p, mlir.lower_fun(jnp.matmul, multiple_results=False))
batching.primitive_batchers[_product_p] = _batched_product
ad.defbilinear(_product_p, _transpose_to_x, _transpose_to_kernel)


# The gradient of the weight is a primitive, too, since its form depends on the devices,
# which are known when it is lowered.


def _gradient(x: Array, t: Array, *, precision: Any, batch: int) -> Array:
    """Σ xᵀ t (*batch, D, K), over all axes between the first few and the last.

    A batch that is spread over devices is not gathered.
    """
    mapped = tuple(range(batch))
    summed = tuple(range(batch, x.ndim - 1))
    product = partial(
        jax.lax.dot_general,
        x,
        t,
        ((summed, summed), (mapped, mapped)),
        precision=precision,
    )
    sharding = explicit_sharding(x)
    if sharding is None:
        return product()
    spread = sharded(sharding, *sharding.spec[:batch], None, None)
    return product(out_sharding=spread)


def _gradient_by_rows(x: Array, t: Array, *, precision: Any, batch: int) -> Array:
    """The same on one device, with the axes to sum over made one.

    Of several such axes, XLA's CPU backend would copy both arrays into another order.
    On a mesh of explicit axes, as of one device, JAX would ask how rows are spread.
    """
    if explicit_sharding(x) is not None:
        return _gradient(x, t, precision=precision, batch=batch)
    x = x.reshape(*x.shape[:batch], -1, x.shape[-1])  # (*batch, rows, D)
    t = t.reshape(*t.shape[:batch], -1, t.shape[-1])  # (*batch, rows, K)
    return jnp.matmul(jnp.swapaxes(x, -1, -2), t, precision=precision)


def _abstract_gradient(x: Any, t: Any, *, precision: Any, batch: int) -> Any:
    shape = (*x.shape[:batch], x.shape[-1], t.shape[-1])
    sharding = getattr(x, "sharding", None)
    if sharding is None:
        return x.update(shape=shape)
    spread = sharded(sharding, *sharding.spec[:batch], None, None)
    return x.update(shape=shape, sharding=spread)


def _lower_gradient(context: Any, x: Any, t: Any, **options: Any) -> Any:
    is_spread = _is_spread(context.module_context.axis_context)
    gradient = partial(_gradient if is_spread else _gradient_by_rows, **options)
    return mlir.lower_fun(gradient, multiple_results=False)(context, x, t)


def _is_spread(context: Any) -> bool:
    """Whether XLA will spread the arrays of a module over several devices.

    The context is that of a module that is being lowered.
    """
    if hasattr(context, "num_devices"):
        return context.num_devices > 1
    # in a jax.shard_map, over the axes of the mesh that are not mapped by hand
    mesh = getattr(context, "mesh", None)
    for axis, size in getattr(mesh, "shape", {}).items():
        if size > 1 and axis not in context.manual_axes:
            return True
    return False


def _batched_gradient(
    arguments: Any, axes: Any, *, precision: Any, batch: int
) -> tuple[Array, int]:
    x, t = arguments
    x_axis, t_axis = axes
    size = t.shape[t_axis] if x_axis is None else x.shape[x_axis]
    x = _axis_first(x, x_axis, size)
    t = _axis_first(t, t_axis, size)
    return _gradient_p.bind(x, t, precision=precision, batch=batch + 1), 0


def _axis_first(array: Array, axis: int | None, size: int) -> Array:
    """An array with its mapped axis in front.

    If no axis is mapped, it is the same for all examples.
    """
    if axis is None:
        return jnp.broadcast_to(array, (size, *array.shape))
    return jnp.moveaxis(array, axis, 0)


def _transpose_to_inputs(s: Any, x: Any, t: Any, *, precision: Any, batch: int) -> Any:
    product = _mapped_product(batch, precision)
    return product(t, jnp.swapaxes(s, -1, -2))


def _transpose_to_outputs(s: Any, x: Any, t: Any, *, precision: Any, batch: int) -> Any:
    product = _mapped_product(batch, precision)
    return product(x, s)


def _mapped_product(batch: int, precision: Any) -> Any:
    """The product for arrays whose first axes are mapped."""
    function: Any = partial(_product_p.bind, precision=precision)
    for _ in range(batch):
        function = jax.vmap(function)
    return function


_gradient_p = Primitive("all_steps_gradient")
_gradient_p.def_impl(_gradient_by_rows)  # as on one device
_gradient_p.def_abstract_eval(_abstract_gradient)
mlir.register_lowering(_gradient_p, _lower_gradient)
batching.primitive_batchers[_gradient_p] = _batched_gradient
ad.defbilinear(_gradient_p, _transpose_to_inputs, _transpose_to_outputs)
