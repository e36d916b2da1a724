"""The initial distributions that every port shares.

They are linen's: each gate's input matrix by lecun_normal, each gate's recurrent matrix orthogonal,
biases and the initial carry zero. NNX would by default run its initializers once on the fused matrix, and
Equinox draws uniformly: the same training code would then start from other distributions.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, brief

_TWO_AXES = "Initializers that scale with fan-in or are orthogonal need two axes; zeros, constant, normal and uniform do not."


def for_carry(
    initializer: Any, unbox: Callable[[Any], Any] = lambda drawn: drawn
) -> Callable[..., Any]:
    """An initializer of the initial carry, of shape (H,), that says what is wrong with the one it is given.

    `unbox` gives the array in a framework's box, as of `flax.linen.with_partitioning`, which is returned as it is.

    Raises:
        InputError: when called, if the initializer can't be called, raises anything, or gives another shape or dtype.

    >>> for_carry(lambda key, shape, dtype: jnp.zeros(3, dtype))(jax.random.key(0), (8,))
    Traceback (most recent call last):
    trigru.common.errors.InputError: carry_init gave shape (3,), expected (8,): one number for each hidden unit.
    """

    def init(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Any:
        called = "It is called as carry_init(key, shape, dtype)"
        if not callable(initializer):
            expected = "a JAX initializer (key, shape, dtype) -> array, such as jax.nn.initializers.zeros"
            raise InputError(
                f"carry_init is a {type(initializer).__name__}, expected {expected}."
            )
        try:
            drawn = initializer(key, shape, dtype)
        except (
            Exception
        ) as error:  # of any kind, since it comes from a function of the user's
            hint = _TWO_AXES if isinstance(error, ValueError) else f"{called}."
            reason = f"{type(error).__name__}: {brief(error).rstrip('.')}"
            raise InputError(
                f"carry_init cannot draw shape {shape}, {jnp.dtype(dtype)}: {reason}. {hint}"
            ) from error
        array = unbox(drawn)
        if not (
            isinstance(array, jax.Array | np.ndarray | np.generic)
            or hasattr(array, "__jax_array__")
        ):
            raise InputError(
                f"carry_init gave a {type(array).__name__}, expected an array of shape {shape}."
            )
        try:
            carry = jnp.asarray(array)
        except (TypeError, ValueError) as error:  # of text, objects or a mask
            given = f"a {type(array).__name__} of dtype {getattr(array, 'dtype', None)}"
            raise InputError(
                f"carry_init gave {given}, expected an array of {jnp.dtype(dtype)}."
            ) from error
        if carry.shape != shape:
            raise InputError(
                f"carry_init gave shape {carry.shape}, expected {shape}: one number for each hidden unit."
            )
        if carry.dtype != jax.dtypes.canonicalize_dtype(
            dtype
        ):  # without jax_enable_x64, float32 for float64
            expected = f"{jnp.dtype(dtype)}, that of the parameters"
            raise InputError(
                f"carry_init gave dtype {carry.dtype}, expected {expected}. {called}: let it draw in that dtype."
            )
        return carry if array is drawn else drawn

    return init


def orthogonal(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """JAX's orthogonal initializer of (rows, columns), for half precision too: there drawn in float32 and rounded.

    >>> orthogonal(jax.random.key(0), (4, 4), jnp.bfloat16).dtype
    dtype(bfloat16)
    """
    wide = jnp.promote_types(
        dtype, jnp.float32
    )  # LAPACK's and cuSOLVER's QR take nothing narrower
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)


def per_gate(initializer: Callable[..., Any]) -> Callable[..., Any]:
    """Let an initializer fill a fused (rows, 3H) matrix gate by gate, with a key for each.

    Why it matters: an orthogonal (H, 3H) matrix has orthogonal rows, but its three (H, H) blocks are not
    orthogonal matrices, and each is smaller by a factor of about sqrt(3).

    >>> w = per_gate(orthogonal)(jax.random.key(0), (4, 12), jnp.float32)
    >>> all(bool(jnp.allclose(g @ g.T, jnp.eye(4), atol=1e-5)) for g in jnp.split(w, 3, axis=1))
    True
    """

    @partial(jax.jit, static_argnums=(1, 2))  # traced once for each shape and dtype
    def init(key: Any, shape: tuple[int, int], dtype: Any) -> jax.Array:
        rows, columns = shape
        keys = jax.random.split(key, 3)
        return jnp.concatenate(
            [initializer(k, (rows, columns // 3), dtype) for k in keys], axis=1
        )

    return lambda key, shape, dtype=jnp.float32: init(
        key, tuple(shape), jnp.dtype(dtype)
    )


#: Of each gate's input matrix, and of its recurrent one. They are made once, so that two modules that keep them compare
#: equal, and a program that is compiled for one serves the other.
fan_in_per_gate = per_gate(jax.nn.initializers.lecun_normal())
orthogonal_per_gate = per_gate(orthogonal)
