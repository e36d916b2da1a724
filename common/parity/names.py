"""How much the paths of two parameters are alike, in whatever framework they are."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import takewhile

#: Words that frameworks have for one thing, by what it is called here.
SYNONYMS = {
    "weight": "kernel weights w scale gamma embedding embeddings",
    "bias": "b beta",
    "query": "q wq queries qproj",
    "key": "k wk keys kproj",
    "value": "v wv values vproj",
    "out": "o output oproj",
    "var": "variance",
    "batchnorm": "bn",
    "layer": "dense linear fc proj projection lin layers",
    "norm": "ln layernorm rmsnorm",
    "embed": "emb wte tok",
    "pos": "wpe position positional",
    "real": "re",
    "imag": "im imaginary",
}
#: Words for what is several in one.
JOINED = {"qkv": ("query", "key", "value"), "kv": ("key", "value")}
GATES = "ifgorzn"  # of recurrent cells
KINDS = ("weight", "bias", "mean", "var")


@dataclass(frozen=True)
class _Name:
    """What a path tells: the kind of the leaf, its words, the pairs of letters in
    these, and its numbers.
    """

    kind: str
    words: frozenset[str]
    letters: frozenset[str]
    numbers: tuple[str, ...]


def alike_names(path: str, other_path: str) -> float:
    """How much two paths are alike, from 0 to 1."""
    name, other = _name_of(path), _name_of(other_path)
    alike = 0.4 * _share(name.words, other.words)
    alike += 0.15 * _share(name.letters, other.letters)
    alike += 0.1 * _alike_numbers(name.numbers, other.numbers)
    if name.kind == other.kind:
        alike += 0.3
    if name.numbers == other.numbers:
        alike += 0.05
    return alike


def may_be_one_kind(path: str, other_path: str) -> bool:
    """Whether paths do not tell that one is a weight, say, and the other a bias."""
    kinds = {_name_of(path).kind, _name_of(other_path).kind}
    return len(kinds) == 1 or "" in kinds


def kind_of(path: str) -> str:
    """What a path says that its array is, as a weight or a bias; empty for nothing."""
    return _name_of(path).kind


def spelled(path: str) -> str:
    """A path with one name for what all frameworks call otherwise: a weight that is a
    kernel, or a scale.
    """
    module, _, name = path.replace(".", "/").rpartition("/")
    return f"{module}/{'/'.join(_canonical_words().get(name, (name,)))}"


def words_of(path: str) -> list[str]:
    """The words and numbers of a path, each in the form that all frameworks share.

    >>> words_of("Block_1/queryProj/kernel")
    ['block', '1', 'query', 'layer', 'weight']
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", path).lower()
    words: list[str] = []
    for word in re.findall(r"[a-z]+|\d+", spaced):
        words += _canonical_words().get(word, (word,))
    return words


@cache
def _canonical_words() -> dict[str, tuple[str, ...]]:
    """The words that stand here for one of a framework."""
    canonical: dict[str, tuple[str, ...]] = dict(JOINED)
    for name, words in SYNONYMS.items():
        for word in words.split():
            canonical[word] = (name,)
    for gate in GATES:
        name = canonical.get(gate, (gate,))
        canonical[f"i{gate}"] = ("input", *name)
        canonical[f"h{gate}"] = ("hidden", *name)
        canonical[f"w{gate}"] = ("weight", *name)
        canonical[f"u{gate}"] = ("hidden", "weight", *name)
        canonical[f"b{gate}"] = ("bias", *name)
    return canonical


@lru_cache(maxsize=8192)
def _name_of(path: str) -> _Name:
    words, numbers, letters = [], [], set[str]()
    kind = ""
    for word in words_of(path):
        if word.isdigit():
            numbers.append(word)
            continue
        words.append(word)
        letters.update(word[n : n + 2] for n in range(max(len(word) - 1, 1)))
        if word in KINDS:
            kind = word
    return _Name(kind, frozenset(words), frozenset(letters), tuple(numbers))


def _share(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / max(len(first | second), 1)


def _alike_numbers(first: Sequence[str], second: Sequence[str]) -> float:
    """The share of the numbers of the shorter path with which the longer one begins, or
    ends.
    """
    shorter = min(len(first), len(second))
    if not shorter:
        return float(len(first) == len(second))
    from_front = _equal_at_first(zip(first, second, strict=False))
    from_behind = zip(reversed(first), reversed(second), strict=False)
    return max(from_front, _equal_at_first(from_behind)) / shorter


def _equal_at_first(pairs: Iterable[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
