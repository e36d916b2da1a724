"""Items that belong together, and items that are there twice."""

from collections.abc import Callable, Iterable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def grouped(items: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    """Items by their key, in the order in which the keys come first.

    >>> grouped(["ab", "c", "de"], len)
    {2: ['ab', 'de'], 1: ['c']}
    """
    groups: dict[K, list[V]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def first_twice(names: Iterable[str]) -> str | None:
    """The first name that is there a second time."""
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
