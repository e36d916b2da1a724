"""`trigru port`: compare two models of the user's own."""

import importlib
import importlib.util
import json
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from ...common.errors import InputError, TrigruError, brief
from ...common.parity.comparison import compare
from ...common.parity.report import SAME
from ...common.program.model import Model, checked, named_apart
from ...impls.parity.saving import check_suffix, save_candidate
from ..reporting.console import say, show_lines

REFERENCE, CANDIDATE, INPUTS = (
    "reference",
    "candidate",
    "x",
)  # what a file gives, unless the user says otherwise
#: The folder of the file that was run last.
_FOLDERS: list[Path] = []
EXIT = {
    "same": 0,
    "only if": 1,
    "another": 1,
    "unknown": 125,
}  # the exit code of each verdict


def port(
    files: list[str],
    inputs: str | None = None,
    save: Path | None = None,
    time: bool = False,
    format: str = "text",
) -> None:
    """Compare the models of one or two files, and end with the exit code of the verdict.

    Raises an InputError at a file that fails, or has not what is expected of it; or a candidate that cannot be saved.
    """
    if len(files) > 2:
        raise typer.BadParameter(
            "expected one file with both models, or two, the reference first."
        )
    costs = (
        importlib.import_module(".port_time", __package__) if time else None
    )  # whose packages may be missing
    if len(files) == 1:
        module = _load(files[0])
        reference, candidate = _model(module, REFERENCE), _model(module, CANDIDATE)
    else:
        first, (module, name) = _named(files[0], REFERENCE), _named(files[1], CANDIDATE)
        reference, candidate = _model(*first), _model(module, name)
    given = _inputs(module) if inputs is None else _inputs(*_named(inputs, INPUTS))
    if save is not None:
        check_suffix(save, candidate)
    result = compare(
        reference, candidate, *given, mapping=getattr(module, "mapping", None), say=say
    )
    facts, lines = result.as_json(), [str(result)]
    if costs is not None:
        cost = (
            list(costs.cost_of(reference, candidate, given, result))
            if result.verdict == SAME
            else []
        )
        from msgspec import to_builtins  # one of those packages

        facts["cost"] = to_builtins(cost)
        lines += ["", *costs.cost_lines(cost)] if cost else []
        if not cost:
            say("They are not timed, since they are not the same function.")
    show_lines(
        (
            json.dumps(facts, indent=2) if format == "json" else "\n".join(lines)
        ).splitlines()
    )
    if save is not None:
        save_candidate(save, candidate, result)
        say(
            f"{candidate.name} is saved to {save}, with the parameters of {reference.name}."
        )
    raise typer.Exit(EXIT[result.verdict])


def _named(text: str, name: str) -> tuple[ModuleType, str]:
    """The module and the name of FILE:NAME."""
    file, _, given = text.rpartition(":")
    if not file or "/" in given or given.endswith(".py"):
        file, given = text, name
    return _load(file), given


def _load(file: str) -> ModuleType:
    """Run a user's file, with its folder first among those where Python looks for modules, as when it is run alone."""
    try:
        path = Path(file).resolve()
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # a loop of links, or a name that no file can have
        raise InputError(
            f"{brief(file)} is no name of a file: {brief(error)}."
        ) from error
    if path.is_dir():
        raise InputError(f"{file} is a folder: expected a Python file.")
    if not path.is_file():
        more = (
            " A name goes with two files: old.py:name new.py:name."
            if ":" in file
            else ""
        )
        raise InputError(f"{file}: there is no such file.{more}")
    name = f"trigru_port_{path.stem}"
    if (loaded := sys.modules.get(name)) is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is no Python file: expected one that ends with .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _look_in(path.parent)
    say(f"Run {file}.")
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path)
        ]
        line = f" at line {lines[-1]}" if lines else ""
        kind = "" if isinstance(error, TrigruError) else f"{type(error).__name__}: "
        raise InputError(f"{file} fails{line}: {kind}{brief(error)}") from error
    except SystemExit as error:
        message = f"{file} ends by itself, with exit code {error.code}: expected models, and no script."
        raise InputError(message) from error
    return module


def _look_in(folder: Path) -> None:
    """Let files import what lies in a folder, and no longer what lies in that of the file before: an older version."""
    if folder in _FOLDERS:
        return
    for other in _FOLDERS:
        sys.path[:] = [place for place in sys.path if place != str(other)]
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None) or ""
            if (
                path.startswith(f"{other}/")
                and "site-packages" not in path
                and not name.startswith("trigru")
            ):
                del sys.modules[name]
    _FOLDERS[:] = [folder]
    sys.path.insert(0, str(folder))


def _model(module: ModuleType, name: str) -> Model:
    return checked(
        _value(module, name, "a trigru.parity.Model of that name"),
        f"{name!r} in {module.__file__}",
    )


def _inputs(module: ModuleType, name: str = INPUTS) -> tuple[Any, ...]:
    given = _value(
        module, name, "an array, or a tuple of arrays, to call the models with"
    )
    return given if isinstance(given, tuple) else (given,)


def _value(module: ModuleType, name: str, expected: str) -> Any:
    if not hasattr(module, name):
        raise InputError(f"{module.__file__} has no {name!r}: expected {expected}.")
    return getattr(module, name)


def models_of(file: str) -> tuple[list[Model], tuple[Any, ...]]:
    """The models of a file, which may lack the candidate, and the inputs that they are called with."""
    module = _load(file)
    given = _inputs(module)
    names = [
        name
        for name in (REFERENCE, CANDIDATE)
        if getattr(module, name, None) is not None
    ] or [REFERENCE]
    models = [_model(module, name) for name in names]
    return list(named_apart(*models)) if len(models) == 2 else models, given
