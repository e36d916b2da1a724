"""Rules of primitives that move values and compute nothing. See `trigru.common.program.rules`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .sets import together

Array = np.ndarray


def _broadcast(equation: Any, dtype: Any) -> Callable[..., Array] | None:
    if len(equation.invars) > 1:
        return None
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    sizes = dict(zip(axes, equation.invars[0].aval.shape, strict=True))
    inner = [sizes.get(axis, 1) for axis in range(len(shape))]
    return lambda a: np.broadcast_to(a.reshape(len(a), *inner), (len(a), *shape))


def _reshape(equation: Any, dtype: Any) -> Callable[..., Array] | None:
    if len(equation.invars) > 1 or equation.params.get("dimensions") is not None:
        return None
    shape = equation.outvars[0].aval.shape
    return lambda a: a.reshape(len(a), *shape)


def _to_shape(equation: Any, dtype: Any) -> Callable[[Array], Array]:
    """Axes of length 1 are added or removed."""
    shape = equation.outvars[0].aval.shape
    return lambda a: a.reshape(len(a), *shape)


def _transpose(equation: Any, dtype: Any) -> Callable[[Array], Array]:
    order = (0, *(axis + 1 for axis in equation.params["permutation"]))
    return lambda a: a.transpose(order)


def _slice(equation: Any, dtype: Any) -> Callable[[Array], Array]:
    params = equation.params
    steps = params["strides"] or (1,) * len(params["start_indices"])
    parts = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    index = (slice(None), *(slice(*part) for part in parts))
    return lambda a: a[index]


def _rev(equation: Any, dtype: Any) -> Callable[[Array], Array]:
    axes = tuple(axis + 1 for axis in equation.params["dimensions"])
    return lambda a: np.flip(a, axes)


def _concatenate(equation: Any, dtype: Any) -> Callable[..., Array]:
    axis = equation.params["dimension"] + 1
    return lambda *arrays: np.concatenate(together(arrays), axis)


def _stack(equation: Any, dtype: Any) -> Callable[..., Array]:
    axis = equation.params["axis"] + 1
    return lambda *arrays: np.stack(together(arrays), axis)


def _unstack(equation: Any, dtype: Any) -> Callable[[Array], list[Array]]:
    axis = equation.params["axis"] + 1
    return lambda a: [a[(*[slice(None)] * axis, n)] for n in range(a.shape[axis])]


def _split(equation: Any, dtype: Any) -> Callable[[Array], list[Array]]:
    axis, ends = equation.params["axis"] + 1, np.cumsum(equation.params["sizes"])[:-1]
    return lambda a: np.split(a, ends, axis)


def _pad(equation: Any, dtype: Any) -> Callable[..., Array] | None:
    config, shape = equation.params["padding_config"], equation.outvars[0].aval.shape
    if any(inner or low < 0 or high < 0 for low, high, inner in config):
        return None
    index = (slice(None), *(slice(low, size - high) for (low, high, _), size in zip(config, shape, strict=True)))

    def run(a: Array, value: Array) -> Array:
        a, value = together([a, value])
        found = np.broadcast_to(value.reshape(-1, *[1] * len(shape)), (len(a), *shape)).copy()
        found[index] = a
        return found

    return run


SHAPES: dict[str, Callable[[Any, Any], Callable[..., Any] | None]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "squeeze": _to_shape,
    "expand_dims": _to_shape,
    "transpose": _transpose,
    "slice": _slice,
    "rev": _rev,
    "concatenate": _concatenate,
    "stack": _stack,
    "unstack": _unstack,
    "split": _split,
    "pad": _pad,
}
