"""The statements of the user's code around a line: where modules are made, and values
handed on.
"""

import ast
import linecache
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from ..program import CodeLine
from ..program.source import is_users

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
FIRST = 3  # so many lines of a function are shown at most
#: The keywords of a module's constructor on which an operation depends.
KEYWORDS = {
    "conv_general_dilated": "padding strides stride kernel_dilation dilation "
    "feature_group_count groups use_bias",
    "dot_general": "use_bias",
    "add": "epsilon eps",
    "max": "epsilon eps",
    "mul": "momentum",
}


def argument_at(line: CodeLine, keyword: str) -> CodeLine:
    """The line at which an argument of a call is made: of a variable, where it is
    assigned last before the call.
    """
    for call in _around(line, ast.Call):
        for word in call.keywords:
            if word.arg == keyword:
                return line._replace(line=_made_at(line.file, word.value))
    return line


def _made_at(file: str, value: ast.expr) -> int:
    """The line of an expression; of a variable, that of its last assignment before."""
    made = value.lineno
    if isinstance(value, ast.Name):
        lines = []
        for node in _nodes(file, ast.Assign):
            if node.lineno < value.lineno and value.id in _names(node.targets):
                lines.append(node.lineno)
        made = max(lines, default=made)
    return made


def _names(targets: Sequence[ast.expr]) -> list[str]:
    return [target.id for target in targets if isinstance(target, ast.Name)]


def text_of(line: CodeLine) -> str:
    """The text of a line."""
    return linecache.getline(line.file, line.line).strip()


def makers(lines: Sequence[CodeLine], operation: str) -> Iterator[CodeLine]:
    """The lines where the modules are made that a line calls as attributes, as
    `self.norm = LayerNorm(...)`.

    Of a call of several lines, it is the one with the keyword on which the operation of
    the step depends.

    Args:
        lines: those that led to a step, the innermost first; the first of the user's
            code calls the module.
        operation: of the step.
    """
    place = next((n for n, line in enumerate(lines) if is_users(line)), 0)
    own = lines[place]
    classes = tuple(line.function.split(".")[0] for line in lines[:place])
    likely, named, of_class = [], [], []
    for node in _nodes_of_class(own):
        pattern = _pattern_of_target(node)
        if not pattern:
            continue
        is_named = re.search(pattern, text_of(own)) is not None
        for call in ast.walk(node):
            if not isinstance(call, ast.Call) or call.lineno == own.line:
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if is_named and name in classes:
                likely.append(call)
            elif is_named:
                named.append(call)
            if name.startswith(classes):
                of_class.append(call)
    for call in [*likely, *named] or of_class:
        yield CodeLine(own.file, _line_of_keyword(call, operation), "__init__")


def _nodes_of_class(line: CodeLine) -> Iterator[ast.AST]:
    for outer in _around(line, ast.ClassDef):
        yield from ast.walk(outer)


def _pattern_of_target(node: ast.AST) -> str:
    """What matches the use of an attribute or field that a statement assigns; empty for
    another statement.
    """
    targets: list[Any] = getattr(node, "targets", [])
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    for target in targets:
        if isinstance(target, ast.Attribute):
            return rf"\b{target.attr}\b"
    names = _names(targets)
    return rf"\b{names[0]}\(" if names else ""


def _line_of_keyword(call: ast.Call, operation: str) -> int:
    """The line of the keyword of a call on which an operation depends; else the first
    line of the call.
    """
    places = {word.arg: word.value.lineno for word in call.keywords}
    for name in KEYWORDS.get(operation, "").split():
        if name in places:
            return places[name]
    return call.lineno


def hand_overs(made: Sequence[CodeLine], used: Sequence[CodeLine]) -> list[CodeLine]:
    """The lines that hand a value on between where it is made and used, as `return
    carry, memory` or `skip = h`.
    """
    own = next(filter(is_users, made), None)
    function = _function_at(own) if own else None
    if own is None or function is None:
        return []
    there = None
    for line in used:
        if line.file == own.file and _function_at(line) is function:
            there = line
            break
    nodes: list[Any] = []
    for node in ast.walk(function):
        if there is None and isinstance(node, ast.Return):
            nodes.append(node)
        elif there is not None and isinstance(node, ast.Assign):
            is_between = own.line < node.lineno < there.line
            if is_between and _assigns_name_in(node, text_of(there)):
                nodes.append(node)
    lines = [own._replace(line=node.lineno) for node in nodes if _is_plain(node.value)]
    return [line for line in lines if _function_at(line) is function]


def _assigns_name_in(node: ast.Assign, text: str) -> bool:
    """Whether an assignment gives a value to a name that stands in a text."""
    for target in node.targets:
        for name in ast.walk(target):
            if isinstance(name, ast.Name) and re.search(rf"\b{name.id}\b", text):
                return True
    return False


def statements(line: CodeLine) -> list[CodeLine]:
    """The first lines that compute something, of the function that begins at a line."""
    functions = [f for f in _nodes(line.file, FUNCTION) if f.lineno >= line.line]
    if not functions:
        return []
    function = min(functions, key=lambda node: node.lineno)
    lines = []
    for node in function.body:
        is_plain = _is_plain(getattr(node, "value", None))
        if not isinstance(node, ast.Expr) and not is_plain:
            lines.append(line._replace(line=node.lineno))
    return lines[:FIRST]


def _is_plain(node: ast.expr | None) -> bool:
    """Whether an expression hands values on: names, parts of them, and tuples of
    those.
    """
    if isinstance(node, ast.Tuple | ast.List):
        return bool(node.elts) and all(map(_is_plain, node.elts))
    if isinstance(node, ast.Attribute | ast.Subscript):
        return _is_plain(node.value)
    return isinstance(node, ast.Name)


def _function_at(line: CodeLine) -> ast.AST | None:
    return max(_around(line, FUNCTION), key=lambda node: node.lineno, default=None)


def _around(line: CodeLine, kind: Any) -> list[Any]:
    """The nodes of one kind within which a line is."""
    nodes = []
    for node in _nodes(line.file, kind):
        if node.lineno <= line.line <= (node.end_lineno or 0):
            nodes.append(node)
    return nodes


@lru_cache(maxsize=256)
def _nodes(file: str, kind: Any) -> list[Any]:
    """The nodes of one kind of a file; none if it is no Python."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, kind)]
