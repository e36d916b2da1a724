"""The values with which both models of a comparison are called, and how far their results are apart."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..program import is_key, wide
from ..program.model import Model
from ..program.sets import one_set

#: The sets of values: parameters and inputs as given, and others in the place of the parameters; the third also has the
#: inputs in another order.
AS_GIVEN, OTHERS = slice(0, 1), slice(1, 2)


@dataclass(frozen=True)
class Arguments:
    """What a program is called with: leaves with an axis of sets in front, whose length is 1 where all are alike."""

    params: list[Any]
    state: list[Any]
    inputs: list[Any]

    def sets(self, some: slice) -> "Arguments":
        kinds = (self.params, self.state, self.inputs)
        return Arguments(
            *([a[some] if len(a) > 1 else a for a in leaves] for leaves in kinds)
        )

    def all(self) -> list[Any]:
        return [*self.params, *self.state, *self.inputs]


def param_sets(values: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Parameters as they are, and twice moved at random, so that zeros and ones hide nothing."""
    result = []
    for n, value in enumerate(values, seed):
        size = float(np.sqrt(np.mean(np.abs(value) ** 2))) if value.size else 0.0
        moved = value + 0.3 * (size or 0.2) * np.random.default_rng(n).standard_normal(
            value.shape
        )
        result.append(np.stack([value, moved, moved]))
    return result


def state_sets(
    values: Sequence[np.ndarray], fixed: Collection[int] = ()
) -> list[np.ndarray]:
    """A state as it is, and twice moved, but for `fixed` leaves; what is not negative, as a variance, stays so."""
    result = []
    for n, value in enumerate(values):
        noise = np.random.default_rng(500 + n).standard_normal(value.shape) * (
            n not in fixed
        )
        positive = value.dtype.kind == "f" and bool((value >= 0).all())
        moved = (
            value * np.exp(0.3 * noise) + 0.1 * np.abs(noise)
            if positive
            else value + 0.3 * noise
        )
        result.append(np.stack([value, moved, moved]))
    return result


def input_sets(leaves: Sequence[Any]) -> list[Any]:
    """Inputs as they are, twice, and with their numbers in another order.

    What has two values, as a mask, stays. So do several inputs of integers: they may belong together, as the senders
    and receivers of a graph, or tokens and their positions.
    """
    rng = np.random.default_rng(7)
    integers = [a for a in leaves if not is_key(a) and np.asarray(a).dtype.kind in "iu"]
    result = []
    for leaf in leaves:
        if is_key(leaf):
            result.append(one_set(leaf))
            continue
        value = other = np.asarray(leaf, wide(leaf.dtype))
        if value.dtype.kind in "fc" and value.size > 1 and np.ptp(np.abs(value)) == 0:
            other = value + 0.5 * rng.standard_normal(value.shape)
        elif value.dtype.kind in "iu" and len(integers) > 1:
            pass
        elif len(np.unique(value)) > 2:
            other = rng.permutation(value.reshape(-1)).reshape(value.shape)
        result.append(np.stack([value, value, other]))
    return result


def weights_of(outputs: Sequence[Any]) -> list[np.ndarray]:
    """A weight for each number of the outputs: their weighted sum is what is differentiated."""
    return [
        np.random.default_rng(90 + n).standard_normal(a.shape)[None]
        for n, a in enumerate(outputs)
    ]


def varied(inputs: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Other inputs of the same kind: the first example alone, and a shorter second axis."""
    leaves = [a for a in jax.tree.leaves(inputs) if not is_key(a)]
    firsts = {a.shape[0] for a in leaves if a.ndim}
    if len(firsts) == 1 and max(firsts) > 1:
        yield (
            "a batch of one",
            jax.tree.map(lambda a: a if is_key(a) or not a.ndim else a[:1], inputs),
        )
    seconds = {
        a.shape[1]
        for a in leaves
        if a.ndim > 2 or (a.ndim == 2 and a.dtype.kind in "iu")
    }
    if len(seconds) == 1 and max(seconds) > 2:
        (length,) = seconds

        def cut(a: Any) -> Any:
            return (
                a[:, : length - 1]
                if not is_key(a) and a.ndim > 1 and a.shape[1] == length
                else a
            )

        yield "another length", jax.tree.map(cut, inputs)


def fixes_sizes(
    model: Model, inputs: tuple[Any, ...], varied_inputs: tuple[Any, ...]
) -> bool:
    """Whether a model's function of the inputs brings an array as long as they are, whatever their sizes."""
    try:
        before = jax.tree.leaves(model.given(inputs))
        after = jax.tree.leaves(model.given(varied_inputs))
    except Exception:  # it needs tensors, or does not take these sizes
        return False
    longest = {np.shape(a)[:2] for a in jax.tree.leaves(inputs)}
    return any(
        np.shape(a) == np.shape(b) and np.shape(a)[:2] in longest
        for a, b in zip(before, after, strict=False)
    )


def largest(
    wanted: Sequence[np.ndarray],
    own: Sequence[np.ndarray],
    among: Sequence[np.ndarray] = (),
) -> float:
    """The largest difference of arrays, of each set relative to its largest magnitude; infinity for other shapes.

    The largest magnitude `among` some arrays counts a thousandth, so that rounding of a gradient that is 0 is none.
    """
    floor, most = (
        max((np.abs(a).max(initial=0) for a in among), default=0.0) * 1e-3,
        0.0,
    )
    for a, b in zip(wanted, own, strict=True):
        if a.shape[1:] != b.shape[1:]:
            return float("inf")
        axes = tuple(range(1, a.ndim))
        if a.dtype.kind in "fc":
            sizes, difference = (
                np.maximum(np.abs(a).max(axes, initial=0), floor),
                np.abs(a - b).max(axes, initial=0),
            )
            errors = np.where(sizes > 0, difference / sizes, difference > 0)
            errors = np.where(np.isnan(difference), np.inf, errors)
            comparable = np.broadcast_to(np.isfinite(a).all(axes), errors.shape)
            most = max(most, float(errors[comparable].max(initial=0)))
        else:
            most = max(most, float((a != b).any()))
    return most
