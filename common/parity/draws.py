"""Whether two models draw their parameters from the same distributions."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ..errors import InputError, brief
from .matching import Match
from .model import Model, leaves_of

#: From so many keys parameters are drawn.
KEYS = 64
#: The probability that anything is called different by chance, of all leaves and tests together.
CHANCE = 0.001
#: The most numbers of a leaf that are compared for each key.
MOST_NUMBERS = 256
#: Relative differences up to this are rounding.
ROUNDING = 1e-4
#: Into so many blocks a matrix may be cut, each of which is orthogonal.
BLOCKS = (1, 2, 3, 4)


def different_draws(reference: Model, candidate: Model, matches: Sequence[Match]) -> list[str]:
    """A sentence for each leaf of the candidate that is drawn from another distribution than in the reference.

    Means, standard deviations and distributions of the numbers are compared over some keys, with a correction for the
    number of leaves; and whether a leaf is constant, or a matrix orthogonal. It needs `make` of both models.

    Raises:
        InputError: `make` fails, or returns other leaves than those of the model.
    """
    if reference.make is None or candidate.make is None:
        return []
    first, second = drawn(reference), drawn(candidate)
    chance = CHANCE / max(3 * len(matches), 1)
    every = zip(candidate.paths(), matches, second, strict=True)
    pairs = ((path, compared(m.layout.convert(first), b, chance)) for path, m, b in every if m.layout is not None)
    return [f"{path}: {difference}." for path, difference in pairs if difference]


def drawn(model: Model) -> list[np.ndarray]:
    """The leaves of new models, with an axis of keys in front."""
    keys = jax.random.split(jax.random.key(0), KEYS)
    make: Any = model.make
    try:
        try:
            leaves = leaves_of(jax.jit(jax.vmap(make))(keys))[1]
        except Exception:  # what cannot be traced is called for each key
            leaves = [np.stack(column) for column in zip(*(leaves_of(make(key))[1] for key in keys), strict=True)]
    except Exception as error:
        raise InputError(f"make of {model.name} fails: {type(error).__name__}: {brief(error)}") from error
    wanted, shapes = [leaf.shape for leaf in leaves_of(model.params)[0]], [a.shape[1:] for a in leaves]
    if shapes != wanted:
        raise InputError(
            f"make of {model.name} returns leaves of shapes {shapes}, expected {wanted}, as its parameters."
        )
    return leaves


def compared(a: np.ndarray, b: np.ndarray, chance: float) -> str:
    """How the reference's draws of a leaf differ from the candidate's; empty where they do not.

    Args:
        a, b: of the reference and of the candidate, of one shape, with an axis of keys in front.
        chance: the probability that a test calls equal distributions different.
    """
    a, b = (np.stack([np.real(x), np.imag(x)], -1) if x.dtype.kind == "c" else x for x in (a, b))
    return next(filter(None, _differences(a, b, chance)), "")


def _differences(a: np.ndarray, b: np.ndarray, chance: float) -> Iterator[str]:
    fixed = [bool((x == x[:1]).all()) for x in (a, b)]
    if fixed[0] != fixed[1]:
        names = ("the reference", "the candidate") if fixed[0] else ("the candidate", "the reference")
        constant = (a if fixed[0] else b)[0]
        value = f"always {constant.flat[0]:.3g}" if np.ptp(constant) == 0 else "the same for each key"
        yield f"{names[0]} has {value}, {names[1]} draws it at random"
        return
    if all(fixed):
        if np.abs(a[0] - b[0]).max(initial=0) > ROUNDING * np.abs(a[0]).max(initial=0):
            words = [f"it is {x.flat[0]:.3g}" if np.ptp(x[0]) == 0 else "it has other numbers" for x in (b, a)]
            yield f"{words[0]} in the candidate, {words[1]} in the reference"
        return
    yield _orthogonal(a, b)
    a, b = a.reshape(KEYS, -1), b.reshape(KEYS, -1)
    if _apart(a.mean(1), b.mean(1), max(a.std(), b.std()), chance):
        yield f"the mean is {b.mean():.3g} in the candidate, {a.mean():.3g} in the reference"
    spreads = [np.log(np.maximum(x.std(1), 1e-300)) for x in (a, b)]
    if a.shape[1] > 1 and _apart(spreads[0], spreads[1], 1.0, chance):
        yield f"the standard deviation is {b.std():.3g} in the candidate, {a.std():.3g} in the reference"
    some = np.random.default_rng(0).permutation(a.shape[1])[:MOST_NUMBERS]
    from scipy.stats import ks_2samp  # here, since it takes long to import

    test: Any = ks_2samp(a[:, some].reshape(-1), b[:, some].reshape(-1), method="asymp")
    if test.pvalue < chance:
        yield (
            "the numbers have another distribution, with the same mean and standard deviation; the largest magnitude "
            f"is {np.abs(b).max():.3g} in the candidate, {np.abs(a).max():.3g} in the reference"
        )


@np.errstate(all="ignore")
def _apart(first: np.ndarray, second: np.ndarray, size: float, chance: float) -> bool:
    """Whether the means of two samples differ, by more than chance and by more than rounding."""
    if abs(first.mean() - second.mean()) <= ROUNDING * size:
        return False
    from scipy.stats import ttest_ind  # here, since it takes long to import

    test: Any = ttest_ind(first, second, equal_var=False)
    return bool(test.pvalue < chance)


def _orthogonal(a: np.ndarray, b: np.ndarray) -> str:
    """How the matrices of both differ in being orthogonal: whole, or in blocks along an axis."""
    first, second = _orthogonal_blocks(a), _orthogonal_blocks(b)
    for axis, blocks in sorted(first ^ second, key=lambda way: way[1]):
        names = ("reference", "candidate") if (axis, blocks) in first else ("candidate", "reference")
        if blocks == 1:
            return f"it is an orthogonal matrix in the {names[0]}, and none in the {names[1]}"
        return f"each of {blocks} blocks along axis {axis} is orthogonal in the {names[0]}, and not in the {names[1]}"
    return ""


def _orthogonal_blocks(a: np.ndarray) -> set[tuple[int, int]]:
    """The axes and numbers of blocks along them that are orthogonal matrices, up to a factor; axis 0 for one block."""
    matrices = a.reshape(len(a), -1, a.shape[-1])[:8] if a.ndim > 2 else a[:8, None]
    ways = {(axis, n) for axis in (0, 1) for n in BLOCKS if (axis == 0 or n > 1) and matrices.shape[1 + axis] % n == 0}
    return {(axis, n) for axis, n in ways if all(map(_is_orthogonal, np.split(matrices, n, 1 + axis)))}


def _is_orthogonal(matrices: np.ndarray) -> bool:
    """Whether rows or columns, whichever are fewer, are orthogonal and of one length; not where there is but one."""
    if min(matrices.shape[1:]) < 2:
        return False
    flat = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.swapaxes(1, 2)
    products = flat @ flat.swapaxes(1, 2)
    lengths = np.trace(products, axis1=1, axis2=2) / products.shape[1]
    rest = np.abs(products - lengths[:, None, None] * np.eye(products.shape[1])).max()
    return bool(rest <= 1e-3 * np.abs(lengths).max(initial=0)) and bool((lengths > 0).all())
