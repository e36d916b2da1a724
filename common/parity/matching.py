"""Which parameter of the candidate is which of the reference, as far as names, shapes
and values tell.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import Any

import numpy as np

from ..errors import InputError
from ..program.tape import Tape
from .layouts import Leaf, LeafLayout, Transform, find, joined, mapped, piece, whole
from .names import alike_names, kind_of, may_be_one_kind, spelled, words_of

MOST_JOINED = 64  # the most leaves that are one leaf of the other model
#: What adds to how much names are alike: equal names, an equal order of use, and a
#: layout that is expected.
EQUAL_NAMES, EQUAL_ORDER, USUAL_LAYOUT = 1.0, 0.5, 0.2
NO_FIT = -10.0  # in place of that, where shapes do not fit
#: a leaf whose name is this much less alike than another's may be it all the same
MARGIN = 0.1


@dataclass
class Match:
    """What is known of a leaf of the candidate.

    Args:
        layout: what it is of the reference; None if it has no partner.
        by: what told that: "names and shapes", "the mapping", "values" or "function".
        options: all that it may be by names and shapes, the likeliest first.
        has_rival: whether names and shapes are as good for another leaf.
    """

    layout: LeafLayout | Transform | None
    by: str = "names and shapes"
    options: list[LeafLayout] = field(default_factory=list)
    has_rival: bool = False


def match(
    reference: Sequence[Leaf],
    candidate: Sequence[Leaf],
    mapping: Mapping[str, Any] | None = None,
) -> list[Match]:
    """A match for each leaf of the candidate.

    Raises an InputError if the mapping, as of `compare`, makes no sense.
    """
    return _Matching(reference, candidate).run(mapping or {})


def match_by_values(
    matches: Sequence[Match],
    reference: Sequence[np.ndarray],
    candidate: Sequence[np.ndarray],
) -> None:
    """Choose, in matches, a layout by which the candidate has the reference's very
    values, in float64.
    """
    leaves = [a[None] for a in reference]
    for m, value in zip(matches, candidate, strict=True):
        is_constant = value.size < 2 or np.ptp(np.abs(value)) == 0
        if is_constant or m.by == "the mapping":
            continue
        for option in m.options:
            if np.allclose(option.convert(leaves)[0], value, rtol=1e-6, atol=0):
                m.layout, m.by = option, "values"
                break


def converted(
    matches: Sequence[Match], reference: Sequence[np.ndarray], own: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The candidate's leaves with the reference's values; its own where a leaf has no
    partner.
    """
    leaves = []
    for m, value in zip(matches, own, strict=True):
        leaves.append(value if m.layout is None else m.layout.convert(reference))
    return leaves


def contradicts_names(match: Match, leaf: Leaf, reference: Sequence[Leaf]) -> bool:
    """Whether a leaf is another one than the reference's of its name."""
    if match.layout is None or match.by == "the mapping":
        return False
    namesakes = {n for n, other in enumerate(reference) if is_namesake(other, leaf)}
    return bool(namesakes) and namesakes.isdisjoint(match.layout.sources)


def is_namesake(leaf: Leaf, other: Leaf) -> bool:
    """Whether two leaves have one name, but for what frameworks call weights."""
    return spelled(leaf.path) == spelled(other.path)


def unmatched(reference: Sequence[Leaf], matches: Sequence[Match]) -> list[int]:
    """The leaves of the reference that no leaf of the candidate has."""
    taken: set[int] = set()
    for m in matches:
        if m.layout is not None:
            taken.update(m.layout.sources)
    return [n for n, leaf in enumerate(reference) if n not in taken and leaf.size]


def with_uses(leaves: Sequence[Leaf], tape: Tape) -> list[Leaf]:
    """The leaves, with what the program does with them first."""
    result = []
    for leaf, value in zip(leaves, tape.arguments, strict=False):
        used = len(tape.steps), 0
        users = tape.users(value)
        if users:
            first = min(users, key=lambda step: step.number)
            used = first.number, first.operands.index(value)
        result.append(replace(leaf, used=used, summed=tape.summed_over(value)))
    return result


class _Matching:
    """Matches the leaves step by step: what is matched in one is not matched again."""

    def __init__(self, reference: Sequence[Leaf], candidate: Sequence[Leaf]):
        self.reference = [replace(leaf, number=n) for n, leaf in enumerate(reference)]
        self.candidate = [replace(leaf, number=n) for n, leaf in enumerate(candidate)]
        self.matches = [Match(None) for _ in candidate]

    def run(self, mapping: Mapping[str, Any]) -> list[Match]:
        self._map(mapping)
        self._join()
        self._split()
        self._assign()
        # What another leaf of its size hid may still be several leaves of the other
        # model.
        self._join()
        self._split()
        return self.matches

    def _map(self, mapping: Mapping[str, Any]) -> None:
        for path, target in mapping.items():
            leaf = self.candidate[find(path, self.candidate, "candidate")]
            if self.matches[leaf.number].layout is not None:
                raise InputError(f"the mapping names {leaf.path!r} twice.")
            layout = mapped(target, self.reference, leaf)
            self.matches[leaf.number] = Match(layout, "the mapping")

    def _free_of_reference(self) -> list[Leaf]:
        return [self.reference[n] for n in unmatched(self.reference, self.matches)]

    def _free_of_candidate(self) -> list[Leaf]:
        return [c for c in self.candidate if self.matches[c.number].layout is None]

    def _keep(self, leaf: Leaf, options: list[LeafLayout]) -> None:
        """Keep the layouts that a leaf may have, if there are any: those first that are
        usual.
        """
        if options:
            usual = [option for option in options if self._is_usual(option, leaf)]
            rest = [option for option in options if not self._is_usual(option, leaf)]
            options = [*usual, *rest]
            self.matches[leaf.number] = Match(options[0], options=options)

    def _is_usual(self, option: LeafLayout, leaf: Leaf) -> bool:
        return _is_usual(option, self.reference[option.sources[0]], leaf)

    def _join(self) -> None:
        """Match leaves of the candidate that are several of the reference's in one."""
        free = self._free_of_reference()
        for leaf, parts in _bundles(self._free_of_candidate(), free):
            numbers = [part.number for part in parts]
            shapes = [part.shape for part in parts]
            self._keep(leaf, joined(numbers, shapes, leaf.shape))

    def _split(self) -> None:
        """Match leaves of the candidate that are pieces of one of the reference's."""
        free = self._free_of_candidate()
        for source, parts in _bundles(self._free_of_reference(), free):
            if len({part.shape for part in parts}) > 1:
                continue  # of unequal pieces a mapping has to tell
            for place, leaf in enumerate(parts):
                pieces = piece(
                    source.number, source.shape, leaf.shape, place, len(parts)
                )
                self._keep(leaf, pieces)

    def _assign(self) -> None:
        """Match leaves of one size, so that all names are as much alike as they can
        be.
        """
        from scipy.optimize import linear_sum_assignment  # here: importing it is slow

        free_r, free_c = self._free_of_reference(), self._free_of_candidate()
        uneven = _uneven_sizes(free_r, free_c)
        ranks_r, ranks_c = _ranks(free_r, uneven), _ranks(free_c, uneven)
        options: dict[tuple[int, int], list[LeafLayout]] = {}
        named = np.zeros((len(free_c), len(free_r)))
        alike = np.full(named.shape, NO_FIT)
        for i, leaf in enumerate(free_c):
            for j, source in enumerate(free_r):
                if source.size != leaf.size or source.is_complex != leaf.is_complex:
                    continue
                layouts = whole(source.number, source.shape, leaf.shape)
                if not layouts:
                    continue
                options[i, j] = layouts
                named[i, j] = alike_names(source.path, leaf.path)
                distance = abs(ranks_c[i] - ranks_r[j])
                alike[i, j] = named[i, j] + EQUAL_ORDER / (1 + distance)
                if is_namesake(source, leaf):
                    alike[i, j] += EQUAL_NAMES
                if any(_is_usual(layout, source, leaf) for layout in layouts):
                    alike[i, j] += USUAL_LAYOUT
        for i, j in zip(*linear_sum_assignment(alike, maximize=True), strict=True):
            if (i, j) in options:
                likely = options[i, j]
                self._keep(free_c[i], likely)
                kept = self.matches[free_c[i].number]
                for k in np.argsort(-alike[i]):
                    if k == j or (i, k) not in options:
                        continue
                    if named[i, k] > named[i, j] - MARGIN:
                        kept.options += options[i, k]
                    if named[i, k] >= named[i, j]:
                        kept.has_rival = True


def _is_usual(layout: LeafLayout, source: Leaf, leaf: Leaf) -> bool:
    """Whether a layout is expected: products sum over the same numbers; else, a weight
    is a transposed kernel.
    """
    if not source.summed or not leaf.summed:
        kernels = {path.endswith("kernel") for path in (source.path, leaf.path)}
        is_turned = len(kernels) == 2 and words_of(source.path)[-1:] == ["weight"]
        return is_turned == ("transposed" in layout.how)
    flat = layout.index.reshape(-1)
    groups = []
    for distances in leaf.summed:
        groups.append({int(flat[distance] - flat[0]) for distance in distances})
    if len(groups) == len(source.summed):
        pairs = zip(groups, source.summed, strict=True)
        return all(group <= summed for group, summed in pairs)
    return set().union(*groups) <= frozenset().union(*source.summed)


def _uneven_sizes(first: Sequence[Leaf], second: Sequence[Leaf]) -> set[int]:
    """The sizes of which one model has more leaves than the other."""
    of_first = Counter(leaf.size for leaf in first)
    of_second = Counter(leaf.size for leaf in second)
    sizes = {*of_first, *of_second}
    return {size for size in sizes if of_first[size] != of_second[size]}


def _ranks(leaves: Sequence[Leaf], uneven: set[int]) -> list[int]:
    """For each leaf, how many of its size are used before it.

    Of the sizes that are uneven, leaves of its kind are counted alone: those that one
    model lacks would shift the others.
    """
    ranks = {}
    counts: Counter[tuple[int, str]] = Counter()
    for leaf in sorted(leaves, key=lambda leaf: leaf.used):
        kind = kind_of(leaf.path) if leaf.size in uneven else ""
        group = leaf.size, kind
        ranks[leaf.number] = counts[group]
        counts[group] += 1
    return [ranks[leaf.number] for leaf in leaves]


def _bundles(
    leaves: Sequence[Leaf], parts: Sequence[Leaf]
) -> Iterator[tuple[Leaf, list[Leaf]]]:
    """Each leaf that is several of the other model's in one, with these, in their
    likeliest order.

    Those are of the modules whose other leaves are joined already, as biases beside
    kernels; else their names decide.
    """
    modules: dict[str, list[str]] = {}
    free = list(parts)
    for leaf in sorted(leaves, key=lambda leaf: len(leaf.shape), reverse=True):
        if any(_may_be_the_same(part, leaf) for part in parts):
            continue
        alike = [part for part in free if part.is_complex == leaf.is_complex]
        likeliest = _likeliest_parts(leaf, alike, modules.get(leaf.module, []))
        if likeliest:
            modules.setdefault(leaf.module, [part.module for part in likeliest])
            free = [part for part in free if part not in likeliest]
            yield leaf, likeliest


def _likeliest_parts(
    leaf: Leaf, free: Sequence[Leaf], modules: Sequence[str]
) -> list[Leaf]:
    """The leaves that are most likely joined in another one; empty if none can be."""
    likeliest: list[Leaf] = []
    most = 0.0
    for parts in (*_of_one_shape(leaf, free, modules), *_of_two_shapes(leaf, free)):
        alike = sum(alike_names(part.path, leaf.path) for part in parts) / len(parts)
        if [part.module for part in parts] == modules:
            alike += EQUAL_NAMES
        if alike > most:
            likeliest, most = parts, alike
    return likeliest


def _of_one_shape(
    leaf: Leaf, free: Sequence[Leaf], modules: Sequence[str]
) -> Iterator[list[Leaf]]:
    """Of each family, the leaves that are most alike to another one, as many as make it
    up.
    """
    for family in families(free):
        shape = family[0].shape
        count, rest = divmod(leaf.size, family[0].size)
        if rest or not 1 < count <= min(MOST_JOINED, len(family)):
            continue
        if not joined(range(count), [shape] * count, leaf.shape):
            continue
        near = [part for part in family if part.module in modules]
        if len(near) == count:
            yield sorted(near, key=lambda part: modules.index(part.module))
            continue
        by_name = sorted(family, key=lambda part: -alike_names(part.path, leaf.path))
        yield sorted(by_name[:count], key=lambda part: part.used)


def _of_two_shapes(leaf: Leaf, free: Sequence[Leaf]) -> Iterator[list[Leaf]]:
    """Two matrices of one module and kind, of different shapes, that make up a leaf in
    this order.
    """
    for first, second in permutations(free, 2):
        if first.size + second.size != leaf.size or first.module != second.module:
            continue
        if first.shape == second.shape or len(first.shape) != len(second.shape):
            continue
        if len(first.shape) < 2 or not may_be_one_kind(first.path, second.path):
            continue
        if joined((0, 1), [first.shape, second.shape], leaf.shape):
            yield [first, second]


def families(leaves: Iterable[Leaf]) -> list[list[Leaf]]:
    """Leaves of one shape whose paths differ in one name, in the order of their names
    and numbers.
    """
    groups: dict[Any, list[Leaf]] = {}
    for leaf in sorted(leaves, key=_natural_order):
        names = leaf.path.split("/")
        for place in range(len(names)):
            common = (*names[:place], None, *names[place + 1 :])
            groups.setdefault((common, leaf.shape), []).append(leaf)
    return [family for family in groups.values() if len(family) > 1]


def _natural_order(leaf: Leaf) -> list[tuple[bool, int, str]]:
    """Sorts paths so that layer 10 stands behind layer 9."""
    order = []
    for text in re.split(r"(\d+)", leaf.path):
        number = int(text) if text.isdigit() else 0
        order.append((text.isdigit(), number, text))
    return order


def _may_be_the_same(leaf: Leaf, other: Leaf) -> bool:
    """Whether both may be the same parameter: of one size and kind, and not the one a
    vector and the other none.
    """
    if leaf.size != other.size or not may_be_one_kind(leaf.path, other.path):
        return False
    return _is_vector(leaf) == _is_vector(other)


def _is_vector(leaf: Leaf) -> bool:
    return sum(length > 1 for length in leaf.shape) <= 1
