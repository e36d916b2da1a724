"""Convolutions of float64 in NumPy, as products of matrices.

On a CPU, XLA has no fast ones of this dtype.

Axes are named S (sets), N (batch), G (groups), I and O (channels of a group that go in
and come out); X are the axes of space, and K those of the kernel.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .sets import Array


def convolution(
    equation: Any, dtype: Callable[[Any], np.dtype[Any]]
) -> Callable[[Array, Array], Array] | None:
    """The rule of `conv_general_dilated`, as in `numpy_rules`."""
    params = equation.params
    target = dtype(equation.outvars[0].aval.dtype)
    if target != np.float64:
        return None
    numbers = params["dimension_numbers"]
    groups = params["feature_group_count"]
    batch_groups = params["batch_group_count"]

    def run(images: Array, kernel: Array) -> Array:
        images = images.transpose(_behind_sets(numbers.lhs_spec))
        images = _by_channels(images, batch_groups)
        images = _spread(images, params["lhs_dilation"])
        images = _padded(images, params["padding"])
        kernel = kernel.transpose(_behind_sets(numbers.rhs_spec))
        windows = _windows(images, kernel.shape[3:], params)
        result = _product(windows, kernel, groups * batch_groups)
        order = np.argsort(_behind_sets(numbers.out_spec))
        return result.transpose(order).astype(target, copy=False)

    return run


def _behind_sets(axes: Sequence[int]) -> tuple[int, ...]:
    return (0, *(axis + 1 for axis in axes))


def _by_channels(images: Array, groups: int) -> Array:
    """Images whose groups stand along the axis of the batch, as groups of channels."""
    sets, batch, channels, *space = images.shape
    images = images.reshape(sets, groups, batch // groups, channels, *space)
    images = images.swapaxes(1, 2)
    return images.reshape(sets, batch // groups, groups * channels, *space)


def _spread(images: Array, dilation: Sequence[int]) -> Array:
    """Images with zeros between their numbers, so many steps from one to the next."""
    if all(steps == 1 for steps in dilation):
        return images
    lengths = []
    for length, steps in zip(images.shape[3:], dilation, strict=True):
        lengths.append(max((length - 1) * steps + 1, 0))
    spread = np.zeros((*images.shape[:3], *lengths), images.dtype)
    spread[..., *(slice(None, None, steps) for steps in dilation)] = images
    return spread


def _padded(images: Array, padding: Sequence[tuple[int, int]]) -> Array:
    """Images with zeros around them; a negative padding cuts numbers off."""
    outer = [(max(low, 0), max(high, 0)) for low, high in padding]
    images = np.pad(images, [(0, 0)] * 3 + outer)
    kept = []
    for length, (low, high) in zip(images.shape[3:], padding, strict=True):
        kept.append(slice(max(-low, 0), length - max(-high, 0)))
    return images[..., *kept]


def _windows(
    images: Array, kernel_shape: Sequence[int], params: dict[str, Any]
) -> Array:
    """What the kernel sees at each place, of shape (S, N, G * I, *X, *K)."""
    dilation = params["rhs_dilation"]
    extents = []
    for length, steps in zip(kernel_shape, dilation, strict=True):
        extents.append((length - 1) * steps + 1)
    axes = tuple(range(3, images.ndim))
    windows = sliding_window_view(images, extents, axes)
    places = [slice(None, None, stride) for stride in params["window_strides"]]
    taken = [slice(None, None, steps) for steps in dilation]
    return windows[:, :, :, *places, *taken]


def _product(windows: Array, kernel: Array, groups: int) -> Array:
    """The result, of shape (S, N, G * O, *X)."""
    sets, batch, channels, *rest = windows.shape
    axes = len(rest) // 2
    places = rest[:axes]
    inputs = channels // groups
    outputs = kernel.shape[1] // groups
    summed = inputs * prod(rest[axes:])

    windows = windows.reshape(sets, batch, groups, inputs, *rest)
    of_places = range(4, 4 + axes)
    of_kernel = range(4 + axes, 4 + 2 * axes)
    windows = windows.transpose(0, 2, 1, *of_places, 3, *of_kernel)
    rows = windows.reshape(sets, groups, batch * prod(places), summed)
    columns = kernel.reshape(len(kernel), groups, outputs, summed)
    result = rows @ columns.swapaxes(-1, -2)  # (S, G, N * X, O)

    result = result.reshape(len(result), groups, batch, *places, outputs)
    result = np.moveaxis(result, (1, -1), (2, 3))  # (S, N, G, O, *X)
    return result.reshape(len(result), batch, groups * outputs, *places)
