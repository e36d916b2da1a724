"""The report on a comparison of two models: its record, and the lines of code that it names."""

import ast
import linecache
import re
import sysconfig
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, brief
from ..program import CodeLine
from .layouts import Leaf
from .matching import Match, unmatched
from .tape import Step, Tape

SAME, ANOTHER, UNKNOWN = "same", "another", "unknown"
VERDICTS = {
    SAME: "the same function",
    ANOTHER: "another function",
    UNKNOWN: "cannot be told",
}
#: Folders of libraries: a line of another file is the user's.
_LIBRARIES = tuple(
    {path for name, path in sysconfig.get_paths().items() if "lib" in name}
)
#: trigru's own files that trace models.
_ROOMS = (
    "common/parity",
    "common/program",
    "common/equality",
    "impls/parity",
    "parity",
)
_TRACING = tuple(f"{Path(__file__).parents[2]}/{room}/" for room in _ROOMS)

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
#: The keywords of a module's constructor on which an operation depends.
KEYWORDS = {
    "conv_general_dilated": "padding strides stride kernel_dilation dilation feature_group_count groups use_bias",
    "dot_general": "use_bias",
    "add": "epsilon eps",
    "max": "epsilon eps",
    "mul": "momentum",
}


def shown(file: str) -> str:
    """A file as users find it: from the current folder, else whole; of a library, from the folder of all libraries."""
    return file.removeprefix(f"{Path.cwd()}/").rpartition("site-packages/")[2]


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
    """A parameter of the candidate, and what it is of the reference."""

    candidate: str  # its path
    reference: tuple[str, ...]  # the paths of the leaves that it holds, in their order
    how: str  # the layout: "as it is", "transposed", ...
    by: str  # "names and shapes", "values", "function" or "the mapping"


@dataclass(frozen=True)
class Parameters:
    """The leaves of both models: those that are matched, and those of each that have no partner."""

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
            if m.layout is None:
                alone.append(leaf.path)
            else:
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
        yield f"{self.candidate} against {self.reference}: {VERDICTS[self.verdict]}. {self.reason}".rstrip()
        if self.places:
            yield "\nWhere they part:"
        for number, place in enumerate(self.places[:4], 1):
            yield f"  {number}. {' '.join(filter(None, (place.mend, place.cause)))}".rstrip()
            yield from [f"    candidate {place.candidate}"] if place.candidate else []
            yield from [f"    reference {place.reference}"] if place.reference else []
        if self.agreed[1]:
            yield f"\n{self.agreed[0]} of {self.agreed[1]} values of the candidate agree with the reference."
        if self.errors:
            yield "\nLargest differences in float64, relative to the largest magnitude:"
        width = max(map(len, self.errors), default=0)
        yield from (
            f"  {name:<{width}} {error:.1e}" for name, error in self.errors.items()
        )
        matched, alone = self.parameters.matched, self.parameters.only_candidate
        yield f"\nParameters: {len(matched)} of {len(matched) + len(alone)} leaves of the candidate are matched."
        yield from (
            f"  {pair.candidate} = {' + '.join(pair.reference)}, {pair.how} (by {pair.by})"
            for pair in matched
        )
        yield from (f"  {path}: only the candidate has it" for path in alone)
        yield from (
            f"  {path}: only the reference has it"
            for path in self.parameters.only_reference
        )
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
    """The line of the user's code that led to a step; None if JAX kept no traceback, or for no step."""
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
    """The first of some lines that is of the user's code, the innermost first; None if there is no line."""
    lines = [line for line in lines if not line.file.startswith(_TRACING)]
    if not lines:
        return None
    own = next((line for line in lines if is_users(line)), lines[0])
    file = lines[0].file
    folder = max(
        (f"{path}/" for path in _LIBRARIES if file.startswith(f"{path}/")),
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


def of_user(lines: Iterable[CodeLine]) -> list[CodeLine]:
    """Those of some lines that are of the user's code."""
    return [
        line for line in lines if is_users(line) and not line.file.startswith(_TRACING)
    ]


def is_users(line: CodeLine) -> bool:
    """Whether a line is of no library."""
    return not line.file.startswith(_LIBRARIES) and "site-packages" not in line.file


def failed(model: Any, inputs: Sequence[Any], error: BaseException) -> InputError:
    """An error that names a model which raised another one, the arrays that it was given, and the user's line."""
    given = ", ".join(f"{a.dtype}{list(a.shape)}" for a in inputs)
    own = innermost(traceback.extract_tb(error.__traceback__))
    where = f" at {shown(own.file)}:{own.line}" if own else ""
    message = f"{model.name} fails{where} with the inputs {given}: {type(error).__name__}: {brief(error)}"
    advice = model.hint
    lacking = re.search(r"missing \d+ required [\w -]*arguments?: '(\w+)'", str(error))
    if axis := re.search(r"unbound axis name: (\w+)", str(error)):
        advice = (
            "Batch normalization looks for an axis of this name: give Model.equinox batched=True and "
            f"axis_name={axis[1]!r}; make modules of linen and NNX without axis_name."
        )
    elif lacking and lacking[1] == "state":
        advice = (
            "Give the model state=, which eqx.nn.make_with_state returns beside it."
        )
    elif lacking:
        advice = (
            f"If {lacking[1]} tells training from evaluation, give the model train={{{lacking[1]!r}: True}} and "
            f"eval={{{lacking[1]!r}: False}}; if it is an input, pass a tuple of inputs."
        )
    return InputError(f"{message.rstrip('.')}. {advice}" if advice else message)


def innermost(frames: Sequence[traceback.FrameSummary]) -> CodeLine | None:
    """The innermost line of a traceback or a stack that is of the user's code; None if there is none."""
    lines = (
        CodeLine(frame.filename, frame.lineno or 0, frame.name)
        for frame in reversed(frames)
    )
    return next(iter(of_user(lines)), None)


def argument_at(line: CodeLine, keyword: str) -> CodeLine:
    """The line at which an argument of a call is made: of a variable, where it is assigned last before the call."""
    words = (word for call in _around(line, ast.Call) for word in call.keywords)
    value = next((word.value for word in words if word.arg == keyword), None)
    if value is None:
        return line
    assigned = (
        node for node in _nodes(line.file, ast.Assign) if node.lineno < value.lineno
    )
    names = ((node.lineno, target) for node in assigned for target in node.targets)
    made = [
        n
        for n, target in names
        if isinstance(target, ast.Name) and target.id == getattr(value, "id", None)
    ]
    return line._replace(line=max(made, default=value.lineno))


def text_of(line: CodeLine) -> str:
    """The text of a line."""
    return linecache.getline(line.file, line.line).strip()


def makers(lines: Sequence[CodeLine], operation: str) -> Iterator[CodeLine]:
    """The lines where the modules are made that a line calls as attributes, as `self.norm = LayerNorm(...)`.

    Of a call of several lines, it is the one with the keyword on which the operation of the step depends.
    """
    place = next((n for n, line in enumerate(lines) if is_users(line)), 0)
    own, classes = (
        lines[place],
        tuple(line.function.split(".")[0] for line in lines[:place]),
    )
    named, of_class = [], []
    for node in (
        node for outer in _around(own, ast.ClassDef) for node in ast.walk(outer)
    ):
        targets = (
            [node.target]
            if isinstance(node, ast.AnnAssign)
            else getattr(node, "targets", [])
        )
        patterns = [rf"\b{t.attr}\b" for t in targets if isinstance(t, ast.Attribute)]
        patterns += [rf"\b{t.id}\(" for t in targets if isinstance(t, ast.Name)]
        for call in ast.walk(node) if patterns else ():
            if isinstance(call, ast.Call) and call.lineno != own.line:
                name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                named += (
                    [(name not in classes, call)]
                    if re.search(patterns[0], text_of(own))
                    else []
                )
                of_class += [(False, call)] if name.startswith(classes) else []
    for _, call in sorted(named, key=lambda pair: pair[0]) or of_class:
        places = {word.arg: word.value.lineno for word in call.keywords}
        keyword = next(
            (
                places[name]
                for name in KEYWORDS.get(operation, "").split()
                if name in places
            ),
            call.lineno,
        )
        yield CodeLine(own.file, keyword, "__init__")


def hand_overs(made: Sequence[CodeLine], used: Sequence[CodeLine]) -> list[CodeLine]:
    """The lines that hand a value on between where it is made and used, as `return carry, memory` or `skip = h`."""
    own = next((line for line in made if is_users(line)), None)
    function = own and _function_at(own)
    if own is None or function is None:
        return []
    there = next(
        (
            line
            for line in used
            if line.file == own.file and _function_at(line) is function
        ),
        None,
    )
    nodes: list[Any] = []
    for node in ast.walk(function):
        if there is None:
            nodes += [node] if isinstance(node, ast.Return) else []
        elif isinstance(node, ast.Assign) and own.line < node.lineno < there.line:
            names = [
                name.id
                for target in node.targets
                for name in ast.walk(target)
                if isinstance(name, ast.Name)
            ]
            nodes += (
                [node]
                if any(re.search(rf"\b{name}\b", text_of(there)) for name in names)
                else []
            )
    lines = [own._replace(line=node.lineno) for node in nodes if _is_plain(node.value)]
    return [line for line in lines if _function_at(line) is function]


def statements(line: CodeLine) -> list[CodeLine]:
    """The first three lines that compute something, of the function that begins at a line."""
    functions = [
        node for node in _nodes(line.file, FUNCTION) if node.lineno >= line.line
    ]
    nodes = min(functions, key=lambda node: node.lineno).body if functions else []
    some = [
        node
        for node in nodes
        if not isinstance(node, ast.Expr)
        and not _is_plain(getattr(node, "value", None))
    ]
    return [line._replace(line=node.lineno) for node in some[:3]]


def _is_plain(node: ast.expr | None) -> bool:
    """Whether an expression hands values on: names, parts of them, and tuples of those."""
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(map(_is_plain, node.elts))
    if isinstance(node, ast.Attribute | ast.Subscript):
        return _is_plain(node.value)
    return isinstance(node, ast.Name)


def _function_at(line: CodeLine) -> ast.AST | None:
    return max(_around(line, FUNCTION), key=lambda node: node.lineno, default=None)


def _around(line: CodeLine, kind: Any) -> list[Any]:
    return [
        node
        for node in _nodes(line.file, kind)
        if node.lineno <= line.line <= (node.end_lineno or 0)
    ]


@lru_cache(maxsize=256)
def _nodes(file: str, kind: Any) -> list[Any]:
    """The nodes of one kind of a file; none if it is no Python."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, kind)]
