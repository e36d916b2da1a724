"""The line of code that a step of a program stands on."""

import ast
import linecache
import re
import sysconfig
import traceback
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import InputError, brief
from ..program import CodeLine
from .record import Location
from .tape import Step, Tape

_HERE = Path(__file__).parents[1]
#: Folders of libraries: a line of another file is the user's.
_LIBRARIES = tuple({path for name, path in sysconfig.get_paths().items() if "lib" in name})
#: trigru's own files that trace models.
_TRACING = (
    str(_HERE / "parity"),
    str(_HERE / "program"),
    str(_HERE / "equality"),
    str(_HERE.parent / "impls" / "parity"),
)

#: The keywords of a module's constructor on which an operation depends.
KEYWORDS = {
    "conv_general_dilated": "padding strides stride kernel_dilation dilation feature_group_count groups use_bias",
    "dot_general": "use_bias",
    "add": "epsilon eps",
    "max": "epsilon eps",
    "mul": "momentum",
}


def location(step: Step, tape: Tape) -> Location | None:
    """The line of the user's code that led to a step; None if JAX kept no traceback."""
    operands = tuple(_described(tape.values[n]) for n in step.operands)
    return located(step.lines(), step.operation, tape.values[step.results[0]].shape[1:], operands)


def located(
    lines: Sequence[CodeLine], operation: str, shape: tuple[int, ...], operands: tuple[str, ...] = ()
) -> Location | None:
    """The first of some lines that is of the user's code, the innermost first; None if there is no line."""
    lines = [line for line in lines if not line.file.startswith(_TRACING)]
    if not lines:
        return None
    own = next((line for line in lines if is_users(line)), lines[0])
    library = "" if is_users(lines[0]) else f"{_short(lines[0].file)}:{lines[0].line}"
    return Location(own.file, own.line, text_of(own), operation, shape, library, operands)


def callers(step: Step) -> list[CodeLine]:
    """The lines of the user's code that led to a step, the innermost first."""
    return [line for line in step.lines() if is_users(line) and not line.file.startswith(_TRACING)]


def shared_line(tape: Tape, step: Step, agrees: Collection[int]) -> CodeLine | None:
    """The line that calls the function of a step, if that is called elsewhere with results that agree; else None."""
    own = callers(step)
    if len(own) > 1 and not all(n in agrees for n in step.results):
        for other in tape.steps:
            if other.operation == step.operation and all(n in agrees for n in other.results):
                lines = callers(other)
                if lines[:1] == own[:1] and len(lines) > 1 and lines[1] != own[1]:
                    return own[1]
    return None


def is_users(line: CodeLine) -> bool:
    """Whether a line is of the user's code, and not of a library."""
    return not line.file.startswith(_LIBRARIES) and "site-packages" not in line.file


def failed(model: Any, inputs: Sequence[Any], error: BaseException) -> InputError:
    """An error that names a model which raised another one, the arrays that it was given, and the user's line."""
    given = ", ".join(f"{a.dtype}{list(a.shape)}" for a in inputs)
    own = _own_line(traceback.extract_tb(error.__traceback__))
    where = f" at {_short(own.file)}:{own.line}" if own else ""
    message = f"{model.name} fails{where} with the inputs {given}: {type(error).__name__}: {brief(error)}"
    return InputError(f"{message} {model.hint}".rstrip())


def calling_line() -> CodeLine | None:
    """The line of the user's code that is being run; None if there is none."""
    return _own_line(traceback.extract_stack())


def _own_line(frames: Sequence[traceback.FrameSummary]) -> CodeLine | None:
    """The innermost line of the user's code of some frames; None if there is none."""
    lines = [CodeLine(frame.filename, frame.lineno or 0, frame.name) for frame in reversed(frames)]
    return next((line for line in lines if is_users(line) and not line.file.startswith(_TRACING)), None)


def argument_at(line: CodeLine, keyword: str) -> CodeLine:
    """The line at which an argument of a call is made: of a variable, where it is assigned last before the call."""
    nodes = list(ast.walk(_tree(line.file) or ast.Module([], [])))
    calls = [n for n in nodes if isinstance(n, ast.Call) and n.lineno <= line.line <= (n.end_lineno or 0)]
    value = next((word.value for call in calls for word in call.keywords if word.arg == keyword), None)
    made = [
        node.lineno
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(value, ast.Name) and node.lineno < value.lineno
        if any(isinstance(target, ast.Name) and target.id == value.id for target in node.targets)
    ]
    return line if value is None else line._replace(line=max(made, default=value.lineno))


def text_of(line: CodeLine) -> str:
    """The text of a line, without the blanks around it."""
    return linecache.getline(line.file, line.line).strip()


def makers(lines: Sequence[CodeLine], operation: str) -> Iterator[CodeLine]:
    """The lines where the modules are made that a line calls as attributes, as `self.norm = LayerNorm(...)`.

    Args:
        lines: that led to a step, the innermost first.
        operation: of the step; of a call of several lines, the one with the keyword that it depends on is taken.
    """
    place = next((n for n, line in enumerate(lines) if is_users(line)), 0)
    own = lines[place]
    classes = {line.function.split(".")[0] for line in lines[:place]}
    made = [found for found in _calls(own.file) if found.within(own.line)]
    named = [found for found in made if re.search(found.pattern, text_of(own))]
    of_class = [found for found in made if any(found.name.startswith(name) for name in classes)]
    for found in sorted(named, key=lambda found: found.name not in classes) or of_class:
        places = dict(found.keywords)
        keyword = next((places[name] for name in KEYWORDS.get(operation, "").split() if name in places), found.line)
        yield CodeLine(own.file, keyword, "__init__")


def hand_overs(made: Sequence[CodeLine], used: Sequence[CodeLine]) -> list[CodeLine]:
    """The lines that hand a value on and compute nothing, as `return carry, memory` or `skip = h`.

    Args:
        made, used: the lines that led to where it is made, and to where it is used, the innermost first.
    """
    own = next((line for line in made if is_users(line)), None)
    function = None if own is None else _function_at(own)
    if own is None or function is None:
        return []
    there = next((line for line in used if line.file == own.file and _function_at(line) is function), None)
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and there is None and _is_plain(node.value):
            found.append(node)
        if isinstance(node, ast.Assign) and there is not None and _is_plain(node.value):
            names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            if own.line < node.lineno < there.line and any(re.search(rf"\b{n}\b", text_of(there)) for n in names):
                found.append(node)
    return [
        own._replace(line=node.lineno) for node in found if _function_at(own._replace(line=node.lineno)) is function
    ]


def statements(line: CodeLine, most: int = 3) -> list[CodeLine]:
    """The first lines of a function that compute something.

    Args:
        line: the first of the function.
        most: how many lines.
    """
    function = next((node for node in _functions(line.file) if node.lineno >= line.line), None)
    nodes = [] if function is None else function.body
    some = [node for node in nodes if not isinstance(node, ast.Expr) and not _is_plain(getattr(node, "value", None))]
    return [line._replace(line=node.lineno) for node in some[:most]]


def _is_plain(node: ast.expr | None) -> bool:
    """Whether an expression hands values on: names, parts of them, and tuples of those."""
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(map(_is_plain, node.elts))
    if isinstance(node, ast.Attribute | ast.Subscript):
        return _is_plain(node.value)
    return isinstance(node, ast.Name)


def _function_at(line: CodeLine) -> ast.AST | None:
    """The innermost function in which a line stands."""
    around = [node for node in _functions(line.file) if node.lineno <= line.line <= (node.end_lineno or 0)]
    return max(around, key=lambda node: node.lineno, default=None)


@lru_cache(maxsize=64)
def _functions(file: str) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]:
    tree = _tree(file)
    nodes = () if tree is None else ast.walk(tree)
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return tuple(sorted(functions, key=lambda node: node.lineno))


@lru_cache(maxsize=64)
def _tree(file: str) -> ast.Module | None:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None


class _Call(NamedTuple):
    """A call whose result is, or is part of, an attribute or a variable, in a class of some lines.

    `pattern` matches the code that calls it.
    """

    pattern: str
    name: str
    line: int
    keywords: tuple[tuple[str | None, int], ...]
    first: int
    last: int

    def within(self, line: int) -> bool:
        """Whether another line is of the same class."""
        return self.first <= line <= self.last and line != self.line


@lru_cache(maxsize=64)
def _calls(file: str) -> tuple[_Call, ...]:
    """The calls that make the attributes and variables of the classes of a file."""
    tree, found = _tree(file), []
    for outer in (node for node in (() if tree is None else ast.walk(tree)) if isinstance(node, ast.ClassDef)):
        for node in ast.walk(outer):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            own = [rf"\b{t.attr}\b" for t in targets if isinstance(t, ast.Attribute)]
            own += [rf"\b{t.id}\(" for t in targets if isinstance(t, ast.Name)]
            for call in ast.walk(node) if own else ():
                if isinstance(call, ast.Call):
                    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
                    keywords = tuple((word.arg, word.value.lineno) for word in call.keywords)
                    found.append(_Call(own[0], name, call.lineno, keywords, outer.lineno, outer.end_lineno or 0))
    return tuple(found)


def _described(value: object) -> str:
    shape = getattr(value, "shape", ())[1:]
    return f"{getattr(value, 'dtype', 'key')}{list(shape)}"


def _short(file: str) -> str:
    for folder in sorted(_LIBRARIES, key=len, reverse=True):
        if file.startswith(folder):
            return file[len(folder) + 1 :]
    return file.rpartition("site-packages/")[2]
