"""The environments of version sets, which uv makes from wheels and keeps in its
cache.
"""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions, requires
from pathlib import Path

from ...common.errors import InputError, TrigruError, UnavailableError, brief
from ..processes.commands import run_command
from ..processes.environment import environment, interpreter
from ..processes.scratch import scratch
from .installed import required
from .version_sets import SUBJECTS, VersionSet, name_of

#: The longest that an installation and a snapshot may take, in seconds.
LIMIT_S, SNAPSHOT_LIMIT_S = 900.0, 1800.0
#: What uv says of a set that never will install. Anything else may pass, such as a
#: registry that does not answer.
UNSOLVABLE = "No solution found"
#: A program that prints what is installed.
_VERSIONS = """\
import json
from importlib.metadata import distributions
names = {d.name.lower().replace("_", "-"): d.version for d in distributions()}
print(json.dumps(names))
"""


def _do_nothing() -> None:
    pass


class EnvironmentFailedError(TrigruError):
    """A version set could not be installed, or has no snapshot.

    Attributes:
        lasting: whether trying again is no use.
    """

    def __init__(self, reason: str, *, lasting: bool):
        super().__init__(reason)
        self.lasting = lasting


@dataclass(frozen=True)
class Environment:
    """An installed version set.

    Attributes:
        command: runs the command that follows it with these versions and this trigru.
        versions: what is installed, by name.
    """

    command: tuple[str, ...]
    versions: dict[str, str]

    def run(
        self,
        command: Sequence[str],
        limit_s: float,
        still: Callable[[], None] = _do_nothing,
    ) -> tuple[int, str]:
        """Run a command outside of this Python's environment, as `run_command` does."""
        variables: dict[str, str] = {}
        for name, value in os.environ.items():
            if not name.startswith(("PYTHON", "VIRTUAL_ENV")):
                variables[name] = value
        with scratch() as folder:  # a command that is ended leaves nothing elsewhere
            variables["TMPDIR"] = folder
            return run_command([*self.command, *command], variables, limit_s, still)

    def snapshot(
        self,
        folder: Path,
        arguments: Sequence[str],
        still: Callable[[], None] = _do_nothing,
    ) -> None:
        """Take a snapshot, with these arguments of `trigru snapshot`.

        Raises an EnvironmentFailedError if there is none.
        """
        words = ["snapshot", *arguments, "-o", str(folder)]
        command = interpreter("-m", "trigru.bench.cli", *words, python="python")
        _, problem = self.run(command, SNAPSHOT_LIMIT_S, still)
        if problem:
            raise EnvironmentFailedError(problem, lasting=False)


class Environments:
    """The environments of version sets, for one Python.

    Args:
        python: as uv takes it, "3.13" or a path; by default, the version of this one.
        more: requirements of further packages.
        uv: the program; by default, the one that is installed.
    """

    def __init__(
        self,
        python: str | None = None,
        more: Sequence[str] = (),
        uv: str | None = None,
    ):
        self.python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
        if os.sep in self.python:
            self.python = os.path.abspath(self.python)
        self._more = more
        self._uv = uv or find_uv()
        self._trigru = tempfile.mkdtemp(prefix="trigru-environments-")
        atexit.register(shutil.rmtree, self._trigru, ignore_errors=True)
        _link_trigru(Path(self._trigru))

    def get(self, version_set: VersionSet) -> Environment:
        """The environment of a set, installed now unless uv has it.

        Raises an EnvironmentFailedError.
        """
        options: list[str] = []
        if not version_set.has_sources:
            options.append("--no-build")  # wheels alone
        if version_set.day is not None:
            # all else than the frameworks is no part of the question
            for name in SUBJECTS:
                limit = f"{name}={version_set.day}T23:59:59Z"
                options += ["--exclude-newer-package", limit]

        named = {name_of(requirement) for requirement in version_set.requirements}
        of_trigru = requirements_of(requires("trigru") or ())
        others = [requirement for requirement in of_trigru if requirement not in named]
        for requirement in (*version_set.requirements, *others, *self._more):
            # a folder is installed in place, so that what is edited there counts
            word = "--with-editable" if os.path.isdir(requirement) else "--with"
            options.append(f"{word}={requirement}")

        command = (*self._command(options), "env", f"PYTHONPATH={self._trigru}")
        print_versions = interpreter("-c", _VERSIONS, python="python")
        return Environment(command, json.loads(_run([*command, *print_versions])))

    def releases(self, package: str) -> list[str]:
        """The releases with wheels for this Python, from the oldest on.

        Raises an EnvironmentFailedError.
        """
        pip = ["python", "-m", "pip", "index", "versions", package]
        command = [*self._command(["--with=pip"]), *pip, "--only-binary", ":all:"]
        for line in _run(command).splitlines():
            title, _, numbers = line.partition(":")
            if title == "Available versions":
                stripped = [number.strip() for number in numbers.split(",")]
                return list(reversed(stripped))
        return []

    def _command(self, options: Sequence[str]) -> list[str]:
        """Runs what follows it. No project around it binds what uv may choose."""
        apart = ["--isolated", "--no-project", "--project", self._trigru]
        python = ["--compile-bytecode", "--python", self.python]
        return [self._uv, "run", "--quiet", *apart, *python, *options, "--"]


def requirements_of(requirements: Iterable[str]) -> list[str]:
    """The requirements of trigru, of `SUBJECTS` the name alone: a set decides there."""
    texts: list[str] = []
    for requirement in required(requirements):
        if requirement.name.lower() in SUBJECTS:
            texts.append(requirement.name)
        else:
            texts.append(str(requirement).partition(";")[0].strip())
    return texts


def find_uv(python: str = sys.executable, path: str | None = None) -> str:
    """The program uv, beside a Python or on a path, which is PATH by default.

    Raises an UnavailableError if there is none.
    """
    beside = Path(python).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv", path=path)
    if uv is None:
        raise UnavailableError(
            "environments are made by uv, which is not installed: pip install uv."
        )
    return uv


def _link_trigru(folder: Path) -> None:
    """Fill a folder with this trigru, without its bounds on the frameworks."""
    root = Path(__file__).parents[2]
    rooms = {name: root / name for name in ("common", "impls", "bench", "parity")}
    if not rooms["parity"].is_dir():  # this is a clone
        rooms["parity"] = root / "impls/parity/public"
    (folder / "trigru").mkdir()
    for name, room in rooms.items():
        (folder / "trigru" / name).symlink_to(room)
    metadata = _metadata_folder()
    (folder / metadata.name).symlink_to(metadata)


def _metadata_folder() -> Path:
    """The folder with trigru's metadata, where it is installed."""
    for trigru in distributions(name="trigru"):
        for file in trigru.files or ():
            if file.name == "METADATA":
                return Path(str(trigru.locate_file(file.parent)))
    raise UnavailableError("trigru has no metadata: install it by pip or uv.")


def _run(command: Sequence[str]) -> str:
    """The output of a uv command.

    Raises an InputError if there is no such Python, else an EnvironmentFailedError.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"uv took longer than {LIMIT_S:g} s."
        raise EnvironmentFailedError(reason, lasting=False) from error
    if "No interpreter found" in done.stderr:
        raise InputError(f"--python: {brief(done.stderr)}")
    if done.returncode:
        reason = brief(done.stderr) or f"uv ended with {done.returncode}."
        raise EnvironmentFailedError(reason, lasting=UNSOLVABLE in done.stderr)
    return done.stdout
