"""The values with which both models of a comparison are called, and how far their
results are apart.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..program import is_key, wide
from ..program.model import Model
from ..program.sets import one_set

#: The sets of values: parameters and inputs as given, and others in the place of the
#: parameters; the third also has the inputs in another order.
AS_GIVEN, OTHERS, PERMUTED = slice(0, 1), slice(1, 2), slice(2, 3)
NOT_PERMUTED = slice(0, 2)  # the first two
NOISE = 0.3  # how far values are moved, relative to their size
SMALLER = 0.9, 1.0  # the range of the factors by which permuted inputs are multiplied
FLOOR = 1e-3  # of the largest magnitude among several arrays, below which none is small


@dataclass(frozen=True)
class Arguments:
    """What a program is called with: leaves with an axis of sets in front, whose length
    is 1 where all are alike.
    """

    params: list[Any]
    state: list[Any]
    inputs: list[Any]

    def sets(self, which: slice) -> "Arguments":
        """These arguments, with some sets of values alone."""
        return Arguments(
            _of_sets(self.params, which),
            _of_sets(self.state, which),
            _of_sets(self.inputs, which),
        )

    def all(self) -> list[Any]:
        return [*self.params, *self.state, *self.inputs]


def _of_sets(leaves: Sequence[Any], which: slice) -> list[Any]:
    return [leaf[which] if len(leaf) > 1 else leaf for leaf in leaves]


def param_sets(
    values: Sequence[np.ndarray], fixed: Collection[int] = (), seed: int = 0
) -> list[np.ndarray]:
    """Parameters as they are, and twice moved at random, but for `fixed` leaves, so
    that zeros and ones hide nothing.
    """
    result = []
    for n, value in enumerate(values):
        if n in fixed:
            result.append(value[None])
            continue
        size = 0.0
        if value.size:
            size = float(np.sqrt(np.mean(np.abs(value) ** 2)))
        noise = np.random.default_rng(seed + n).standard_normal(value.shape)
        moved = value + NOISE * (size or 0.2) * noise
        result.append(np.stack([value, moved, moved]))
    return result


def state_sets(
    values: Sequence[np.ndarray], fixed: Collection[int] = ()
) -> list[np.ndarray]:
    """A state as it is, and twice moved, but for `fixed` leaves; what is not negative,
    as a variance, stays so.
    """
    result = []
    for n, value in enumerate(values):
        noise = np.random.default_rng(500 + n).standard_normal(value.shape)
        if n in fixed:
            moved = value
        elif value.dtype.kind == "f" and (value >= 0).all():
            moved = value * np.exp(NOISE * noise) + 0.1 * np.abs(noise)
        else:
            moved = value + NOISE * noise
        result.append(np.stack([value, moved, moved]))
    return result


def input_sets(leaves: Sequence[Any]) -> list[Any]:
    """Inputs as they are, twice, and with their numbers in another order.

    Each real number is made smaller there, too, by a share of its own: a weight that is
    multiplied by 1 has the derivative of a bias, and equal numbers have equal ones.
    What has two values, as a mask, stays. So do several inputs of integers: they may
    belong together, as the senders and receivers of a graph, or tokens and their
    positions.
    """
    random = np.random.default_rng(7)
    arrays = [None if is_key(leaf) else np.asarray(leaf) for leaf in leaves]
    integers = [a for a in arrays if a is not None and a.dtype.kind in "iu"]
    result = []
    for leaf, array in zip(leaves, arrays, strict=True):
        if array is None:
            result.append(one_set(leaf))
            continue
        value = np.asarray(array, wide(array.dtype))
        other = value
        is_real = value.dtype.kind in "fc"
        is_integer = value.dtype.kind in "iu"
        if is_real and value.size > 1 and np.ptp(np.abs(value)) == 0:
            other = value + 0.5 * random.standard_normal(value.shape)
        elif not (is_integer and len(integers) > 1) and len(np.unique(value)) > 2:
            other = random.permutation(value.reshape(-1)).reshape(value.shape)
            if is_real:
                other = other * random.uniform(*SMALLER, value.shape)
        result.append(np.stack([value, value, other]))
    return result


def weights_of(outputs: Sequence[Any]) -> list[np.ndarray]:
    """A weight for each number of the outputs: their weighted sum is what is
    differentiated.
    """
    weights = []
    for n, array in enumerate(outputs):
        random = np.random.default_rng(90 + n)
        weights.append(random.standard_normal(array.shape)[None])
    return weights


def varied(inputs: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Other inputs of the same kind: the first example alone, and a shorter second
    axis.
    """
    leaves = [a for a in jax.tree.leaves(inputs) if not is_key(a)]
    batches = {a.shape[0] for a in leaves if a.ndim}
    if len(batches) == 1 and max(batches) > 1:

        def first(a: Any) -> Any:
            return a if is_key(a) or not a.ndim else a[:1]

        yield "a batch of one", jax.tree.map(first, inputs)

    lengths = set()
    for a in leaves:
        is_of_tokens = a.ndim == 2 and a.dtype.kind in "iu"
        if a.ndim > 2 or is_of_tokens:
            lengths.add(a.shape[1])
    if len(lengths) == 1 and max(lengths) > 2:
        (length,) = lengths

        def shorter(a: Any) -> Any:
            has_length = not is_key(a) and a.ndim > 1 and a.shape[1] == length
            return a[:, : length - 1] if has_length else a

        yield "another length", jax.tree.map(shorter, inputs)


def fixes_sizes(
    model: Model, inputs: tuple[Any, ...], varied_inputs: tuple[Any, ...]
) -> bool:
    """Whether a model's function of the inputs brings an array as long as they are,
    whatever their sizes.
    """
    try:
        before = jax.tree.leaves(model.given(inputs))
        after = jax.tree.leaves(model.given(varied_inputs))
    except Exception:  # it needs tensors, or does not take these sizes
        return False
    sizes = {np.shape(a)[:2] for a in jax.tree.leaves(inputs)}
    for a, b in zip(before, after, strict=False):
        if np.shape(a) == np.shape(b) and np.shape(a)[:2] in sizes:
            return True
    return False


def is_finite(arrays: Iterable[np.ndarray]) -> bool:
    """Whether all real and complex numbers of some arrays are finite."""
    return all(np.isfinite(a).all() for a in arrays if a.dtype.kind in "fc")


def magnitude(arrays: Sequence[np.ndarray]) -> float:
    """The largest magnitude of the numbers of some arrays; 0 for none."""
    return max((float(np.abs(a).max(initial=0)) for a in arrays), default=0.0)


def largest(
    wanted: Sequence[np.ndarray], own: Sequence[np.ndarray], among: float = 0.0
) -> float:
    """The largest difference of arrays, of each set relative to its largest magnitude;
    infinity for other shapes.

    A thousandth of the largest magnitude `among` them and others is the least that
    counts, so that rounding of a gradient that is 0 is none.
    """
    most = 0.0
    for first, second in zip(wanted, own, strict=True):
        if first.shape[1:] != second.shape[1:]:
            return float("inf")
        if first.dtype.kind not in "fc":
            most = max(most, float((first != second).any()))
            continue
        axes = tuple(range(1, first.ndim))
        difference = np.abs(first - second).max(axes, initial=0)
        size = np.maximum(np.abs(first).max(axes, initial=0), FLOOR * among)
        errors = np.where(size > 0, difference / size, difference > 0)
        errors = np.where(np.isnan(difference), np.inf, errors)
        # Where the reference itself is not finite, nothing can be compared.
        is_finite = np.broadcast_to(np.isfinite(first).all(axes), errors.shape)
        most = max(most, float(errors[is_finite].max(initial=0)))
    return most
