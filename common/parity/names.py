"""How much the names of two parameters are alike, whatever the framework."""

import re
from functools import lru_cache
from typing import NamedTuple

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


def words(path: str) -> list[str]:
    """The words and numbers of a path, each in the form that all frameworks share.

    >>> words("Block_1/queryProj/kernel")
    ['block', '1', 'query', 'layer', 'weight']
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", path).lower()
    several = [JOINED.get(word, (word,)) for word in re.findall(r"[a-z]+|\d+", spaced)]
    return [SYNONYMS.get(word, word) for some in several for word in some]


def alike(a: str, b: str) -> float:
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
