"""Whether two models draw their parameters from the same distributions."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..errors import InputError, brief
from .matching import Match
from .model import Model, leaves_of

KEYS = 64  # from so many keys parameters are drawn
CHANCE = 0.001  # the probability that anything is called different by chance, of all leaves and tests together
MOST_NUMBERS = 256  # the most numbers of a leaf that are compared for each key
ROUNDING = 1e-4  # relative differences up to this are rounding
BLOCKS = (1, 2, 3, 4)  # into so many blocks a matrix may be cut, each of which is orthogonal


def different_draws(reference: Model, candidate: Model, matches: Sequence[Match]) -> list[str]:
    """A sentence for each leaf of the candidate that is drawn from another distribution, if both models have `make`."""
    if reference.make is None or candidate.make is None:
        return []
    first, second = _drawn(reference), _drawn(candidate)
    sentences = []
    for path, m, own in zip(candidate.paths(), matches, second, strict=True):
        difference = m.layout and compared(m.layout.convert(first), own, CHANCE / max(3 * len(matches), 1))
        sentences += [f"{path}: {difference}."] if difference else []
    return sentences


def _drawn(model: Model) -> list[np.ndarray]:
    """The leaves of new models, with an axis of keys in front. Raises an InputError if `make` fails or gives others."""
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


@np.errstate(all="ignore")
def compared(a: np.ndarray, b: np.ndarray, chance: float) -> str:
    """How draws of a leaf, with an axis of keys, differ, if at all; each test errs with the probability `chance`."""
    a, b = (np.stack([np.real(x), np.imag(x)], -1) if x.dtype.kind == "c" else x for x in (a, b))
    fixed = [bool((x == x[:1]).all()) for x in (a, b)]
    if fixed[0] != fixed[1]:
        names = ("the reference", "the candidate") if fixed[0] else ("the candidate", "the reference")
        constant = (a if fixed[0] else b)[0]
        value = f"always {constant.flat[0]:.3g}" if np.ptp(constant) == 0 else "the same for each key"
        return f"{names[0]} has {value}, {names[1]} draws it at random"
    if all(fixed):
        size = np.abs(a[0], where=np.isfinite(a[0]), out=np.zeros(a[0].shape)).max(initial=0)
        if np.isclose(b[0], a[0], rtol=0, atol=ROUNDING * size).all():  # also where both are infinity
            return ""
        words = [f"it is {x.flat[0]:.3g}" if np.ptp(x[0]) == 0 else "it has other numbers" for x in (b, a)]
        return f"{words[0]} in the candidate, {words[1]} in the reference"
    blocks_of = [_orthogonal_blocks(x) for x in (a, b)]
    for axis, blocks in sorted(blocks_of[0] ^ blocks_of[1], key=lambda way: way[1]):
        names = ("reference", "candidate") if (axis, blocks) in blocks_of[0] else ("candidate", "reference")
        if blocks == 1:
            return f"it is an orthogonal matrix in the {names[0]}, and none in the {names[1]}"
        return f"each of {blocks} blocks along axis {axis} is orthogonal in the {names[0]}, and not in the {names[1]}"
    import scipy.stats  # here, since it takes long

    tests: Any = scipy.stats

    def apart(first: np.ndarray, second: np.ndarray, size: float) -> bool:
        """Whether the means of two samples differ, by more than chance and by more than rounding."""
        far = abs(first.mean() - second.mean()) > ROUNDING * size
        return bool(far and tests.ttest_ind(first, second, equal_var=False).pvalue < chance)

    a, b = a.reshape(KEYS, -1), b.reshape(KEYS, -1)
    if apart(a.mean(1), b.mean(1), max(a.std(), b.std())):
        return f"the mean is {b.mean():.3g} in the candidate, {a.mean():.3g} in the reference"
    spreads = [np.log(np.maximum(x.std(1), 1e-300)) for x in (a, b)]
    if a.shape[1] > 1 and apart(spreads[0], spreads[1], 1.0):
        return f"the standard deviation is {b.std():.3g} in the candidate, {a.std():.3g} in the reference"
    some = np.random.default_rng(0).permutation(a.shape[1])[:MOST_NUMBERS]
    if tests.ks_2samp(a[:, some].reshape(-1), b[:, some].reshape(-1), method="asymp").pvalue < chance:
        return (
            "the numbers have another distribution, with the same mean and standard deviation; the largest magnitude "
            f"is {np.abs(b).max():.3g} in the candidate, {np.abs(a).max():.3g} in the reference"
        )
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
