"""Which parameter of the candidate is which of the reference, by names and shapes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..errors import InputError
from .layouts import Layout, Leaf, Transform, joined, piece, whole
from .mapping import find, transform_of
from .names import alike as alike_names
from .names import parts_of, words
from .tape import Tape

#: The most leaves that are joined in any order, and the most that are joined at all.
MOST_IN_ANY_ORDER, MOST_JOINED, MOST_IN_A_FAMILY = 4, 64, 6
#: Names tell two leaves apart if one is this much more alike than the next.
MARGIN = 0.1


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
    matching = _Matching(reference, candidate)
    matching.by_mapping(mapping or {})
    matching.join()
    matching.split()
    matching.assign()
    matching.join()  # what another leaf of its size hid: it may be several of the other model's
    matching.split()
    return matching.matches


class _Matching:
    """The matches of the leaves of two models, while they are found."""

    def __init__(self, reference: Sequence[Leaf], candidate: Sequence[Leaf]):
        self.reference, self.candidate = reference, candidate
        self.matches = [Match(None) for _ in candidate]

    def _free(self) -> tuple[list[int], list[int]]:
        """The leaves of both that have no partner yet."""
        free = [c for c, m in enumerate(self.matches) if m.layout is None]
        return unmatched(self.reference, self.matches), free

    def _keep(self, c: int, options: list[Layout]) -> None:
        if options:
            self.matches[c] = Match(options[0], options=options)

    def _ordered(self, options: list[Layout], c: int) -> list[Layout]:
        """The layouts of a leaf, those first that one expects."""
        return sorted(options, key=lambda option: not _usual(option, self.reference, self.candidate[c]))

    def by_mapping(self, mapping: Mapping[str, Any]) -> None:
        """Match the leaves that the user maps."""
        for path, target in mapping.items():
            c = find(path, self.candidate, "candidate")
            if self.matches[c].layout is not None:
                raise InputError(f"the mapping names {self.candidate[c].path!r} twice.")
            layout = transform_of(target, self.reference, self.candidate[c])
            self.matches[c] = Match(layout, "the mapping")

    def join(self) -> None:
        """Match leaves of the candidate that are several of the reference's in one."""
        free_r, free_c = self._free()
        for c, ways in _bundles(self.candidate, self.reference, free_c, free_r):
            to = self.candidate[c].shape
            some = (joined(parts, [self.reference[p].shape for p in parts], to) for parts in ways)
            self._keep(c, [layout for each in some for layout in self._ordered(each, c)])

    def split(self) -> None:
        """Match leaves of the candidate that are pieces of one of the reference's."""
        free_r, free_c = self._free()
        for r, (parts, *_) in _bundles(self.reference, self.candidate, free_r, free_c):
            k = len(parts)
            if len({self.candidate[c].shape for c in parts}) > 1:
                continue  # the reference's leaf of unequal pieces: a mapping has to say
            for place, c in enumerate(parts):
                places = [place, *(n for n in range(k) if n != place)] if k <= MOST_IN_ANY_ORDER else [place]
                of, to = self.reference[r].shape, self.candidate[c].shape
                self._keep(c, [way for n in places for way in self._ordered(piece(r, of, to, n, k), c)])

    def assign(self) -> None:
        """Match leaves of one size, so that all names are as much alike as they can be."""
        free_r, free_c = self._free()
        if not free_r or not free_c:
            return
        reference, candidate = self.reference, self.candidate
        named = np.array([[alike_names(reference[r].path, candidate[c].path) for r in free_r] for c in free_c])
        options = {
            (i, j): some
            for i, c in enumerate(free_c)
            for j, r in enumerate(free_r)
            if reference[r].size == candidate[c].size
            if (some := self._ordered(whole(r, reference[r].shape, candidate[c].shape), c))
        }
        fits = np.zeros(named.shape, bool)
        alike = named + 0.5 * _same_rank(reference, candidate, free_r, free_c)
        for (i, j), some in options.items():
            fits[i, j] = True
            alike[i, j] += 0.2 * _usual(some[0], reference, candidate[free_c[i]])
        rows, columns = linear_sum_assignment(np.where(fits, -alike, 10.0))
        for i, j in zip(rows, columns, strict=True):
            if fits[i, j]:
                rivals = [k for k in np.argsort(-alike[i]) if fits[i, k] and named[i, k] > named[i, j] - MARGIN]
                self._keep(free_c[i], [way for k in [j, *(k for k in rivals if k != j)] for way in options[i, k]])


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


def families(leaves: Sequence[Leaf], free: Sequence[int]) -> list[list[int]]:
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


def _bundles(
    wholes: Sequence[Leaf], parts: Sequence[Leaf], free_w: list[int], free_p: list[int]
) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    """Each leaf that is several of the other model's in one, with the orders of these, the likeliest first."""
    modules: dict[str, list[str]] = {}
    taken: set[int] = set()
    alone = [w for w in free_w if not any(_may_be(parts[p], wholes[w], of_one_size=True) for p in free_p)]
    for w in sorted(alone, key=lambda w: -len(wholes[w].shape)):
        size, module = wholes[w].size, _module(wholes[w])
        found: dict[tuple[int, ...], float] = {}
        if beside := _beside(parts, [p for p in free_p if p not in taken], modules.get(module, []), size):
            taken.update(beside)
            yield w, list(permutations(beside)) if len(beside) <= MOST_IN_ANY_ORDER else [beside]
            continue
        free = [p for p in free_p if p not in taken]
        for some in [*_of_families(parts, free, wholes[w]), *_of_a_module(parts, free, wholes[w])]:
            found[some] = sum(alike_names(parts[p].path, wholes[w].path) for p in some) / len(some)
        if found:
            ways = sorted(found, key=lambda some: -round(20 * found[some]))
            modules[module] = [_module(parts[p]) for p in ways[0]]
            taken.update(ways[0])
            yield w, ways


def _beside(leaves: Sequence[Leaf], free: Sequence[int], modules: list[str], size: int) -> tuple[int, ...]:
    """The only leaves of some modules that make up so many numbers, as biases beside kernels; none if there are more.

    Args:
        leaves: all, of which some are free.
        modules: in the order in which their other leaves are joined.
        size: how many numbers all have together.
    """
    some = [n for module in modules for n in free if _module(leaves[n]) == module]
    some = [n for n in some if leaves[n].size * len(modules) == size]
    return tuple(some) if len(some) == len(modules) == len({_module(leaves[n]) for n in some}) else ()


def _may_be(a: Leaf, b: Leaf, *, of_one_size: bool = False) -> bool:
    """Whether both may be the same kind of parameter: a weight is no bias, and one of their size has as many axes."""
    if of_one_size and (a.size != b.size or _is_vector(a) != _is_vector(b)):
        return False
    roles = {parts_of(a.path).role, parts_of(b.path).role}
    return len(roles) == 1 or "" in roles


def _is_vector(leaf: Leaf) -> bool:
    return sum(length > 1 for length in leaf.shape) <= 1


def _of_families(leaves: Sequence[Leaf], free: Sequence[int], of: Leaf) -> Iterator[tuple[int, ...]]:
    """Leaves of one shape whose paths differ in one name, as many as make up another leaf, in each order."""
    for family in families(leaves, free):
        each = leaves[family[0]]
        count, rest = divmod(of.size, each.size)
        if not rest and 1 < count <= MOST_JOINED and joined(range(count), [each.shape] * count, of.shape):
            yield from _orders(leaves, family, count)


def _of_a_module(leaves: Sequence[Leaf], free: Sequence[int], of: Leaf) -> Iterator[tuple[int, int]]:
    """Pairs of leaves of one module, of different shapes and the same kind, that make up another leaf."""
    for pair in permutations(free, 2):
        a, b = (leaves[n] for n in pair)
        together = a.size + b.size == of.size and _module(a) == _module(b) and a.shape != b.shape
        if together and len(a.shape) == len(b.shape) > 1 and _may_be(a, b):
            yield from [pair] if joined(pair, [a.shape, b.shape], of.shape) else []


def _module(leaf: Leaf) -> str:
    """The path of the module that has a leaf."""
    return leaf.path.rpartition("/")[0]
