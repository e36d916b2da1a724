"""Arrays with one more axis in front, for several sets of values that are evaluated at once.

The axis has length 1 where all sets have the same array. Random keys, of which NumPy has no arrays, stand in arrays of
objects.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Array = np.ndarray


def one_set(array: Any) -> Array:
    """An array, with an axis of sets in front that has length 1."""
    return keys_of([array]) if isinstance(array, jax.Array) and is_key(array) else np.asarray(array)[None]


def together(arrays: Sequence[Array]) -> Sequence[Array]:
    """The arrays, each with as many sets of values as the one that has most."""
    most = max(map(len, arrays))
    return [a if len(a) == most else np.broadcast_to(a, (most, *a.shape[1:])) for a in arrays]


def chosen(which: Array, one: Array, other: Array) -> Array:
    """For each set, one of two arrays; which (sets,) says."""
    return one if which.all() else np.where(which.reshape(-1, *[1] * (one.ndim - 1)), one, other)


def at_step(a: Array, t: int) -> Array:
    """The arrays of one step."""
    return keys_of([key[t] for key in a]) if a.dtype == object else a[:, t]


def of_steps(*column: Array) -> Array:
    """The results of all steps, with the axis of steps behind that of sets."""
    if column[0].dtype == object:
        return keys_of([jnp.stack(keys) for keys in zip(*together(column), strict=True)])
    return np.stack(together(column), axis=1)


def is_key(thing: Any) -> bool:
    """Whether an atom, or its type, is of random keys, of which NumPy has no arrays."""
    return jnp.issubdtype(getattr(thing, "aval", thing).dtype, jax.dtypes.extended)


def keys_of(keys: Sequence[Any]) -> Array:
    """Arrays of random keys, one for each set, in an array of objects."""
    found = np.empty(len(keys), object)
    for n, key in enumerate(keys):  # an assignment of all would ask for their entries
        found[n] = key
    return found
