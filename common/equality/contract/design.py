"""The cases that each port is checked by, and what they are about.

Most are a covering design that was found once, by simulated annealing, as Garvin, Cohen
and Dwyer (2011) do, https://doi.org/10.1007/s10664-010-9135-7. Tests say whether a
combination of levels is in none of them.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ...port.protocol import Port
from .cases import FLOAT64, USUAL, Case, name_of
from .named import named_cases
from .space import COARSE, SPACES, Factor, Space

#: By the name of a space: its cases, by their unusual levels in words, and how many
#: combinations of levels some case can have.
_STORED = json.loads(Path(__file__).with_name("rows.json").read_text(encoding="utf-8"))
Combination = frozenset[tuple[str, Any]]  # fields of `Case`, with a level of each


def design_of(port: Port) -> list[Case]:
    """The cases of a port: those of the designs in float64 and in other dtypes, and
    those that are named.
    """
    cases = []
    for space in SPACES:
        cases += designed_cases(space)
    return cases + named_cases(port)


def designed_cases(space: Space) -> list[Case]:
    """The cases that cover a space."""
    return [Case.from_levels(levels) for levels in _STORED[space.name]["rows"]]


def coverage_of(cases: Iterable[Case]) -> tuple[int, int]:
    """How many combinations of levels cases cover, of how many that can be had.

    Cases in other dtypes count for pairs with a dtype alone: their bounds would hide
    faults of another pair.
    """
    cases = list(cases)
    count, total = 0, 0
    for space in SPACES:
        usable = [case for case in cases if space.holds(case)]
        if space.only is None:
            usable = [case for case in usable if case.dtypes == FLOAT64]
        count += len(covered(space, usable))
        total += _STORED[space.name]["combinations"]
    return count, total


def covered(space: Space, cases: Iterable[Case]) -> set[Combination]:
    """The pairs and triples of levels that cases hold."""
    combinations = set()
    for factors in combined(space):
        fields = [factor.field for factor in factors]
        for case in cases:
            combinations.add(frozenset((f, getattr(case, f)) for f in fields))
    return combinations


def combined(space: Space) -> list[tuple[Factor, ...]]:
    """The factors whose levels are to meet: each two, and three where that is asked
    for; or pairs with one alone.
    """
    pairs: list[tuple[Factor, ...]] = list(combinations(space.factors, 2))
    if space.only is not None:
        return [pair for pair in pairs if space.only in [f.field for f in pair]]
    in_triples = [factor for factor in space.factors if factor.in_triples]
    return pairs + list(combinations(in_triples, 3))


@dataclass(frozen=True)
class Selection:
    """The cases that have one of some levels: the name of a check, and of what failures
    are told under.

    Args:
        name: stable, lower case.
        what: such cases are, after "rows of the contract".
        field: of `Case`.
        levels: of it; none for all but the usual one.
    """

    name: str
    what: str
    field: str
    levels: tuple[object, ...] = ()

    def has(self, case: Case) -> bool:
        """Whether a case has one of the levels."""
        level = getattr(case, self.field)
        if self.levels:
            return level in self.levels
        return level != getattr(USUAL, self.field)

    def cases(self, port: Port) -> list[Case]:
        """The cases of a port that have one of the levels."""
        return [case for case in design_of(port) if self.has(case)]


SELECTIONS = (
    Selection(
        "sequence",
        "with a sequence, or one step in a call style, in one call",
        "entry",
        ("whole",),
    ),
    Selection(
        "again",
        "after a call of another length and one like it",
        "entry",
        ("again",),
    ),
    Selection("chunks", "with a sequence in two calls", "entry", ("chunks",)),
    Selection("step", "with a sequence step by step", "entry", ("steps",)),
    Selection("inference", "of forward passes alone", "phase", ("forward",)),
    Selection("jvp", "in forward mode", "phase", ("jvp",)),
    Selection("hvp", "with second derivatives", "phase", ("hvp", "penalty")),
    Selection("training", "that train for some steps", "phase", ("train_step",)),
    Selection(
        "batch-axes",
        "with no batch axis, or several",
        "batch",
        ((), (2, 3), (3, 3), (2, 1, 3)),
    ),
    Selection("long", "of more than a thousand steps", "time", (1100, 1280)),
    Selection("carry", "with a passed carry", "carry"),
    Selection("lengths", "with lengths", "lengths"),
    Selection("resets", "with resets", "resets"),
    Selection("reverse", "that run backwards", "reverse"),
    Selection("time-major", "in which time comes first", "time_major"),
    Selection("unroll", "with an unrolled loop", "unroll"),
    Selection("remat", "that recompute the gates", "remat"),
    Selection(
        "vmap",
        "under `jax.vmap`",
        "transform",
        ("vmap", "ensemble", "per example"),
    ),
    Selection(
        "frozen",
        "with the derivative of some arguments while all others are held",
        "transform",
        ("apart", "held"),
    ),
    Selection("eager", "that run outside of jit", "run", ("eager",)),
    Selection("compiled", "that XLA compiles", "run"),
    Selection("faint", "with results near 0", "params", ("faint",)),
    Selection("closed", "with gates near 0", "params", ("closed",)),
    Selection("promotion", "with one array that is wider than the others", "wide"),
    Selection("dtype", "in other dtypes than float64", "dtypes", COARSE),
    Selection("kernels", "in another kernel than the stock one", "kernel"),
    Selection("styles", "in a call style", "style"),
)
#: What failures of levels that no selection has are told under, by field; those of
#: other fields under the field's name.
_TOLD_UNDER = {
    "lengths_dtype": "lengths",
    "batch": "batch-axes",
    "time": "long",
    "optimizer": "training",
}


def topics_of(case: Case) -> str:
    """The names of the selections that a failure of a case is told under; "sequence"
    for the usual case.

    >>> topics_of(Case(reverse=True, entry="chunks"))
    'chunks+reverse'
    """
    topics = {
        _topic_of(case, field)
        for field, level in vars(case).items()
        if level != getattr(USUAL, field)
    }
    return "+".join(sorted(topics)) or "sequence"


def _topic_of(case: Case, field: str) -> str:
    if field == "phase" and case.phase == "step":
        return "step"
    for selection in SELECTIONS:
        if selection.field == field and selection.has(case):
            return selection.name
    return _TOLD_UNDER.get(field, name_of(field))
