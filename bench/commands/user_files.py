"""Runs a user's file, and takes models and inputs from it by name."""

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from ...common.errors import InputError, TrigruError, brief
from ...common.program.model import Model, checked, named_apart
from ..reporting.console import say

#: What a file calls its models and inputs, unless the user says otherwise.
REFERENCE = "reference"
CANDIDATE = "candidate"
INPUTS = "x"
_PREFIX = "trigru_port_"  # of the modules that users' files are


def load_file(file: str) -> ModuleType:
    """Run a user's file, with its folder first among those where Python looks for
    modules, as when it is run alone.

    A file that was run before is not run again. Raises an InputError if there is no
    such file, or it fails.
    """
    path = _path_of(file)
    name = f"{_PREFIX}{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is no Python file: expected one that ends with .py.")

    _look_only_in(path.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    say(f"Run {file}.")
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(_failure(file, path, error)) from error
    except SystemExit as error:
        code = error.code
        raise InputError(
            f"{file} ends by itself, with exit code {code}: expected models, and no "
            "script."
        ) from error
    return module


def load_named(text: str, default: str) -> tuple[ModuleType, str]:
    """The module and the name of FILE:NAME, or of FILE with the default name."""
    file, _, name = text.rpartition(":")
    if not file or "/" in name or name.endswith(".py"):  # all of it is the file
        return load_file(text), default
    return load_file(file), name


def model_of(module: ModuleType, name: str) -> Model:
    """A model of a file. Raises an InputError if it has none of that name."""
    model = _value(module, name, "a trigru.parity.Model of that name")
    return checked(model, f"{name!r} in {module.__file__}")


def inputs_of(module: ModuleType, name: str = INPUTS) -> tuple[Any, ...]:
    """The inputs of a file. Raises an InputError if it has none of that name."""
    expected = "an array, or a tuple of arrays, to call the models with"
    inputs = _value(module, name, expected)
    return inputs if isinstance(inputs, tuple) else (inputs,)


def models_of(file: str) -> tuple[list[Model], tuple[Any, ...]]:
    """The models of a file, which may lack one of the two, and the inputs that they are
    called with.
    """
    module = load_file(file)
    inputs = inputs_of(module)
    names = []
    for name in (REFERENCE, CANDIDATE):
        if getattr(module, name, None) is not None:
            names.append(name)
    models = [model_of(module, name) for name in names or [REFERENCE]]
    if len(models) == 2:
        models = list(named_apart(*models))
    return models, inputs


def _value(module: ModuleType, name: str, expected: str) -> Any:
    if not hasattr(module, name):
        raise InputError(f"{module.__file__} has no {name!r}: expected {expected}.")
    return getattr(module, name)


def _path_of(file: str) -> Path:
    try:
        path = Path(file).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        # A loop of links, or a name that no file can have.
        raise InputError(
            f"{brief(file)} is no name of a file: {brief(error)}."
        ) from error
    if path.is_dir():
        raise InputError(f"{file} is a folder: expected a Python file.")
    if not path.is_file():
        hint = ""
        if ":" in file:
            hint = " A name goes with two files: old.py:name new.py:name."
        raise InputError(f"{file}: there is no such file.{hint}")
    return path


def _failure(file: str, path: Path, error: Exception) -> str:
    """A sentence with the line of the file that failed."""
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            lines.append(frame.lineno)
    line = f" at line {lines[-1]}" if lines else ""
    kind = "" if isinstance(error, TrigruError) else f"{type(error).__name__}: "
    return f"{file} fails{line}: {kind}{brief(error)}"


def _look_only_in(folder: Path) -> None:
    """Let files import what lies in a folder, and no longer what lies beside files that
    were run before.

    Two versions of a model may each have modules of the same names.
    """
    former_folders = set()
    for name, module in sys.modules.items():
        if name.startswith(_PREFIX):
            former_folders.add(Path(module.__file__ or "").parent)

    for former in former_folders - {folder}:
        sys.path[:] = [place for place in sys.path if place != str(former)]
        for name, module in list(sys.modules.items()):
            if _lies_in(former, module) and not name.startswith("trigru"):
                del sys.modules[name]

    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _lies_in(folder: Path, module: Any) -> bool:
    file = getattr(module, "__file__", None) or ""
    return file.startswith(f"{folder}/") and "site-packages" not in file
