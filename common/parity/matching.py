"""Which parameter of the candidate is which of the reference, by names and shapes."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations
from math import prod
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import InputError, brief, listed
from .layouts import Layout, joined, joined_any, joined_unequal, piece, whole
from .names import alike as alike_names
from .names import parts_of, words
from .tape import Tape

#: The most leaves that are joined in any order, and the most that are joined at all.
MOST_IN_ANY_ORDER, MOST_JOINED, MOST_IN_A_FAMILY = 4, 64, 6
#: Names tell two leaves apart if one is this much more alike than the next.
MARGIN = 0.1


@dataclass(frozen=True)
class Leaf:
    """A parameter.

    Args:
        path: the names on the way to it, joined by slashes.
        shape: of the array.
        used: when it is used first, among all leaves of the model.
        summed: how far apart its numbers are, flattened, over which the first product with it sums, in groups; empty
            if it is in none.
    """

    path: str
    shape: tuple[int, ...]
    used: tuple[int, int] = (0, 0)
    summed: tuple[frozenset[int], ...] = ()

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)


@dataclass(frozen=True)
class Transform:
    """A user's function of leaves of the reference that gives a leaf of the candidate."""

    sources: tuple[int, ...]
    function: Callable[..., Any]
    how: str = "by the mapping"

    def convert(self, leaves: Sequence[np.ndarray]) -> np.ndarray:
        """The candidate's leaf, of the reference's with an axis of sets in front."""
        some = [leaves[n] for n in self.sources]
        sets = max(map(len, some))
        return np.stack([np.asarray(self.function(*[a[n if len(a) > 1 else 0] for a in some])) for n in range(sets)])


@dataclass
class Match:
    """What is known of one leaf of the candidate.

    Args:
        layout: what it is of the reference; None if nothing is.
        by: "the mapping", "names and shapes", "values" or "function".
        options: all that it may be, the likeliest first; one if there is nothing to choose.
    """

    layout: Layout | Transform | None
    by: str = "names and shapes"
    options: list[Layout] = field(default_factory=list)


def match(
    reference: Sequence[Leaf], candidate: Sequence[Leaf], mapping: Mapping[str, Any] | None = None
) -> list[Match]:
    """A match for each leaf of the candidate.

    Args:
        reference, candidate: the leaves of both.
        mapping: the path of a candidate's leaf, and what it is: a path of the reference's, or several, alone or with a
            function of these leaves: `{"weight": ("kernel", lambda kernel: kernel.T)}`.

    Raises:
        InputError: the mapping names a leaf that there is not, or gives one of another shape.
    """
    matches = [Match(None) for _ in candidate]
    free_r, free_c = list(range(len(reference))), list(range(len(candidate)))
    for path, target in (mapping or {}).items():
        c = _find(path, candidate, "candidate")
        if c not in free_c:
            raise InputError(f"the mapping names {candidate[c].path!r} twice.")
        transform = _transform(target, reference, candidate[c])
        matches[c] = Match(transform, "the mapping")
        free_c.remove(c)
        free_r = [r for r in free_r if r not in transform.sources]
    _join(reference, candidate, matches, free_r, free_c)
    free_r, free_c = unmatched(reference, matches), [c for c in free_c if matches[c].layout is None]
    _split(reference, candidate, matches, free_r, free_c)
    free_r, free_c = unmatched(reference, matches), [c for c in free_c if matches[c].layout is None]
    if not free_r or not free_c:
        return matches
    named = np.array([[alike_names(reference[r].path, candidate[c].path) for r in free_r] for c in free_c])
    options = {
        (i, j): _ordered(whole(r, reference[r].shape, candidate[c].shape), reference, candidate[c])
        for i, c in enumerate(free_c)
        for j, r in enumerate(free_r)
        if reference[r].size == candidate[c].size
    }
    fits = np.zeros(named.shape, bool)
    alike = named + 0.5 * _same_rank(reference, candidate, free_r, free_c)
    for (i, j), some in options.items():
        fits[i, j] = bool(some)
        alike[i, j] += 0.2 * (bool(some) and _usual(some[0], reference, candidate[free_c[i]]))
    rows, columns = linear_sum_assignment(np.where(fits, -alike, 10.0))
    for i, j in zip(rows, columns, strict=True):
        if fits[i, j]:
            rivals = [k for k in np.argsort(-alike[i]) if fits[i, k] and (k == j or named[i, k] > named[i, j] - MARGIN)]
            some = [option for k in [j, *[k for k in rivals if k != j]] for option in options[i, k]]
            matches[free_c[i]] = Match(some[0], options=some)
    return matches


def with_uses(leaves: Sequence[Leaf], tape: Tape) -> list[Leaf]:
    """The leaves, with what the program does with them first."""
    found = []
    for leaf, value in zip(leaves, tape.arguments, strict=False):
        step = min(tape.used.get(value, [len(tape.steps)]))
        place = tape.steps[step].operands.index(value) if step < len(tape.steps) else 0
        found.append(replace(leaf, used=(step, place), summed=tape.summed_over(value)))
    return found


def unmatched(reference: Sequence[Leaf], matches: Sequence[Match]) -> list[int]:
    """The leaves of the reference that no leaf of the candidate has."""
    taken = {n for m in matches if m.layout is not None for n in m.layout.sources}
    return [r for r in range(len(reference)) if r not in taken]


def _same_rank(reference: Any, candidate: Any, free_r: list[int], free_c: list[int]) -> np.ndarray:
    """1 where both are used at the same place among leaves of their size, less where they are not."""
    ranks = []
    for leaves, free in ((reference, free_r), (candidate, free_c)):
        groups: dict[int, list[int]] = {}
        for n in sorted(free, key=lambda n: leaves[n].used):
            groups.setdefault(leaves[n].size, []).append(n)
        ranks.append(np.array([groups[leaves[n].size].index(n) for n in free]))
    apart = np.abs(ranks[1][:, None] - ranks[0][None])
    return 1 / (1 + apart)


def _ordered(options: list[Layout], reference: Sequence[Leaf], leaf: Leaf) -> list[Layout]:
    """The layouts of a leaf, those first that one expects."""
    return sorted(options, key=lambda option: not _usual(option, reference, leaf))


def _usual(option: Layout, reference: Sequence[Leaf], leaf: Leaf) -> bool:
    """Whether a layout is expected: products sum over the same numbers; else, a weight is a transposed kernel."""
    source = reference[option.sources[0]]
    if source.summed and leaf.summed:
        flat = option.index.reshape(-1)
        mine = [{int(flat[stride] - flat[0]) for stride in group} for group in leaf.summed]
        if len(mine) == len(source.summed):
            return all(group <= other for group, other in zip(mine, source.summed, strict=True))
        return set().union(*mine) - {0} <= frozenset().union(*source.summed)
    turned = source.path.endswith("kernel") != leaf.path.endswith("kernel") and "weight" in words(source.path)[-1:]
    return turned == ("transposed" in option.how)


def _families(leaves: Sequence[Leaf], free: Sequence[int]) -> list[list[int]]:
    """Leaves of one shape whose paths differ in one name."""
    groups: dict[Any, list[int]] = {}
    for n in free:
        parts = leaves[n].path.split("/")
        for place in range(len(parts)):
            key = (*parts[:place], None, *parts[place + 1 :]), leaves[n].shape
            groups.setdefault(key, []).append(n)
    return [sorted(group, key=lambda n: _natural(leaves[n].path)) for group in groups.values() if len(group) > 1]


def _natural(path: str) -> list[Any]:
    return [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in re.findall(r"\D+|\d+", path)]


def _orders(leaves: Sequence[Leaf], family: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """The orders in which some of a family may be joined, that in which they are used first."""
    if len(family) == count and count > MOST_IN_ANY_ORDER:
        return [tuple(family)]
    if count > MOST_IN_ANY_ORDER or len(family) > MOST_IN_A_FAMILY:
        return []
    by_use = sorted(family, key=lambda n: leaves[n].used)
    return [each for some in combinations(by_use, count) for each in permutations(some)]


def _join(reference: Any, candidate: Any, matches: list[Match], free_r: list[int], free_c: list[int]) -> None:
    """Give leaves of the candidate that are several of the reference's in one."""
    for c, ways in _bundles(candidate, reference, free_c, free_r):
        options = [
            layout
            for parts in ways
            for layout in _ordered(
                joined_any(parts, [reference[p].shape for p in parts], candidate[c].shape), reference, candidate[c]
            )
        ]
        if options:
            matches[c] = Match(options[0], options=options)


def _split(reference: Any, candidate: Any, matches: list[Match], free_r: list[int], free_c: list[int]) -> None:
    """Give leaves of the candidate that are pieces of one of the reference's."""
    for r, ways in _bundles(reference, candidate, free_r, free_c):
        parts = ways[0]
        k = len(parts)
        if len({candidate[c].shape for c in parts}) > 1:
            continue  # the reference's leaf of unequal pieces: a mapping has to say
        for place, c in enumerate(parts):
            places = [place, *[n for n in range(k) if n != place]] if k <= MOST_IN_ANY_ORDER else [place]
            options = [
                layout
                for n in places
                for layout in _ordered(piece(r, reference[r].shape, candidate[c].shape, n, k), reference, candidate[c])
            ]
            if options:
                matches[c] = Match(options[0], options=options)


def _bundles(
    wholes: Sequence[Leaf], parts: Sequence[Leaf], free_w: list[int], free_p: list[int]
) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    """Each leaf that is several of the other model's in one, with the orders of these, the likeliest first."""
    modules: list[set[str]] = []
    taken: set[int] = set()
    alone = [
        w for w in free_w if not any(parts[p].size == wholes[w].size and _may_be(parts[p], wholes[w]) for p in free_p)
    ]
    for w in sorted(alone, key=lambda w: -len(wholes[w].shape)):
        size = wholes[w].size
        found: dict[tuple[int, ...], float] = {}
        for family in _families(parts, [p for p in free_p if p not in taken]):
            each = parts[family[0]].size
            if size % each or not 1 < size // each <= MOST_JOINED:
                continue
            if not joined(range(size // each), parts[family[0]].shape, wholes[w].shape):
                continue
            for some in _orders(parts, family, size // each):
                alike = sum(alike_names(parts[p].path, wholes[w].path) for p in some) / len(some)
                found[some] = alike + 0.2 * (_parents(parts, some) in modules)
        for pair in _of_a_module(parts, [p for p in free_p if p not in taken]):
            if sum(parts[p].size for p in pair) == size and joined_unequal(
                pair, [parts[p].shape for p in pair], wholes[w].shape
            ):
                found[pair] = sum(alike_names(parts[p].path, wholes[w].path) for p in pair) / 2
        if found:
            ways = sorted(found, key=lambda some: -round(20 * found[some]))
            modules.append(_parents(parts, ways[0]))
            taken.update(ways[0])
            yield w, ways


def _may_be(a: Leaf, b: Leaf) -> bool:
    """Whether both may be the same kind of parameter: a weight is no bias."""
    roles = {parts_of(a.path).role, parts_of(b.path).role}
    return len(roles) == 1 or "" in roles


def _of_a_module(leaves: Sequence[Leaf], free: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of leaves of one module, of different shapes and the same kind."""
    for pair in permutations(free, 2):
        a, b = (leaves[n] for n in pair)
        together = a.path.rpartition("/")[0] == b.path.rpartition("/")[0]
        if together and a.shape != b.shape and len(a.shape) == len(b.shape) > 1 and _may_be(a, b):
            yield pair


def _parents(leaves: Sequence[Leaf], numbers: Sequence[int]) -> set[str]:
    """The modules that have these leaves."""
    return {leaves[n].path.rpartition("/")[0] for n in numbers}


def _find(path: str, leaves: Sequence[Leaf], whose: str) -> int:
    wanted = re.sub(r"[.\[\]']+", "/", path).strip("/")
    for n, leaf in enumerate(leaves):
        if leaf.path == wanted:
            return n
    ends = [
        n
        for n, leaf in enumerate(leaves)
        if f"/{leaf.path}".endswith(f"/{wanted}") or f"/{wanted}".endswith(f"/{leaf.path}")
    ]
    if len(ends) == 1:
        return ends[0]
    known = ", ".join(leaf.path for leaf in leaves[:20])
    raise InputError(f"the mapping names {path!r}, which is no parameter of the {whose}. It has: {known}.")


def _transform(target: Any, reference: Sequence[Leaf], leaf: Leaf) -> Transform | Layout:
    is_pair = isinstance(target, tuple) and len(target) == 2 and callable(target[1])
    paths, function = target if is_pair else (target, None)
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, tuple | list) or not all(isinstance(path, str) for path in paths):
        raise InputError(
            f"the mapping of {leaf.path!r} is {brief(repr(target))}, expected a path, or (path, function)."
        )
    if len(paths) != 1 and function is None:
        raise InputError(f"the mapping of {leaf.path!r} has {len(paths)} paths: give a function of these leaves, too.")
    sources = tuple(_find(path, reference, "reference") for path in paths)
    shapes = [reference[r].shape for r in sources]

    def result(flat: np.ndarray) -> np.ndarray:
        """The candidate's leaf, of the numbers of all sources."""
        ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
        given = [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]
        try:
            return np.asarray(given[0] if function is None else function(*given), np.float64)
        except Exception as error:
            reason = f"{type(error).__name__}: {brief(error)}"
            raise InputError(f"the mapping of {leaf.path!r} fails: {reason}") from error

    size = sum(map(prod, shapes))
    counted = result(np.arange(1.0, size + 1))
    if counted.shape != leaf.shape:
        raise InputError(
            f"the mapping gives {leaf.path!r} an array of shape {counted.shape}, expected {leaf.shape}, of "
            f"{listed(map(str, shapes))}."
        )
    index = np.rint(counted).astype(int) - 1
    if index.size == len(np.unique(index)) and index.min(initial=0) >= 0 and index.max(initial=0) < size:
        values = np.random.default_rng(3).uniform(0.5, 1.5, size)
        if np.allclose(result(values), values[index], rtol=1e-6, atol=0):  # values are kept, and not only their order
            return Layout(sources, index, "by the mapping")
    assert function is not None
    return Transform(sources, function)
