"""Which parameter of the candidate is which of the reference, by names, in whatever framework, and shapes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, combinations, permutations
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from .layouts import Leaf, LeafLayout, Transform, find, joined, mapped, piece, whole
from .tape import Tape

#: The most leaves that are joined in any order, and the most that are joined at all.
MOST_IN_ANY_ORDER, MOST_JOINED, MOST_IN_A_FAMILY = 4, 64, 6
#: Names tell two leaves apart if one is this much more alike than the next.
MARGIN = 0.1
#: Words that frameworks have for the same thing.
SYNONYMS: dict[str, str] = {
    **dict.fromkeys(("kernel", "weight", "weights", "w", "scale", "gamma", "embedding", "embeddings"), "weight"),
    **dict.fromkeys(("bias", "b", "beta"), "bias"),
    **dict.fromkeys(("query", "q", "wq", "queries"), "query"),
    **dict.fromkeys(("key", "k", "wk", "keys"), "key"),
    **dict.fromkeys(("value", "v", "wv", "values"), "value"),
    **dict.fromkeys(("out", "o", "wo", "output"), "out"),
    **dict.fromkeys(("dense", "linear", "fc", "proj", "projection", "lin", "layer", "layers"), "layer"),
    **dict.fromkeys(("norm", "ln", "layernorm", "layer_norm", "rmsnorm"), "norm"),
    **dict.fromkeys(("bn", "batchnorm"), "batchnorm"),
    **dict.fromkeys(("mean", "running_mean"), "mean"),
    **dict.fromkeys(("var", "running_var", "variance"), "var"),
    **dict.fromkeys(("embed", "emb", "wte", "tok"), "embed"),
    **dict.fromkeys(("pos", "wpe", "position", "positional"), "pos"),
}  # fmt: skip
#: Names of what is several in one.
JOINED: dict[str, tuple[str, ...]] = {"qkv": ("query", "key", "value"), "kv": ("key", "value")}
for _letter in "qkvo":
    JOINED |= {f"{_letter}proj": (_letter,), f"w{_letter}": (_letter,)}
#: Names of the gates of recurrent cells, and of what is computed for each of them.
for _gate in "ifgorzn":
    JOINED |= {f"i{_gate}": ("input", _gate), f"h{_gate}": ("hidden", _gate)}
    JOINED |= {f"w{_gate}": ("weight", _gate), f"u{_gate}": ("hidden", "weight", _gate), f"b{_gate}": ("bias", _gate)}


@dataclass
class Match:
    """What is known of one leaf of the candidate.

    Args:
        layout: what it is of the reference; None if nothing is.
        by: "the mapping", "names and shapes", "values" or "function".
        options: all that it may be, the likeliest first; one if there is nothing to choose.
    """

    layout: LeafLayout | Transform | None
    by: str = "names and shapes"
    options: list[LeafLayout] = field(default_factory=list)


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


def match_by_values(matches: Sequence[Match], reference: Sequence[np.ndarray], candidate: Sequence[np.ndarray]) -> None:
    """Choose a layout by which the candidate has the reference's very values: that tells which leaf is which.

    Args:
        matches: what is known of each leaf of the candidate; it is changed.
        reference, candidate: the values of the leaves of both, in float64.
    """
    leaves = [a[None] for a in reference]
    for m, value in zip(matches, candidate, strict=True):
        if m.by != "the mapping" and value.size > 1 and np.ptp(np.abs(value)) > 0:
            same = (o for o in m.options if np.allclose(o.convert(leaves)[0], value, rtol=1e-6, atol=0))
            if (option := next(same, None)) is not None:
                m.layout, m.by = option, "values"


def converted(matches: Sequence[Match], reference: Sequence[np.ndarray], own: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The candidate's leaves with the reference's values; its own where a leaf has no partner."""
    pairs = zip(own, matches, strict=True)
    return [value if m.layout is None else m.layout.convert(reference) for value, m in pairs]


def unmatched(reference: Sequence[Leaf], matches: Sequence[Match]) -> list[int]:
    """The leaves of the reference that no leaf of the candidate has."""
    taken = {n for m in matches if m.layout is not None for n in m.layout.sources}
    return [r for r in range(len(reference)) if r not in taken]


def with_uses(leaves: Sequence[Leaf], tape: Tape) -> list[Leaf]:
    """The leaves, with what the program does with them first."""
    result = []
    for leaf, value in zip(leaves, tape.arguments, strict=False):
        step = min(tape.used.get(value, [len(tape.steps)]))
        place = tape.steps[step].operands.index(value) if step < len(tape.steps) else 0
        result.append(replace(leaf, used=(step, place), summed=tape.summed_over(value)))
    return result


def families(leaves: Sequence[Leaf], free: Sequence[int]) -> list[list[int]]:
    """Leaves of one shape whose paths differ in one name, in the order of their names and numbers."""
    groups: dict[Any, list[int]] = {}
    for n in free:
        parts = leaves[n].path.split("/")
        for place in range(len(parts)):
            key = (*parts[:place], None, *parts[place + 1 :]), leaves[n].shape
            groups.setdefault(key, []).append(n)

    def natural(n: int) -> list[Any]:
        texts = re.findall(r"\D+|\d+", leaves[n].path)
        return [(0, int(text), "") if text.isdigit() else (1, 0, text) for text in texts]

    return [sorted(group, key=natural) for group in groups.values() if len(group) > 1]


class _Matching:
    """The matches of the leaves of two models, while they are found."""

    def __init__(self, reference: Sequence[Leaf], candidate: Sequence[Leaf]):
        self.reference, self.candidate = reference, candidate
        self.matches = [Match(None) for _ in candidate]

    def _free(self) -> tuple[list[int], list[int]]:
        """The leaves of both that have no partner yet."""
        free = [c for c, m in enumerate(self.matches) if m.layout is None]
        return unmatched(self.reference, self.matches), free

    def _keep(self, c: int, options: list[LeafLayout]) -> None:
        if options:
            self.matches[c] = Match(options[0], options=options)

    def _ordered(self, options: list[LeafLayout], c: int) -> list[LeafLayout]:
        """The layouts of a leaf, those first that one expects."""
        return sorted(options, key=lambda option: not _usual(option, self.reference, self.candidate[c]))

    def by_mapping(self, mapping: Mapping[str, Any]) -> None:
        """Match the leaves that the user maps."""
        for path, target in mapping.items():
            c = find(path, self.candidate, "candidate")
            if self.matches[c].layout is not None:
                raise InputError(f"the mapping names {self.candidate[c].path!r} twice.")
            layout = mapped(target, self.reference, self.candidate[c])
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
        ranks = [_ranks(reference, free_r), _ranks(candidate, free_c)]
        fits, alike = np.zeros(named.shape, bool), named + 0.5 / (1 + np.abs(ranks[1][:, None] - ranks[0][None]))
        for (i, j), some in options.items():
            fits[i, j] = True
            alike[i, j] += 0.2 * _usual(some[0], reference, candidate[free_c[i]])
        from scipy.optimize import linear_sum_assignment  # here, since it takes long to import

        rows, columns = linear_sum_assignment(np.where(fits, -alike, 10.0))
        for i, j in zip(rows, columns, strict=True):
            if fits[i, j]:
                rivals = [k for k in np.argsort(-alike[i]) if fits[i, k] and named[i, k] > named[i, j] - MARGIN]
                self._keep(free_c[i], [way for k in [j, *(k for k in rivals if k != j)] for way in options[i, k]])


def _ranks(leaves: Sequence[Leaf], free: Sequence[int]) -> np.ndarray:
    """For each leaf, how many of its size are used before it."""
    groups: dict[int, list[int]] = {}
    for n in sorted(free, key=lambda n: leaves[n].used):
        groups.setdefault(leaves[n].size, []).append(n)
    return np.array([groups[leaves[n].size].index(n) for n in free])


def _usual(option: LeafLayout, reference: Sequence[Leaf], leaf: Leaf) -> bool:
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


# Leaves that are several of the other model's in one --------------------------------------------------------------


def _bundles(
    wholes: Sequence[Leaf], parts: Sequence[Leaf], free_w: list[int], free_p: list[int]
) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    """Each leaf that is several of the other model's in one, with the orders of these, the likeliest first.

    Those are of the modules whose other leaves are joined already, as biases beside kernels; else their names decide.
    """
    modules: dict[str, list[str]] = {}
    taken: set[int] = set()
    alone = [w for w in free_w if not any(_may_be_the_same(parts[p], wholes[w]) for p in free_p)]
    for w in sorted(alone, key=lambda w: -len(wholes[w].shape)):
        free = [p for p in free_p if p not in taken]
        wanted = modules.get(wholes[w].module, [])
        near = [p for p in free if parts[p].module in wanted]  # they may be few where a whole family is too large
        likely: dict[tuple[int, ...], tuple[bool, int]] = {}
        families_of = (_of_families(parts, some, wholes[w]) for some in (near, free))
        for some in chain(*families_of, _of_a_module(parts, free, wholes[w])):
            names = sum(alike_names(parts[p].path, wholes[w].path) for p in some) / len(some)
            likely[some] = [parts[p].module for p in some] == wanted, round(20 * names)
        if ways := sorted(likely, key=lambda some: likely[some], reverse=True):
            modules.setdefault(wholes[w].module, [parts[p].module for p in ways[0]])
            taken.update(ways[0])
            yield w, ways


def _of_families(leaves: Sequence[Leaf], free: Sequence[int], of: Leaf) -> Iterator[tuple[int, ...]]:
    """Leaves of one shape whose paths differ in one name, as many as make up another leaf, in each order."""
    for family in families(leaves, free):
        each = leaves[family[0]]
        count, rest = divmod(of.size, each.size)
        if rest or not 1 < count <= MOST_JOINED or not joined(range(count), [each.shape] * count, of.shape):
            continue
        if count <= MOST_IN_ANY_ORDER and len(family) <= MOST_IN_A_FAMILY:
            by_use = sorted(family, key=lambda n: leaves[n].used)
            yield from (order for some in combinations(by_use, count) for order in permutations(some))
        elif count > MOST_IN_ANY_ORDER and len(family) == count:
            yield tuple(family)


def _of_a_module(leaves: Sequence[Leaf], free: Sequence[int], of: Leaf) -> Iterator[tuple[int, int]]:
    """Pairs of leaves of one module, of different shapes and the same kind, that make up another leaf."""
    for pair in permutations(free, 2):
        a, b = (leaves[n] for n in pair)
        together = a.size + b.size == of.size and a.module == b.module and a.shape != b.shape
        if together and len(a.shape) == len(b.shape) > 1 and _is_one_kind(a, b):
            yield from [pair] if joined(pair, [a.shape, b.shape], of.shape) else []


def _is_one_kind(a: Leaf, b: Leaf) -> bool:
    """Whether both may be the same kind of parameter: a weight is no bias."""
    roles = {parts_of(a.path).role, parts_of(b.path).role}
    return len(roles) == 1 or "" in roles


def _may_be_the_same(a: Leaf, b: Leaf) -> bool:
    """Whether both may be the same parameter: of one size and kind, and not the one a vector and the other none."""
    vectors = {sum(length > 1 for length in leaf.shape) <= 1 for leaf in (a, b)}
    return a.size == b.size and len(vectors) == 1 and _is_one_kind(a, b)


# How much the names of two parameters are alike ---------------------------------------------------------------------


def words(path: str) -> list[str]:
    """The words and numbers of a path, each in the form that all frameworks share.

    >>> words("Block_1/queryProj/kernel")
    ['block', '1', 'query', 'layer', 'weight']
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", path).lower()
    several = [JOINED.get(word, (word,)) for word in re.findall(r"[a-z]+|\d+", spaced)]
    return [SYNONYMS.get(word, word) for some in several for word in some]


def alike_names(a: str, b: str) -> float:
    """How much two paths are alike, from 0 to 1."""
    first, second = parts_of(a), parts_of(b)
    common = len(first.texts & second.texts) / max(len(first.texts | second.texts), 1)
    letters = len(first.letters & second.letters) / max(len(first.letters | second.letters), 1)
    numbers = 0.1 * (first.numbers[:1] == second.numbers[:1]) + 0.05 * (first.numbers == second.numbers)
    return 0.3 * (first.role == second.role) + 0.4 * common + 0.15 * letters + numbers


class Parts(NamedTuple):
    """What tells a path: its words, pairs of their letters, numbers, and the role of the leaf."""

    texts: frozenset[str]
    letters: frozenset[str]
    numbers: tuple[str, ...]
    role: str


@lru_cache(maxsize=8192)
def parts_of(path: str) -> Parts:
    """What tells a path."""
    every = words(path)
    texts = [word for word in every if not word.isdigit()]
    role = next((word for word in reversed(texts) if word in ("weight", "bias", "mean", "var")), "")
    letters = frozenset(text[n : n + 2] for text in texts for n in range(max(len(text) - 1, 1)))
    return Parts(frozenset(texts), letters, tuple(word for word in every if word.isdigit()), role)
