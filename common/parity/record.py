"""The record of a comparison of two models."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from .layouts import Leaf
from .matching import Match, unmatched

SAME, ANOTHER, UNKNOWN = "same", "another", "unknown"


@dataclass(frozen=True)
class Location:
    """A line of code and what it computes.

    Args:
        file, line, text: of the line of the user's code; of a library's if no other led there.
        operation: the JAX primitive; empty for a line that computes nothing.
        shape: of the result.
        library: the innermost line, where that is a library's, as "flax/linen/linear.py:287"; empty otherwise.
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
        return f"{'/'.join(self.file.split('/')[-2:])}:{self.line} ({self.operation} of shape {self.shape})"

    def __str__(self) -> str:
        inside = f", in {self.library}" if self.library else ""
        of = f" of {', '.join(self.operands)}" if self.operands else ""
        name = "/".join(self.file.split("/")[-2:])
        computed = f"\n      {self.operation}{of} -> {list(self.shape)}" if self.operation else ""
        return f"{name}:{self.line}{inside}\n      {self.text}{computed}"


@dataclass(frozen=True)
class Place:
    """Where the candidate parts from the reference.

    Args:
        candidate: the line at which it does; None if it lacks what the reference has.
        reference: the line of the reference at which it went another way; None if that is not known.
        cause: how the place was chosen; empty if there is a mend.
        mend: a change that makes the outputs equal, tried out; empty if none is known.
    """

    candidate: Location | None
    reference: Location | None
    cause: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Matched:
    """A parameter of the candidate, and what it is of the reference.

    Args:
        candidate: its path.
        reference: the paths of the leaves that it holds, in their order.
        how: the layout: "as it is", "transposed", ...
        by: "names and shapes", "values", "function" or "the mapping".
    """

    candidate: str
    reference: tuple[str, ...]
    how: str
    by: str


@dataclass(frozen=True)
class Parameters:
    """The leaves of both models: those that are matched, and those of each that have no partner."""

    matched: tuple[Matched, ...] = ()
    only_reference: tuple[str, ...] = ()
    only_candidate: tuple[str, ...] = ()

    @classmethod
    def of(cls, reference: Sequence[Leaf], candidate: Sequence[Leaf], matches: Sequence[Match]) -> "Parameters":
        """The leaves of both, by what is known of each leaf of the candidate."""
        pairs = tuple(
            Matched(leaf.path, tuple(reference[n].path for n in m.layout.sources), m.layout.how, m.by)
            for leaf, m in zip(candidate, matches, strict=True)
            if m.layout is not None
        )
        alone = tuple(leaf.path for leaf, m in zip(candidate, matches, strict=True) if m.layout is None)
        return cls(pairs, tuple(reference[n].path for n in unmatched(reference, matches)), alone)


@dataclass
class Comparison:
    """The result of comparing two models.

    Args:
        reference, candidate: their names.
        verdict: "same", "another" or "unknown".
        reason: a sentence that says why.
        places: where they part, in the order in which they are told.
        parameters: which leaf is which.
        errors: the largest difference of each quantity in float64, relative to its largest magnitude.
        remarks: sentences about what was not compared, or is worth knowing.
        draws: sentences about parameters that both models draw from different distributions.
        agreed: how many values of the candidate the reference has, too, and how many it has on the way.
        converted: the candidate's parameters with the reference's values, in the order of its leaves.
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
    agreed: tuple[int, int] = (0, 0)
    converted: list[Any] = field(default_factory=list, repr=False)
    converted_state: list[Any] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return report(self)

    def as_json(self) -> dict[str, Any]:
        """It as values that JSON has; infinity is None."""
        found = {key: value for key, value in asdict(self).items() if not key.startswith("converted")}
        found["errors"] = {name: error if isfinite(error) else None for name, error in self.errors.items()}
        return found


VERDICTS = {SAME: "the same function", ANOTHER: "another function", UNKNOWN: "cannot be told"}


def report(result: Comparison) -> str:
    """The result as text, as `trigru port` prints it."""
    lines = [f"{result.candidate} against {result.reference}: {VERDICTS[result.verdict]}. {result.reason}".rstrip()]
    if result.places:
        lines += ["", "Where they part:"]
        for number, place in enumerate(result.places[:4], 1):
            lines.append(f"  {number}. {' '.join(filter(None, (place.mend, place.cause)))}".rstrip())
            lines += [f"    candidate {place.candidate}"] if place.candidate else []
            lines += [f"    reference {place.reference}"] if place.reference else []
    if result.agreed[1]:
        lines += ["", f"{result.agreed[0]} of {result.agreed[1]} values of the candidate agree with the reference."]
    if result.errors:
        lines += ["", "Largest differences in float64, relative to the largest magnitude:"]
        width = max(map(len, result.errors))
        lines += [f"  {name:<{width}} {error:.1e}" for name, error in result.errors.items()]
    lines += ["", *_parameters(result.parameters)]
    if result.draws:
        lines += ["", "Initial parameters are drawn differently:", *[f"  {sentence}" for sentence in result.draws], ""]
    lines += [f"Note: {remark}" for remark in result.remarks]
    return "\n".join(lines).rstrip()


def _parameters(parameters: Parameters) -> list[str]:
    matched, total = len(parameters.matched), len(parameters.matched) + len(parameters.only_candidate)
    lines = [f"Parameters: {matched} of {total} leaves of the candidate are matched."]
    for pair in parameters.matched:
        lines.append(f"  {pair.candidate} = {' + '.join(pair.reference)}, {pair.how} (by {pair.by})")
    lines += [f"  {path}: only the candidate has it" for path in parameters.only_candidate]
    lines += [f"  {path}: only the reference has it" for path in parameters.only_reference]
    return lines
