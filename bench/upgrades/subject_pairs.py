"""One subject in two snapshots: what both observed, and the line where they part."""

import re
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from ...common.program.model import CALL
from ..reporting.numbers import count
from ..results.grouping import grouped
from .record import ARGUMENTS, ArrayNames, Change, Observation, Subject
from .snapshot_file import Arrays
from .trails import Parting

Value = TypeVar("Value")

#: The beginning of a result's name that a user has no need of, as of
#: "result['losses'][2]" or "result: params['w'] afterwards".
_OF_RESULT = re.compile(r"^result(?:: |\.|\['(\w+)'\])")


class Row:
    """One thing that both snapshots observed."""

    def __init__(self, name: str, old: Observation, new: Observation):
        self.name = name
        self.old = old
        self.new = new

    def has_leaf(self, name: str) -> bool:
        """Whether a result is a leaf of the row's tree, which is told there."""
        return name in self.old.leaves or name in self.new.leaves


class SubjectPair:
    """One subject in two snapshots."""

    def __init__(
        self,
        old: Subject,
        new: Subject,
        arrays: Arrays,
        same_python: bool,
        same_kernels: bool = False,
    ):
        self.old = old
        self.new = new
        self.arrays = arrays  # of both
        self.same_python = same_python
        #: Whether both ran on the same device by the same jaxlib.
        self.same_kernels = same_kernels
        self.rows: list[Row] = []
        #: Whether it is a model or a function of a user's own.
        self.is_of_user = ARGUMENTS in old.observations
        for name, observation in old.observations.items():
            if name in new.observations and name != ARGUMENTS:
                self.rows.append(Row(name, observation, new.observations[name]))
        self._partings: dict[str, Parting | None] = {}

    def change(
        self, kind: str, what: str, old: str, new: str, line: str = ""
    ) -> Change:
        """A change of this subject."""
        return Change(kind, self.new.name, what, old, new, line)

    def what(self, row: Row, fact: str, how: str = "") -> str:
        """A fact of a row in words. A user's call has its own names alone.

        Args:
            row: of this pair.
            fact: such as a result, by its name.
            how: the row was seen, as " in float64".
        """
        if not self.is_of_user:
            return f"{row.name}{how}: {fact}"
        told = _OF_RESULT.sub(lambda match: match[1] or "", fact)
        return told if row.name == CALL else f"{row.name}: {told}"

    def line(
        self, row: Row, old: np.ndarray | None = None, new: np.ndarray | None = None
    ) -> str:
        """The line where the program of a row parts from the older one; "" for none.

        With a result in both snapshots, only lines that lead to it count.
        """
        name = row.new.explained_by or row.name
        if name not in self._partings:
            self._partings[name] = self._parting(name)
        parting = self._partings[name]
        return "" if parting is None else parting.line(old, new)

    def moved_arrays(
        self, old: ArrayNames, new: ArrayNames
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The arrays that both have by one name, and that are not alike."""
        moved: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for path, old_name, new_name in differing(old, new):
            moved[path] = (self.arrays[old_name], self.arrays[new_name])
        return moved

    def _parting(self, name: str) -> Parting | None:
        old = self.old.observations.get(name)
        new = self.new.observations.get(name)
        if old is None or new is None or old.trail is None or new.trail is None:
            return None
        return Parting(old, new, self.arrays)


def first_of_each(
    keyed_changes: Iterable[tuple[Change, Hashable]], what: str = "call"
) -> Iterator[Change]:
    """The first of the changes with one key, which says how many more there are."""
    for alike in grouped(keyed_changes, lambda entry: entry[1]).values():
        first, _ = alike[0]
        yield replace(first, what=first.what + and_more(len(alike), what))


def and_more(number: int, what: str) -> str:
    """What is said after the first of so many things."""
    if number == 1:
        return ""
    return f" and {count(number - 1, f'more {what}')}"


def differing(
    old: dict[str, Value], new: dict[str, Value]
) -> Iterator[tuple[str, Value, Value]]:
    """What both have and is not as it was: its name, what it was, and what it is."""
    for name, before in old.items():
        if name in new and new[name] != before:
            yield name, before, new[name]


def only_in(names: Iterable[str], others: Collection[str]) -> list[str]:
    """The names that are not among others, in their order."""
    return [name for name in names if name not in others]


def is_gradient(name: str) -> bool:
    """Whether the result of this name is a gradient."""
    return name.startswith("gradient ")
