"""Whether both models draw their initial parameters from the same distributions."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..errors import InputError, brief
from ..program.model import Model, leaves_of
from .matching import Match

KEYS = 64  # from so many keys parameters are drawn
#: the probability that any draws are called different by chance, of all leaves and
#: tests together
CHANCE = 0.001
TESTS = 3  # for each leaf
MOST_NUMBERS = 256  # the most numbers of a leaf that are compared for each key
SAME_DRAWS = 1e-4  # relative differences of draws up to this are rounding
BLOCKS = (1, 2, 3, 4)  # into so many blocks, each orthogonal, a matrix may be cut
MATRICES = 8  # the most keys whose matrices are tested for that


def different_draws(
    reference: Model, candidate: Model, matches: Sequence[Match]
) -> list[str]:
    """A sentence for each leaf of the candidate that is drawn from another
    distribution, if both models have `make`.
    """
    if reference.make is None or candidate.make is None:
        return []
    of_reference = _drawn(reference)
    chance = CHANCE / (TESTS * max(len(matches), 1))
    sentences = []
    for path, m, draws in zip(
        candidate.paths(), matches, _drawn(candidate), strict=True
    ):
        if m.layout is not None:
            difference = compared(m.layout.convert(of_reference), draws, chance)
            if difference:
                sentences.append(f"{path}: {difference}.")
    return sentences


def _drawn(model: Model) -> list[np.ndarray]:
    """The leaves of new models, with an axis of keys in front.

    Raises an InputError if `make` fails or gives others.
    """
    keys = jax.random.split(jax.random.key(0), KEYS)
    try:
        leaves = _made(model.make, keys)
    except Exception as error:
        raise InputError(
            f"make of {model.name} fails: {type(error).__name__}: {brief(error)}"
        ) from error
    expected = [leaf.shape for leaf in leaves_of(model.params)[0]]
    shapes = [leaf.shape[1:] for leaf in leaves]
    if shapes != expected:
        raise InputError(
            f"make of {model.name} returns leaves of shapes {shapes}, expected "
            f"{expected}, as its parameters."
        )
    return leaves


def _made(make: Any, keys: Any) -> list[np.ndarray]:
    """The leaves that `make` returns, with an axis of keys in front."""
    try:
        return leaves_of(jax.jit(jax.vmap(make))(keys))[1]
    except Exception:  # what cannot be traced is called for each key
        by_key = [leaves_of(make(key))[1] for key in keys]
        return [np.stack(column) for column in zip(*by_key, strict=True)]


@np.errstate(all="ignore")
def compared(reference: np.ndarray, candidate: np.ndarray, chance: float) -> str:
    """How draws of a leaf, with an axis of keys, differ, if at all; each test errs with
    the probability `chance`.
    """
    first, second = _real(reference), _real(candidate)
    is_fixed = [bool((draws == draws[:1]).all()) for draws in (first, second)]
    if all(is_fixed):
        return _fixed_apart(first[0], second[0])
    if is_fixed[0]:
        value = _in_words(first[0])
        return f"the reference has {value}, the candidate draws it at random"
    if is_fixed[1]:
        value = _in_words(second[0])
        return f"the candidate has {value}, the reference draws it at random"
    difference = _orthogonal_apart(first, second)
    return difference or _distributions_apart(
        first.reshape(KEYS, -1), second.reshape(KEYS, -1), chance
    )


def _real(draws: np.ndarray) -> np.ndarray:
    if draws.dtype.kind == "c":
        return np.stack([np.real(draws), np.imag(draws)], -1)
    return draws


def _in_words(value: np.ndarray) -> str:
    if np.ptp(value) == 0:
        return f"always {value.flat[0]:.3g}"
    return "the same for each key"


def _fixed_apart(first: np.ndarray, second: np.ndarray) -> str:
    """How two arrays that no key changes differ, if at all; both may have infinity at
    the same places.
    """
    size = np.abs(first[np.isfinite(first)]).max(initial=0)
    if np.isclose(second, first, rtol=0, atol=SAME_DRAWS * size).all():
        return ""
    words = []
    for value in (second, first):
        is_constant = np.ptp(value) == 0
        number = f"it is {value.flat[0]:.3g}" if is_constant else "it has other numbers"
        words.append(number)
    return f"{words[0]} in the candidate, {words[1]} in the reference"


def _orthogonal_apart(first: np.ndarray, second: np.ndarray) -> str:
    """Whether a leaf consists of orthogonal matrices in one model alone; empty if
    not.
    """
    of_first, of_second = _orthogonal_blocks(first), _orthogonal_blocks(second)
    for blocks, axis in sorted(of_first ^ of_second):
        where = "reference" if (blocks, axis) in of_first else "candidate"
        other = "candidate" if where == "reference" else "reference"
        if blocks == 1:
            return f"it is an orthogonal matrix in the {where}, and none in the {other}"
        return (
            f"each of {blocks} blocks along axis {axis} is orthogonal in the {where}, "
            f"and not in the {other}"
        )
    return ""


def _distributions_apart(first: np.ndarray, second: np.ndarray, chance: float) -> str:
    """How numbers, (keys, numbers), differ in their mean, their standard deviation, or
    otherwise; empty if they don't.
    """
    from scipy.stats import ks_2samp, ttest_ind  # here: importing them is slow

    def differ(a: np.ndarray, b: np.ndarray, size: float) -> bool:
        if abs(a.mean() - b.mean()) <= SAME_DRAWS * size:
            return False
        result: Any = ttest_ind(a, b, equal_var=False)
        return bool(result.pvalue < chance)

    size = max(first.std(), second.std())
    if differ(first.mean(axis=1), second.mean(axis=1), size):
        return (
            f"the mean is {second.mean():.3g} in the candidate, {first.mean():.3g} "
            "in the reference"
        )
    if first.shape[1] > 1 and differ(_log_of_std(first), _log_of_std(second), 1.0):
        return (
            f"the standard deviation is {second.std():.3g} in the candidate, "
            f"{first.std():.3g} in the reference"
        )
    places = np.random.default_rng(0).permutation(first.shape[1])[:MOST_NUMBERS]
    of_reference, of_candidate = first[:, places].ravel(), second[:, places].ravel()
    result: Any = ks_2samp(of_reference, of_candidate, method="asymp")
    if result.pvalue >= chance:
        return ""
    return (
        "the numbers have another distribution, with the same mean and standard "
        f"deviation; the largest magnitude is {np.abs(second).max():.3g} in the "
        f"candidate, {np.abs(first).max():.3g} in the reference"
    )


def _log_of_std(draws: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(draws.std(axis=1), 1e-300))


def _orthogonal_blocks(draws: np.ndarray) -> set[tuple[int, int]]:
    """The numbers of blocks along an axis that are orthogonal matrices, up to a factor;
    axis 0 for one block.
    """
    columns = draws.shape[-1] if draws.ndim > 1 else 1
    matrices = draws[:MATRICES].reshape(len(draws[:MATRICES]), -1, columns)
    orthogonal = set()
    for blocks in BLOCKS:
        for axis in (0, 1):
            if (blocks == 1 and axis == 1) or matrices.shape[1 + axis] % blocks:
                continue
            if all(map(_is_orthogonal, np.split(matrices, blocks, 1 + axis))):
                orthogonal.add((blocks, axis))
    return orthogonal


def _is_orthogonal(matrices: np.ndarray) -> bool:
    """Whether rows or columns, whichever are fewer, are orthogonal and of one length;
    not where there is but one.
    """
    rows, columns = matrices.shape[1:]
    if min(rows, columns) < 2:
        return False
    if rows > columns:
        matrices = matrices.swapaxes(1, 2)
    products = matrices @ matrices.swapaxes(1, 2)
    count = products.shape[1]
    lengths = np.trace(products, axis1=1, axis2=2) / count
    rest = np.abs(products - lengths[:, None, None] * np.eye(count)).max()
    return bool(rest <= 1e-3 * lengths.max()) and bool((lengths > 0).all())
