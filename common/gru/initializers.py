"""The initial distributions that every port shares.

They are linen's: each gate's input matrix by lecun_normal, each gate's recurrent matrix
orthogonal, biases and the initial carry zero. NNX would by default run its initializers
once on the fused matrix, and Equinox draws uniformly: the same training code would then
start from other distributions.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..errors import InputError, brief

__all__ = [
    "fan_in_per_gate",
    "for_carry",
    "orthogonal",
    "orthogonal_per_gate",
    "per_gate",
]

_CALLED = "It is called as carry_init(key, shape, dtype)"
_TWO_AXES = (
    "Initializers that scale with fan-in or are orthogonal need two axes; "
    "zeros, constant, normal and uniform do not."
)


def _as_it_is(drawn: Any) -> Any:
    return drawn


def for_carry(
    initializer: Any, unbox: Callable[[Any], Any] = _as_it_is
) -> Callable[..., Any]:
    """An initializer of the initial carry (H,) that checks what another one draws.

    `unbox` gives the array in a framework's box, as of `flax.linen.with_partitioning`,
    which is returned as it is.

    Raises:
        InputError: when called, if the initializer can't be called, raises anything, or
            gives another shape or dtype.

    >>> draw = for_carry(lambda key, shape, dtype: jnp.zeros(3, dtype))
    >>> draw(jax.random.key(0), (8,))
    Traceback (most recent call last):
    trigru.common.errors.InputError: carry_init gave shape (3,), expected (8,): one
        number for each hidden unit.
    """

    def init(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Any:
        if not callable(initializer):
            raise InputError(
                f"carry_init is a {type(initializer).__name__}, expected a JAX "
                "initializer (key, shape, dtype) -> array, such as "
                "jax.nn.initializers.zeros."
            )
        try:
            drawn = initializer(key, shape, dtype)
        except Exception as error:  # of any kind: the function is the user's
            hint = _TWO_AXES if isinstance(error, ValueError) else f"{_CALLED}."
            reason = f"{type(error).__name__}: {brief(error).rstrip('.')}"
            raise InputError(
                f"carry_init cannot draw shape {shape}, {jnp.dtype(dtype)}: {reason}. "
                f"{hint}"
            ) from error

        array = unbox(drawn)
        carry = _checked_carry(array, shape, dtype)
        is_boxed = array is not drawn
        return drawn if is_boxed else carry

    return init


def _checked_carry(array: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """What an initializer gave as an array of JAX's.

    Raises InputError unless that has the shape and the dtype.
    """
    is_array = isinstance(array, jax.Array | np.ndarray | np.generic)
    if not is_array and not hasattr(array, "__jax_array__"):
        raise InputError(
            f"carry_init gave a {type(array).__name__}, expected an array of shape "
            f"{shape}."
        )
    try:
        carry = jnp.asarray(array)
    except (TypeError, ValueError) as error:  # of text, objects or a mask
        kind = f"a {type(array).__name__} of dtype {getattr(array, 'dtype', None)}"
        raise InputError(
            f"carry_init gave {kind}, expected an array of {jnp.dtype(dtype)}."
        ) from error

    if carry.shape != shape:
        raise InputError(
            f"carry_init gave shape {carry.shape}, expected {shape}: one number for "
            "each hidden unit."
        )
    # without jax_enable_x64, float32 for float64
    expected = jax.dtypes.canonicalize_dtype(dtype)
    if carry.dtype != expected:
        raise InputError(
            f"carry_init gave dtype {carry.dtype}, expected {jnp.dtype(dtype)}, that "
            f"of the parameters. {_CALLED}: let it draw in that dtype."
        )
    return carry


def orthogonal(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> Float[Array, "rows columns"]:
    """JAX's orthogonal initializer of (rows, columns), also for half precision.

    That is drawn in float32 and rounded.

    >>> orthogonal(jax.random.key(0), (4, 4), jnp.bfloat16).dtype
    dtype(bfloat16)
    """
    # LAPACK's and cuSOLVER's QR take nothing narrower
    wide = jnp.promote_types(dtype, jnp.float32)
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)


def per_gate(initializer: Callable[..., Any]) -> Callable[..., Any]:
    """Let an initializer fill a fused (rows, 3H) matrix gate by gate.

    Each gate has a key of its own. Why it matters: an orthogonal (H, 3H) matrix has
    orthogonal rows, but its three (H, H) blocks are not orthogonal matrices, and each
    is smaller by a factor of about sqrt(3).

    >>> w = per_gate(orthogonal)(jax.random.key(0), (4, 12), jnp.float32)
    >>> w_r, w_z, w_n = jnp.split(w, 3, axis=1)
    >>> bool(jnp.allclose(w_z @ w_z.T, jnp.eye(4), atol=1e-5))
    True
    """

    @partial(jax.jit, static_argnums=(1, 2))  # traced once for each shape and dtype
    def draw(key: Any, shape: tuple[int, int], dtype: Any) -> jax.Array:
        rows, columns = shape
        gates = [
            initializer(gate_key, (rows, columns // 3), dtype)
            for gate_key in jax.random.split(key, 3)
        ]
        return jnp.concatenate(gates, axis=1)  # (rows, 3H)

    def init(key: Any, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return draw(key, tuple(shape), jnp.dtype(dtype))

    return init


# They are made once, so that two modules that keep them compare equal, and a program
# that is compiled for one serves the other.
fan_in_per_gate = per_gate(jax.nn.initializers.lecun_normal())
"""Draws a fused (D, 3H) input matrix, each gate by lecun_normal."""
orthogonal_per_gate = per_gate(orthogonal)
"""Draws a fused (H, 3H) recurrent matrix, each gate orthogonal."""
