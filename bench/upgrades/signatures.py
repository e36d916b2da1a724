"""The arguments of public functions and classes, and how they changed."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

#: The arguments of a function with their defaults as text; "" for none.
Arguments = dict[str, str]
Signatures = dict[str, Arguments]

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_STARS = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}
#: Defaults that stand for "not passed": which of them it is says nothing to a user.
NOT_PASSED = {"<object object>", "None"}


def signatures_of(module: str) -> Iterator[tuple[str, Arguments]]:
    """The arguments of all functions, classes and own methods that a module offers."""
    package = module.partition(".")[0]
    for name, thing in vars(import_module(module)).items():
        home = getattr(thing, "__module__", None) or ""
        is_own = home.partition(".")[0] == package
        if name.startswith("_") or not callable(thing) or not is_own:
            continue
        yield f"{module}.{name}", arguments_of(thing)
        if not isinstance(thing, type):
            continue
        for method_name, method in vars(thing).items():
            is_public = not method_name.startswith("_") or method_name == "__call__"
            # not an initializer that is the default of a field
            is_method = inspect.isfunction(method) and method.__module__ == home
            if is_public and is_method:
                yield f"{module}.{name}.{method_name}", arguments_of(method)


def arguments_of(thing: Any) -> Arguments:
    """The arguments of a function or a class. Keywords are sorted: they have no order.

    Private ones are left out.
    """
    # a class's own, not its metaclass's
    function = thing.__init__ if isinstance(thing, type) else thing
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # it is written in C
        return {}

    def order(parameter: inspect.Parameter) -> tuple[int, str]:
        is_keyword = parameter.kind is parameter.KEYWORD_ONLY
        return parameter.kind, parameter.name if is_keyword else ""

    arguments: Arguments = {}
    for parameter in sorted(parameters, key=order):
        if parameter.name == "self" or parameter.name.startswith("_"):
            continue
        name = _STARS.get(parameter.kind, "") + parameter.name
        is_needed = parameter.default is parameter.empty
        arguments[name] = "" if is_needed else text_of(parameter.default)
    return arguments


def text_of(default: Any) -> str:
    """A default as text that is the same in each process."""
    if callable(default) and hasattr(default, "__qualname__"):
        return f"{getattr(default, '__module__', '')}.{default.__qualname__}"
    if isinstance(default, set | frozenset):
        texts = sorted(text_of(member) for member in default)
        return f"{{{', '.join(texts)}}}"
    return _ADDRESS.sub("", repr(default))


def signature_changes(
    old: Signatures, new: Signatures
) -> Iterator[tuple[str, str, str, str]]:
    """The changes between all signatures: kind, what, what it was, and what it is."""
    if not old or not new:
        return
    lost_names = [name for name in old if name not in new]
    new_names = [name for name in new if name not in old]
    if lost_names:
        yield "arguments", "names", ", ".join(lost_names), "gone"
    if new_names:
        yield "better", "names", "", ", ".join(new_names)

    for name, before in old.items():
        after = new.get(name, before)
        was, became = _argument_changes(before, after)
        added = [argument for argument in after if argument not in before]
        if became:
            yield "arguments", name, was, became
        elif added:
            texts = [_text(argument, after[argument]) for argument in added]
            yield "better", name, "", f"also takes {', '.join(texts)}"
        elif list(before) != list(after):
            what = f"{name}: order"
            yield "arguments", what, ", ".join(before), ", ".join(after)


def _argument_changes(before: Arguments, after: Arguments) -> tuple[str, str]:
    """What a caller has to know: what it was, and what it is; "" for no change."""
    lost = [argument for argument in before if argument not in after]
    needed: list[str] = []
    for argument, default in after.items():
        had_default = argument not in before or before[argument] != ""
        if not default and had_default and not argument.startswith("*"):
            needed.append(argument)

    old_defaults: list[str] = []
    new_defaults: list[str] = []
    for argument, default in before.items():
        now = after.get(argument, default)
        is_other = bool(now) and now != default
        if is_other and not NOT_PASSED.issuperset((now, default)):
            old_defaults.append(_text(argument, default))
            new_defaults.append(_text(argument, now))

    words: list[str] = []
    if lost:
        noun = "argument" if len(lost) == 1 else "arguments"
        words.append(f"lost {noun} {', '.join(lost)}")
    if needed:
        words.append(f"needs {', '.join(needed)}")
    words += new_defaults
    return ", ".join(old_defaults), "; ".join(words)


def _text(argument: str, default: str) -> str:
    return f"{argument}={default}" if default else argument
