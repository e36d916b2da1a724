"""The statements of the user's code around a line: where modules are made, and values handed on."""

import ast
import linecache
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from ..program import CodeLine
from ..program.source import is_users

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


#: The keywords of a module's constructor on which an operation depends.
KEYWORDS = {
    "conv_general_dilated": "padding strides stride kernel_dilation dilation feature_group_count groups use_bias",
    "dot_general": "use_bias",
    "add": "epsilon eps",
    "max": "epsilon eps",
    "mul": "momentum",
}


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
