"""The initial distributions that every port shares.

They are linen's: each gate's input matrix by lecun_normal, each gate's recurrent matrix orthogonal,
biases and the initial carry zero. NNX would by default run its initializers once on the fused matrix, and
Equinox draws uniformly: the same training code would then start from other distributions.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["orthogonal", "per_gate"]


def orthogonal(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """JAX's orthogonal initializer, for half precision too: there drawn in float32 and rounded.

    Args:
        key: for the draw.
        shape: (rows, columns).
        dtype: of the result.

    >>> orthogonal(jax.random.key(0), (4, 4), jnp.bfloat16).dtype
    dtype(bfloat16)
    """
    wide = jnp.promote_types(dtype, jnp.float32)  # LAPACK's and cuSOLVER's QR take nothing narrower
    return jax.nn.initializers.orthogonal()(key, shape, wide).astype(dtype)


def per_gate(initializer: Callable[..., Any]) -> Callable[..., Any]:
    """Let an initializer fill a fused (rows, 3H) matrix gate by gate, with a key for each.

    Why it matters: an orthogonal (H, 3H) matrix has orthogonal rows, but its three (H, H) blocks are not
    orthogonal matrices, and each is smaller by a factor of about sqrt(3).

    Args:
        initializer: a JAX initializer `(key, shape, dtype) -> array`.

    Returns:
        An initializer for shapes (rows, 3H).

    >>> w = per_gate(orthogonal)(jax.random.key(0), (4, 12), jnp.float32)
    >>> all(bool(jnp.allclose(g @ g.T, jnp.eye(4), atol=1e-5)) for g in jnp.split(w, 3, axis=1))
    True
    """

    def init(key: Any, shape: tuple[int, int], dtype: Any = jnp.float32) -> jax.Array:
        rows, columns = shape
        keys = jax.random.split(key, 3)
        return jnp.concatenate([initializer(k, (rows, columns // 3), dtype) for k in keys], axis=1)

    return init
