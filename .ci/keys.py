"""The keys of a results file as a page: a table for each record, from its types and the Args of its docstring."""

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

_NAMES = {str: "text", bool: "true or false", int: "whole number", float: "number", Any: "anything"}


def tables_of(record: type) -> str:
    """A section for a record, and one for each that stands in it."""
    found, seen = [record], []
    while found:
        one = found.pop(0)
        if one not in seen:
            seen.append(one)
            found += [inner for hint in _hints(one).values() for inner in _records(hint)]
    return "\n\n".join(_section(one) for one in seen)


def _section(record: type) -> str:
    said, summary = (
        {name: _summary(hint) for name, hint in _hints(record).items() if _is_record(hint)},
        _summary(record),
    )
    said |= _arguments(record)
    if missing := [name for name in _hints(record) if name not in said]:
        raise SystemExit(f"the docstring of {record.__name__} says nothing of {', '.join(missing)}.")
    rows: dict[tuple[str, str], list[str]] = {}  # names that one sentence is about have one row
    if _is_tagged(record):
        rows[f'`"{record.__name__}"`', "which record it is."] = ["type"]
    for name, hint in _hints(record).items():
        rows.setdefault((_describe(hint), said[name]), []).append(name)
    head = [f"### {record.__name__}", "", summary, "", "| key | value | what it is |", "| --- | --- | --- |"]
    table = [
        f"| {', '.join(f'`{name}`' for name in names)} | {value} | {what} |" for (value, what), names in rows.items()
    ]
    return "\n".join([*head, *table])


def _summary(record: type) -> str:
    return inspect.cleandoc(record.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _hints(record: type) -> dict[str, Any]:
    hints = get_type_hints(record, include_extras=True)
    names = record.__struct_fields__ if issubclass(record, msgspec.Struct) else [f.name for f in fields(record)]
    return {name: hints[name] for name in names}


def _is_tagged(record: type) -> bool:
    return issubclass(record, msgspec.Struct) and bool(record.__struct_config__.tag)


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and (issubclass(hint, msgspec.Struct) or is_dataclass(hint))


def _records(hint: Any) -> Iterator[type]:
    if _is_record(hint):
        yield hint
    for inner in get_args(hint):
        yield from _records(inner)


def _arguments(record: type) -> dict[str, str]:
    """The description of each argument in a docstring, in one line."""
    _, _, text = inspect.cleandoc(record.__doc__ or "").partition("Args:\n")
    said: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            break
        if match := re.match(r" {4}(\w+(?:, \w+)*): (.*)", line):
            names = match[1].split(", ")
            said |= dict.fromkeys(names, match[2])
        elif line.strip():
            said |= {name: f"{said[name]} {line.strip()}" for name in names}
        else:
            names = []
    return {name: _in_json(text).replace("|", "\\|") for name, text in said.items()}


def _in_json(text: str) -> str:
    return re.sub(r"\bNone\b", "null", re.sub(r"(?<=\. )None\b", "Null", text))


def _describe(hint: Any) -> str:
    """A type, in the words of JSON."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(arguments[0], *arguments[1:])
    if origin in (Union, types.UnionType):
        known = [_describe(argument) for argument in arguments if argument is not type(None)]
        return " or ".join([*known, *(["null"] if type(None) in arguments else [])])
    if origin is Literal:
        return " or ".join(f'`"{word}"`' for word in arguments)
    if origin in (list, tuple):
        return f"list of {_many(arguments[0])}"
    if origin is dict:
        return "object" if arguments[1] is Any else f"object of {_many(arguments[1])} by {_describe(arguments[0])}"
    if _is_record(hint):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    return _NAMES[hint]


def _many(hint: Any) -> str:
    return re.sub(r"^(text|whole number|number|object)\b", r"\1s", _describe(hint))


def _bounded(base: Any, meta: msgspec.Meta) -> str:
    if meta.pattern:
        return " or ".join(f'`"{word}"`' for word in meta.pattern.strip("^$()").split("|"))
    if meta.min_length:
        return f"{_describe(base)}, at least {meta.min_length}"
    limit = f" above {meta.gt:g}" if meta.gt is not None else f" from {meta.ge:g}" if meta.ge is not None else ""
    return f"{_describe(base)}{limit}"
