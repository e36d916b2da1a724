"""The report on a comparison of two models: its record, and the lines of code that it
names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from ..program import CodeLine
from ..program.model import Leaf
from ..program.source import (
    LIBRARIES,
    is_users,
    shown,
    without_tracing,
)
from ..program.tape import Step, Tape
from .matching import Match, unmatched
from .statements import text_of

SAME, ONLY_IF, ANOTHER, UNKNOWN = "same", "only if", "another", "unknown"
VERDICTS = {
    SAME: "the same function",
    ONLY_IF: "the same function only if parameters are rearranged",
    ANOTHER: "another function",
    UNKNOWN: "cannot be told",
}


@dataclass(frozen=True)
class Location:
    """A line of code and what it computes.

    Args: file, line, text: of the line of the user's code; of a library's if no other
        led there.
        operation: the JAX primitive; empty for a line that computes nothing.
        shape: of the result.
        library: the innermost line, where that is a library's, as
            "flax/linen/linear.py:287"; empty otherwise.
        operands: what it is computed of, as "float64[8,4]".
    """

    file: str
    line: int
    text: str
    operation: str
    shape: tuple[int, ...]
    library: str = ""
    operands: tuple[str, ...] = ()

    @property
    def brief(self) -> str:
        """It in a few words, as "impls/nnx.py:62 (dot_general of shape (3, 5))"."""
        return (
            f"{'/'.join(self.file.split('/')[-2:])}:{self.line} ({self.operation} "
            f"of shape {self.shape})"
        )

    def __str__(self) -> str:
        place = f"{shown(self.file)}:{self.line}"
        inside = f", in {self.library}" if self.library not in ("", place) else ""
        of = f" of {', '.join(self.operands)}" if self.operands else ""
        computed = (
            f"\n      {self.operation}{of} -> {list(self.shape)}"
            if self.operation
            else ""
        )
        return f"{place}{inside}\n      {self.text}{computed}"


@dataclass(frozen=True)
class Place:
    """Where the candidate parts from the reference.

    Args:
        candidate: the line at which it does; None if it lacks what the reference has.
        reference: the line of the reference at which it went another way; None if that
            is not known.
        cause: how the place was chosen; empty if there is a mend.
        mend: a change that makes the outputs equal, tried out; empty if none is known.
    """

    candidate: Location | None
    reference: Location | None
    cause: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Matched:
    """A parameter of the candidate, and what it is of the reference."""

    candidate: str  # its path
    reference: tuple[str, ...]  # the paths of the leaves that it holds, in their order
    how: str  # the layout: "as it is", "transposed", ...
    by: str  # "names and shapes", "values", "function" or "the mapping"


@dataclass(frozen=True)
class Parameters:
    """The leaves of both models: those that are matched, and those of each that have no
    partner.
    """

    matched: tuple[Matched, ...] = ()
    only_reference: tuple[str, ...] = ()
    only_candidate: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        reference: Sequence[Leaf],
        candidate: Sequence[Leaf],
        matches: Sequence[Match],
    ) -> "Parameters":
        known, alone = [], []
        for leaf, m in zip(candidate, matches, strict=True):
            if m.layout is None and leaf.size:  # a leaf of no numbers needs no partner
                alone.append(leaf.path)
            elif m.layout is not None:
                paths = tuple(reference[n].path for n in m.layout.sources)
                known.append(Matched(leaf.path, paths, m.layout.how, m.by))
        return cls(
            tuple(known),
            tuple(reference[n].path for n in unmatched(reference, matches)),
            tuple(alone),
        )


@dataclass
class Comparison:
    """The result of comparing two models.

    Args:
        reference, candidate: their names.
        verdict: "same", "only if", "another" or "unknown".
        reason: a sentence that says why.
        places: where they part, in the order in which they are told.
        parameters: which leaf is which.
        errors: the largest difference of each quantity in float64, relative to its
            largest magnitude.
        remarks: sentences about what was not compared, or is worth knowing.
        draws: sentences about parameters that both models draw from different
            distributions.
        conditions: what has to be done to parameters, beyond another layout, if the
            verdict is "only if".
        mapping: lines of a mapping that does it.
        agreed: how many values of the candidate the reference has, too, and how many it
            has on the way.
        converted: the candidate's parameters with the reference's values, in the order
            of its leaves.
        converted_state: its state with the reference's values, as far as both have it.
    """

    reference: str
    candidate: str
    verdict: str = UNKNOWN
    reason: str = ""
    places: list[Place] = field(default_factory=list)
    parameters: Parameters = field(default_factory=Parameters)
    errors: dict[str, float] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    draws: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    mapping: list[str] = field(default_factory=list)
    agreed: tuple[int, int] = (0, 0)
    converted: list[Any] = field(default_factory=list, repr=False)
    converted_state: list[Any] = field(default_factory=list, repr=False)

    def as_json(self) -> dict[str, Any]:
        """It as values that JSON has; infinity is None."""
        values = {
            key: value
            for key, value in asdict(self).items()
            if not key.startswith("converted")
        }
        return values | {
            "errors": {
                name: e if isfinite(e) else None for name, e in self.errors.items()
            }
        }

    def __str__(self) -> str:
        """The report that `trigru port` prints."""
        return "\n".join(self._lines()).rstrip()

    def _lines(self) -> Iterator[str]:
        yield (
            f"{self.candidate} against {self.reference}: {VERDICTS[self.verdict]}. "
            f"{self.reason}"
        ).rstrip()
        if self.places:
            yield "\nWhere they part:"
        for number, place in enumerate(self.places[:4], 1):
            yield (
                f"  {number}. {' '.join(filter(None, (place.mend, place.cause)))}"
            ).rstrip()
            yield from [f"    candidate {place.candidate}"] if place.candidate else []
            yield from [f"    reference {place.reference}"] if place.reference else []
        if self.agreed[1]:
            yield (
                f"\n{self.agreed[0]} of {self.agreed[1]} values of the candidate "
                "agree with the reference."
            )
        if self.errors:
            yield "\nLargest differences in float64, relative to the largest magnitude:"
        width = max(map(len, self.errors), default=0)
        yield from (
            f"  {name:<{width}} {error:.1e}" for name, error in self.errors.items()
        )
        matched, alone = self.parameters.matched, self.parameters.only_candidate
        yield (
            f"\nParameters: {len(matched)} of {len(matched) + len(alone)} leaves of "
            "the candidate are matched."
        )
        yield from (
            f"  {pair.candidate} = {' + '.join(pair.reference)}, {pair.how} (by "
            f"{pair.by})"
            for pair in matched
        )
        yield from (f"  {path}: only the candidate has it" for path in alone)
        yield from (
            f"  {path}: only the reference has it"
            for path in self.parameters.only_reference
        )
        if self.mapping:
            yield "\nmapping = {"
            yield from (f"    {line}" for line in self.mapping)
            yield "}"
        if self.draws:
            yield "\n".join(
                [
                    "\nInitial parameters are drawn differently:",
                    *(f"  {s}" for s in self.draws),
                    "",
                ]
            )
        yield from (f"Note: {remark}" for remark in self.remarks)


def location(step: Step | None, tape: Tape) -> Location | None:
    """The line of the user's code that led to a step; None if JAX kept no traceback, or
    for no step.
    """
    if step is None:
        return None
    values = (tape.values[n] for n in step.operands)
    operands = tuple(
        f"{getattr(a, 'dtype', 'key')}{list(np.shape(a)[1:])}" for a in values
    )
    return located(
        step.lines(), step.operation, tape.values[step.results[0]].shape[1:], operands
    )


def located(
    lines: Sequence[CodeLine],
    operation: str,
    shape: tuple[int, ...],
    operands: tuple[str, ...] = (),
) -> Location | None:
    """The first of some lines that is of the user's code, the innermost first; None if
    there is no line.
    """
    lines = without_tracing(lines)
    if not lines:
        return None
    own = next((line for line in lines if is_users(line)), lines[0])
    file = lines[0].file
    folder = max(
        (f"{path}/" for path in LIBRARIES if file.startswith(f"{path}/")),
        key=len,
        default="",
    )
    library = (
        ""
        if is_users(lines[0])
        else f"{shown(file.removeprefix(folder))}:{lines[0].line}"
    )
    return Location(
        own.file, own.line, text_of(own), operation, shape, library, operands
    )
