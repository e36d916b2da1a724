"""Environments of version sets: uv makes them from wheels, keeps them in its cache, and runs commands in them."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import distributions, requires
from pathlib import Path

from ...common.errors import InputError, TrigruError, UnavailableError, brief
from ..processes.child import environment, interpreter
from ..processes.commands import run_command
from ..processes.scratch import scratch
from .versions import SUBJECTS, VersionSet, is_source, name_of, requirements_of

#: The longest that an installation and a snapshot may take, in seconds.
LIMIT_S, SNAPSHOT_LIMIT_S = 900.0, 1800.0
#: What uv says when a set has no solution; anything else may pass, as a registry that does not answer.
UNSOLVABLE = "No solution found"
#: A program that prints what is installed.
_VERSIONS = """\
import json
from importlib.metadata import distributions
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in distributions()}))
"""


class EnvironmentFailedError(TrigruError):
    """A version set could not be installed, or has no snapshot; `lasting` if it never will."""

    def __init__(self, reason: str, *, lasting: bool):
        super().__init__(reason)
        self.lasting = lasting


@dataclass(frozen=True)
class Environment:
    """An installed version set."""

    command: tuple[str, ...]  # which runs the command that follows it with these versions and this trigru
    versions: dict[str, str]  # what is installed, by name

    def run(self, command: Sequence[str], limit_s: float, still: Callable[[], None] = lambda: None) -> tuple[int, str]:
        """Run a command outside of this Python's environment; see `trigru.bench.processes.commands.run_command`."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        with scratch() as place:  # a command that is ended leaves nothing elsewhere
            return run_command([*self.command, *command], own | {"TMPDIR": place}, limit_s, still)

    def snapshot(self, folder: Path, arguments: Sequence[str], still: Callable[[], None] = lambda: None) -> None:
        """Take a snapshot, with these arguments. Raises an EnvironmentFailedError if there is none."""
        words = ["snapshot", *arguments, "-o", str(folder)]
        command = interpreter("-m", "trigru.bench.cli", *words, python="python")
        if problem := self.run(command, SNAPSHOT_LIMIT_S, still)[1]:
            raise EnvironmentFailedError(problem, lasting=False)


class Environments:
    """The environments of version sets, for one Python.

    Args:
        python: the interpreter, as uv takes it: "3.13", a path, or None for this one's version.
        more: further packages that each has, as requirements.
    """

    def __init__(self, python: str | None = None, more: Sequence[str] = ()):
        self.python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
        if os.sep in self.python:
            self.python = os.path.abspath(self.python)
        self._more = tuple(more)
        self._uv = _find_uv()
        self._place = tempfile.mkdtemp(prefix="trigru-environments-")
        atexit.register(shutil.rmtree, self._place, ignore_errors=True)

    def get(self, of: VersionSet) -> Environment:
        """The environment of a set, installed now unless uv has it. Raises an EnvironmentFailedError if it fails."""
        sources = [requirement for requirement in of.requirements if is_source(requirement)]
        limits = [] if sources else ["--no-build"]  # wheels alone, but for a clone
        for name in SUBJECTS if of.day is not None else ():  # all else is no part of the question
            limits += ["--exclude-newer-package", f"{name}={of.day}T23:59:59Z"]
        named = set(map(name_of, of.requirements))
        subjects, others = requirements_of(requires("trigru") or ())
        wanted = [*of.requirements, *(name for name in subjects if name not in named), *others, *self._more]
        # a folder is installed in place, so that what is edited there counts
        options = [f"--with{'-editable' * os.path.isdir(requirement)}={requirement}" for requirement in wanted]
        command = (*self._command([*limits, *options]), "env", f"PYTHONPATH={self._trigru}")
        return Environment(command, json.loads(_run([*command, *interpreter("-c", _VERSIONS, python="python")])))

    def releases(self, package: str) -> list[str]:
        """The releases with wheels for this Python, from the oldest on. Raises an EnvironmentFailedError, as `get`."""
        index = ["python", "-m", "pip", "index", "versions", package, "--only-binary", ":all:"]
        lines = _run([*self._command(["--with=pip"]), *index]).splitlines()
        listed = next((line for line in lines if line.startswith("Available versions:")), "")
        return [number.strip() for number in listed.partition(":")[2].split(",") if number.strip()][::-1]

    def _command(self, options: Sequence[str]) -> list[str]:
        """The command that runs what follows it; no project around it binds what uv may choose."""
        apart = ["--isolated", "--no-project", "--project", self._place]
        return [self._uv, "run", "--quiet", *apart, "--compile-bytecode", "--python", self.python, *options, "--"]

    @cached_property
    def _trigru(self) -> Path:
        """A folder with this trigru alone, so that its bounds on the frameworks do not bind a set."""
        folder = Path(self._place) / "trigru"
        (folder / "trigru").mkdir(parents=True)
        root = Path(__file__).parents[2]
        installed = (root / "parity").is_dir()  # where it is read from a clone, it stands among its parts
        rooms = {name: root / name for name in ("common", "impls", "bench")}
        rooms["parity"] = root / ("parity" if installed else "impls/parity/public")
        for name, room in rooms.items():
            (folder / "trigru" / name).symlink_to(room)
        known = ((of, file) for of in distributions(name="trigru") for file in of.files or ())
        of, metadata = next((of, file) for of, file in known if file.name == "METADATA")
        (folder / metadata.parent.name).symlink_to(str(of.locate_file(metadata.parent)))
        return folder


def _run(command: Sequence[str]) -> str:
    """The output of a uv command. Raises an InputError if there is no such Python, else an EnvironmentFailedError."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, env=environment(), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailedError(f"uv took longer than {LIMIT_S:g} s.", lasting=False) from error
    if "No interpreter found" in done.stderr:  # as of any other set
        raise InputError(f"--python: {brief(done.stderr)}")
    if done.returncode:
        reason = brief(done.stderr) or f"uv ended with {done.returncode}."
        raise EnvironmentFailedError(reason, lasting=UNSOLVABLE in done.stderr)
    return done.stdout


def _find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise UnavailableError("environments are made by uv, which is not installed: pip install uv.")
    return found
