"""Which parameter of the candidate is which of the reference, by names, in whatever framework, and shapes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain, combinations, permutations, product, takewhile
from typing import Any

import numpy as np

from ..errors import InputError
from ..program.tape import Tape
from .layouts import Leaf, LeafLayout, Transform, find, joined, mapped, piece, whole

#: The most leaves that are joined in any order, and the most that are joined at all.
MOST_IN_ANY_ORDER, MOST_JOINED, MOST_IN_A_FAMILY = 4, 64, 8
#: How much equal names weigh beside similar ones: more than the order of use.
EQUAL_NAMES = 1.0
MARGIN = 0.1  # names tell two leaves apart if one is this much more alike than the next
#: Words that frameworks have for the same thing, each with what it is called here.
SYNONYMS = {
    word: name
    for name, words in {
        "weight": "kernel weights w scale gamma embedding embeddings",
        "bias": "b beta",
        "query": "q wq queries",
        "key": "k wk keys",
        "value": "v wv values",
        "out": "o wo output",
        "var": "variance",
        "batchnorm": "bn",
        "layer": "dense linear fc proj projection lin layers",
        "norm": "ln layernorm rmsnorm",
        "embed": "emb wte tok",
        "pos": "wpe position positional",
    }.items()
    for word in words.split()
}
#: Names of what is several in one.
JOINED: dict[str, tuple[str, ...]] = {
    "qkv": ("query", "key", "value"),
    "kv": ("key", "value"),
}
for _letter in "qkvo":
    JOINED |= {f"{_letter}proj": (_letter,), f"w{_letter}": (_letter,)}
#: Names of the gates of recurrent cells, and of what is computed for each of them.
for _gate in "ifgorzn":
    JOINED |= {f"i{_gate}": ("input", _gate), f"h{_gate}": ("hidden", _gate)}
    JOINED |= {
        f"w{_gate}": ("weight", _gate),
        f"u{_gate}": ("hidden", "weight", _gate),
        f"b{_gate}": ("bias", _gate),
    }


@dataclass
class Match:
    """What is known of one leaf of the candidate."""

    layout: LeafLayout | Transform | None  # what it is of the reference, if anything
    by: str = "names and shapes"  # or "the mapping", "values" or "function"
    options: list[LeafLayout] = field(
        default_factory=list
    )  # all that it may be, the likeliest first
    has_rival: bool = False  # whether names and shapes are as good for another leaf


def match(
    reference: Sequence[Leaf], candidate: Sequence[Leaf], mapping: Any = None
) -> list[Match]:
    """A match for each leaf of the candidate. Raises an InputError if the mapping, as of `compare`, makes no sense."""
    return _Matching(reference, candidate).run(mapping or {})


def match_by_values(
    matches: Sequence[Match],
    reference: Sequence[np.ndarray],
    candidate: Sequence[np.ndarray],
) -> None:
    """Choose, in matches, a layout by which the candidate has the reference's very values, in float64."""
    leaves = [a[None] for a in reference]
    for m, value in zip(matches, candidate, strict=True):
        if m.by != "the mapping" and value.size > 1 and np.ptp(np.abs(value)) > 0:
            same = (
                o
                for o in m.options
                if np.allclose(o.convert(leaves)[0], value, rtol=1e-6, atol=0)
            )
            if (option := next(same, None)) is not None:
                m.layout, m.by = option, "values"


def converted(
    matches: Sequence[Match], reference: Sequence[np.ndarray], own: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The candidate's leaves with the reference's values; its own where a leaf has no partner."""
    pairs = zip(own, matches, strict=True)
    return [
        value if m.layout is None else m.layout.convert(reference) for value, m in pairs
    ]


def contradicts_names(match: Match, leaf: Leaf, reference: Sequence[Leaf]) -> bool:
    """Whether a leaf is another one than the reference's of its name."""
    if match.layout is None or match.by == "the mapping":
        return False
    namesakes = [n for n, r in enumerate(reference) if is_namesake(r, leaf)]
    return bool(namesakes) and not set(namesakes) & set(match.layout.sources)


def is_namesake(leaf: Leaf, other: Leaf) -> bool:
    """Whether two leaves have one name, but for what frameworks call weights."""
    return spelled(leaf.path) == spelled(other.path)


def unmatched(reference: Sequence[Leaf], matches: Sequence[Match]) -> list[int]:
    """The leaves of the reference that no leaf of the candidate has."""
    taken = {n for m in matches if m.layout is not None for n in m.layout.sources}
    return [r for r, leaf in enumerate(reference) if r not in taken and leaf.size]


def with_uses(leaves: Sequence[Leaf], tape: Tape) -> list[Leaf]:
    """The leaves, with what the program does with them first."""
    result = []
    for leaf, value in zip(leaves, tape.arguments, strict=False):
        step = min(tape.used.get(value, [len(tape.steps)]))
        place = tape.steps[step].operands.index(value) if step < len(tape.steps) else 0
        result.append(replace(leaf, used=(step, place), summed=tape.summed_over(value)))
    return result


def families(leaves: Sequence[Leaf]) -> list[list[Leaf]]:
    """Leaves of one shape whose paths differ in one name, in the order of their names and numbers."""
    groups: dict[Any, list[Leaf]] = {}
    for leaf in leaves:
        parts = leaf.path.split("/")
        for place in range(len(parts)):
            groups.setdefault(
                ((*parts[:place], None, *parts[place + 1 :]), leaf.shape), []
            ).append(leaf)

    def natural(leaf: Leaf) -> list[Any]:
        return [
            int(text) if text.isdigit() else text
            for text in re.split(r"(\d+)", leaf.path)
        ]

    return [sorted(group, key=natural) for group in groups.values() if len(group) > 1]


class _Matching:
    def __init__(self, reference: Sequence[Leaf], candidate: Sequence[Leaf]):
        self.reference, self.candidate = (
            [replace(leaf, number=n) for n, leaf in enumerate(leaves)]
            for leaves in (reference, candidate)
        )
        self.matches = [Match(None) for _ in candidate]

    def run(self, mapping: Mapping[str, Any]) -> list[Match]:
        for path, target in mapping.items():
            leaf = self.candidate[find(path, self.candidate, "candidate")]
            if self.matches[leaf.number].layout is not None:
                raise InputError(f"the mapping names {leaf.path!r} twice.")
            self.matches[leaf.number] = Match(
                mapped(target, self.reference, leaf), "the mapping"
            )
        self._join()
        self._split()
        self._assign()
        self._join()  # what another leaf of its size hid: it may be several of the other model's
        self._split()
        return self.matches

    def _free(self) -> tuple[list[Leaf], list[Leaf]]:
        alone = unmatched(self.reference, self.matches)
        return [self.reference[r] for r in alone], [
            c for c in self.candidate if self.matches[c.number].layout is None
        ]

    def _is_usual(self, option: LeafLayout, leaf: Leaf) -> bool:
        """Whether a layout is expected: products sum over the same numbers; else, a weight is a transposed kernel."""
        source = self.reference[option.sources[0]]
        if source.summed and leaf.summed:
            flat = option.index.reshape(-1)
            mine = [
                {int(flat[stride] - flat[0]) for stride in group}
                for group in leaf.summed
            ]
            if len(mine) == len(source.summed):
                return all(
                    group <= other
                    for group, other in zip(mine, source.summed, strict=True)
                )
            return set().union(*mine) - {0} <= frozenset().union(*source.summed)
        turned = (
            source.path.endswith("kernel") != leaf.path.endswith("kernel")
            and "weight" in words(source.path)[-1:]
        )
        return turned == ("transposed" in option.how)

    def _keep(self, leaf: Leaf, ways: Iterable[list[LeafLayout]]) -> None:
        """Keep the layouts of a leaf, if it has any: in each way, those first that are usual."""
        options = [
            o
            for some in ways
            for o in sorted(some, key=lambda option: not self._is_usual(option, leaf))
        ]
        if options:
            self.matches[leaf.number] = Match(options[0], options=options)

    def _join(self) -> None:
        """Match leaves of the candidate that are several of the reference's in one."""
        free_r, free_c = self._free()
        for c, ways in _bundles(free_c, free_r):
            self._keep(
                c,
                (
                    joined([r.number for r in some], [r.shape for r in some], c.shape)
                    for some in ways
                ),
            )

    def _split(self) -> None:
        """Match leaves of the candidate that are pieces of one of the reference's."""
        for r, (parts, *_) in _bundles(*self._free()):
            k = len(parts)
            if len({c.shape for c in parts}) > 1:
                continue  # the reference's leaf of unequal pieces: a mapping has to say
            for place, c in enumerate(parts):
                places = (
                    [place, *(n for n in range(k) if n != place)]
                    if k <= MOST_IN_ANY_ORDER
                    else [place]
                )
                self._keep(c, [piece(r.number, r.shape, c.shape, n, k) for n in places])

    def _assign(self) -> None:
        """Match leaves of one size, so that all names are as much alike as they can be."""
        free_r, free_c = self._free()
        if not free_r or not free_c:
            return
        named = np.array(
            [[alike_names(r.path, c.path) for r in free_r] for c in free_c]
        )
        fits, options = np.zeros(named.shape, bool), {}
        spellings = [spelled(r.path) for r in free_r]
        equal = np.array([[spelled(c.path) == s for s in spellings] for c in free_c])
        alike = named + EQUAL_NAMES * equal
        alike += 0.5 / (1 + np.abs(_ranks(free_c)[:, None] - _ranks(free_r)))
        for (i, c), (j, r) in product(enumerate(free_c), enumerate(free_r)):
            if r.size == c.size and (some := whole(r.number, r.shape, c.shape)):
                options[i, j], fits[i, j] = some, True
                alike[i, j] += 0.2 * any(self._is_usual(option, c) for option in some)
        from scipy.optimize import (
            linear_sum_assignment,
        )  # here, since it takes long to import

        for i, j in zip(
            *linear_sum_assignment(np.where(fits, -alike, 10.0)), strict=True
        ):
            if fits[i, j]:
                rivals = [
                    k
                    for k in np.argsort(-alike[i])
                    if fits[i, k] and named[i, k] > named[i, j] - MARGIN
                ]
                self._keep(
                    free_c[i],
                    [options[i, k] for k in [j, *(k for k in rivals if k != j)]],
                )
                equals = [k for k in rivals if named[i, k] >= named[i, j] and k != j]
                self.matches[free_c[i].number].has_rival = bool(equals)


def _ranks(leaves: Sequence[Leaf]) -> np.ndarray:
    """For each leaf, how many of its size are used before it."""
    groups: dict[int, list[Leaf]] = {}
    for leaf in sorted(leaves, key=lambda leaf: leaf.used):
        groups.setdefault(leaf.size, []).append(leaf)
    return np.array([groups[leaf.size].index(leaf) for leaf in leaves])


def _bundles(
    wholes: Sequence[Leaf], parts: Sequence[Leaf]
) -> Iterator[tuple[Leaf, list[tuple[Leaf, ...]]]]:
    """Each leaf that is several of the other model's in one, with the orders of these, the likeliest first.

    Those are of the modules whose other leaves are joined already, as biases beside kernels; else their names decide.
    """
    modules: dict[str, list[str]] = {}
    free = list(parts)
    alone = [w for w in wholes if not any(_may_be_the_same(p, w) for p in parts)]
    for w in sorted(alone, key=lambda w: -len(w.shape)):
        wanted = modules.get(w.module, [])
        near = [
            p for p in free if p.module in wanted
        ]  # they may be few where a whole family is too large
        likely: dict[tuple[Leaf, ...], tuple[bool, int]] = {}
        unequal = (
            (a, b)  # of one module, of different shapes and the same kind
            for a, b in permutations(free, 2)
            if a.size + b.size == w.size and a.module == b.module and a.shape != b.shape
            if len(a.shape) == len(b.shape) > 1
            and _is_one_kind(a, b)
            and joined((0, 1), [a.shape, b.shape], w.shape)
        )
        for some in chain(_of_families(near, w), _of_families(free, w), unequal):
            names = sum(alike_names(p.path, w.path) for p in some) / len(some)
            likely[some] = [p.module for p in some] == wanted, round(20 * names)
        if ways := sorted(likely, key=lambda some: likely[some], reverse=True):
            modules.setdefault(w.module, [p.module for p in ways[0]])
            free = [p for p in free if p not in ways[0]]
            yield w, ways


def _of_families(leaves: Sequence[Leaf], of: Leaf) -> Iterator[tuple[Leaf, ...]]:
    """Leaves of one shape whose paths differ in one name, as many as make up another leaf, in each order."""
    for family in families(leaves):
        shape = family[0].shape
        count, rest = divmod(of.size, family[0].size)
        if (
            rest
            or not 1 < count <= MOST_JOINED
            or not joined(range(count), [shape] * count, of.shape)
        ):
            continue
        if count <= MOST_IN_ANY_ORDER and len(family) <= MOST_IN_A_FAMILY:
            by_use = sorted(family, key=lambda leaf: leaf.used)
            yield from (
                order
                for some in combinations(by_use, count)
                for order in permutations(some)
            )
        elif count > MOST_IN_ANY_ORDER and len(family) == count:
            yield tuple(family)


def _is_one_kind(a: Leaf, b: Leaf) -> bool:
    roles = {_parts_of(leaf.path)[0] for leaf in (a, b)}
    return len(roles) == 1 or "" in roles


def _may_be_the_same(a: Leaf, b: Leaf) -> bool:
    """Whether both may be the same parameter: of one size and kind, and not the one a vector and the other none."""
    vectors = {sum(length > 1 for length in leaf.shape) <= 1 for leaf in (a, b)}
    return a.size == b.size and len(vectors) == 1 and _is_one_kind(a, b)


def words(path: str) -> list[str]:
    """The words and numbers of a path, each in the form that all frameworks share.

    >>> words("Block_1/queryProj/kernel")
    ['block', '1', 'query', 'layer', 'weight']
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", path).lower()
    several = [JOINED.get(word, (word,)) for word in re.findall(r"[a-z]+|\d+", spaced)]
    return [SYNONYMS.get(word, word) for some in several for word in some]


def spelled(path: str) -> str:
    """A path with one name for what all frameworks call otherwise: a weight that is a kernel, or a scale."""
    module, _, name = path.replace(".", "/").rpartition("/")
    return f"{module}/{SYNONYMS.get(name, name)}"


def alike_names(a: str, b: str) -> float:
    """How much two paths are alike, from 0 to 1."""
    (role, first, pairs, numbers), (other, second, other_pairs, others) = (
        _parts_of(a),
        _parts_of(b),
    )
    common = len(first & second) / max(len(first | second), 1)
    letters = len(pairs & other_pairs) / max(len(pairs | other_pairs), 1)
    same_numbers = 0.1 * _alike_numbers(numbers, others) + 0.05 * (numbers == others)
    return 0.3 * (role == other) + 0.4 * common + 0.15 * letters + same_numbers


def _alike_numbers(first: Sequence[str], second: Sequence[str]) -> float:
    """The share of the numbers of the shorter path with which the longer one begins, or ends."""
    shorter = min(len(first), len(second))
    if not shorter:
        return float(len(first) == len(second))
    in_order = zip(first, second, strict=False)
    from_behind = zip(reversed(first), reversed(second), strict=False)
    return max(map(_equal_at_first, (in_order, from_behind))) / shorter


def _equal_at_first(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@lru_cache(maxsize=8192)
def _parts_of(path: str) -> tuple[str, frozenset[str], frozenset[str], list[str]]:
    """What a path tells: the role of the leaf, its words, pairs of their letters, and its numbers."""
    every = words(path)
    texts = [word for word in every if not word.isdigit()]
    role = next(
        (word for word in reversed(texts) if word in ("weight", "bias", "mean", "var")),
        "",
    )
    letters = frozenset(
        text[n : n + 2] for text in texts for n in range(max(len(text) - 1, 1))
    )
    return role, frozenset(texts), letters, [word for word in every if word.isdigit()]
