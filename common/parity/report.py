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
TOLD_PLACES = 4  # so many places where two models part are told


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
        end_of_path = "/".join(self.file.split("/")[-2:])
        return f"{end_of_path}:{self.line} ({self.operation} of shape {self.shape})"

    def __str__(self) -> str:
        place = f"{shown(self.file)}:{self.line}"
        text = place
        if self.library not in ("", place):
            text += f", in {self.library}"
        text += f"\n      {self.text}"
        if self.operation:
            text += f"\n      {self.operation}"
            if self.operands:
                text += f" of {', '.join(self.operands)}"
            text += f" -> {list(self.shape)}"
        return text


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
        matched = []
        alone = []
        for leaf, m in zip(candidate, matches, strict=True):
            if m.layout is not None:
                paths = tuple(reference[n].path for n in m.layout.sources)
                matched.append(Matched(leaf.path, paths, m.layout.how, m.by))
            elif leaf.size:  # a leaf of no numbers needs no partner
                alone.append(leaf.path)
        only_reference = [reference[n].path for n in unmatched(reference, matches)]
        return cls(tuple(matched), tuple(only_reference), tuple(alone))


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
        values = {}
        for name, value in asdict(self).items():
            if not name.startswith("converted"):
                values[name] = value
        for name, error in self.errors.items():
            values["errors"][name] = error if isfinite(error) else None
        return values

    def __str__(self) -> str:
        """The report that `trigru port` prints."""
        return "\n".join(self._lines()).rstrip()

    def _lines(self) -> Iterator[str]:
        verdict = VERDICTS[self.verdict]
        head = f"{self.candidate} against {self.reference}: {verdict}. {self.reason}"
        yield head.rstrip()
        yield from self._place_lines()
        yield from self._error_lines()
        yield from self._parameter_lines()
        yield from self._mapping_lines()
        if self.draws:
            yield "\nInitial parameters are drawn differently:"
            for sentence in self.draws:
                yield f"  {sentence}"
            yield ""
        for remark in self.remarks:
            yield f"Note: {remark}"

    def _mapping_lines(self) -> Iterator[str]:
        if self.mapping:
            yield ""
            if any("np." in line for line in self.mapping):
                yield "import numpy as np\n"
            yield "mapping = {"
            for line in self.mapping:
                yield f"    {line}"
            yield "}"

    def _place_lines(self) -> Iterator[str]:
        if self.places:
            yield "\nWhere they part:"
        for number, place in enumerate(self.places[:TOLD_PLACES], 1):
            sentences = [text for text in (place.mend, place.cause) if text]
            yield f"  {number}. {' '.join(sentences)}".rstrip()
            if place.candidate:
                yield f"    candidate {place.candidate}"
            if place.reference:
                yield f"    reference {place.reference}"

    def _error_lines(self) -> Iterator[str]:
        agreeing, all_values = self.agreed
        if all_values:
            yield (
                f"\n{agreeing} of {all_values} values of the candidate agree with the "
                "reference."
            )
        if self.errors:
            yield "\nLargest differences in float64, relative to the largest magnitude:"
            width = max(map(len, self.errors))
            for name, error in self.errors.items():
                yield f"  {name:<{width}} {error:.1e}"

    def _parameter_lines(self) -> Iterator[str]:
        matched = self.parameters.matched
        alone = self.parameters.only_candidate
        yield (
            f"\nParameters: {len(matched)} of {len(matched) + len(alone)} leaves of "
            "the candidate are matched."
        )
        for pair in matched:
            sources = " + ".join(pair.reference)
            yield f"  {pair.candidate} = {sources}, {pair.how} (by {pair.by})"
        for path in alone:
            yield f"  {path}: only the candidate has it"
        for path in self.parameters.only_reference:
            yield f"  {path}: only the reference has it"


def location(step: Step | None, tape: Tape) -> Location | None:
    """The line of the user's code that led to a step; None if JAX kept no traceback, or
    for no step.
    """
    if step is None:
        return None
    operands = []
    for number in step.operands:
        value = tape.values[number]
        dtype = getattr(value, "dtype", "key")
        operands.append(f"{dtype}{list(np.shape(value)[1:])}")
    shape = tape.values[step.results[0]].shape[1:]
    return located(step.lines(), step.operation, shape, tuple(operands))


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
    innermost = lines[0]
    own = next((line for line in lines if is_users(line)), innermost)
    library = ""
    if not is_users(innermost):
        library = f"{_path_in_library(innermost.file)}:{innermost.line}"
    return Location(
        own.file, own.line, text_of(own), operation, shape, library, operands
    )


def _path_in_library(file: str) -> str:
    """The path of a library's file in the folder that holds libraries."""
    folders = [f"{path}/" for path in LIBRARIES if file.startswith(f"{path}/")]
    longest = max(folders, key=len, default="")
    return shown(file.removeprefix(longest))
