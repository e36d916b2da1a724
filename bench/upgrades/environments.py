"""Version sets, named by versions or by a day, and their environments, which uv makes from wheels and keeps."""

import atexit
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.metadata import distributions, requires
from pathlib import Path
from typing import Any

from dateutil.relativedelta import relativedelta
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ...common.errors import InputError, TrigruError, UnavailableError, brief
from ..processes.child import environment, interpreter
from ..processes.commands import run_command
from ..processes.scratch import scratch
from .installed import installed, required

#: The distributions whose releases a set is about; all else that trigru needs is taken as new as it comes.
SUBJECTS = (
    "jax",
    "jaxlib",
    "flax",
    "equinox",
    "optax",
    "orbax-checkpoint",
    "chex",
    "numpy",
    "scipy",
    "ml-dtypes",
)
_DAY = re.compile(r"\d{4}-\d{2}(-\d{2})?")
_EVERY = re.compile(r"(\d{0,15}) ?(day|week|month|year)s?")
LIMIT_S, SNAPSHOT_LIMIT_S = (
    900.0,
    1800.0,
)  # the longest that an installation and a snapshot may take
UNSOLVABLE = "No solution found"  # says uv of a set; anything else may pass, as a registry that does not answer
#: A program that prints what is installed.
_VERSIONS = """\
import json
from importlib.metadata import distributions
print(json.dumps({d.name.lower().replace("_", "-"): d.version for d in distributions()}))
"""


@dataclass(frozen=True)
class VersionSet:
    """Requirements to install together."""

    name: str = field(compare=False)  # as tables show it, and as a user may write it
    requirements: tuple[str, ...] = ()  # with versions; the newest of what is not named
    day: date | None = (
        None  # only releases of before the end of this day count; None for all
    )

    @property
    def has_sources(self) -> bool:
        """Whether one of them is a path or an address, which may hold other code the next time."""
        return any(map(is_source, self.requirements))

    def folder(self, python: str, arguments: Sequence[str]) -> str:
        """The name of the folder of its snapshot; another for each Python, and for other arguments."""
        digest = hashlib.sha256(
            "\n".join([self.name, python, *arguments]).encode()
        ).hexdigest()[:8]
        return f"{re.sub(r'[^0-9A-Za-z.=-]+', '_', self.name)[:60]}-{digest}"


def read_set(text: str) -> VersionSet:
    """A set as users write it: a day, or versions, folders of clones, wheels and commits. Raises an InputError."""
    text = " ".join(text.split())
    if _DAY.fullmatch(text):
        day = read_day(text)
        return VersionSet(day.isoformat(), (), day)
    parts = tuple(text.split(" "))
    for part in parts:
        if is_source(part):
            name_of(part)  # that it has one
            continue
        try:
            requirement = Requirement(part)
        except InvalidRequirement as error:
            raise InputError(
                f"version set {text!r}: {part!r} is neither a day, as 2025-01-31, nor a version, as jax==0.6.2, nor "
                "a path or commit, as ./flax or git+file:///home/me/flax@main."
            ) from error
        if requirement.url or not requirement.specifier:
            raise InputError(
                f"version set {text!r}: {part!r} names no version. Write {requirement.name}==..."
            )
    return VersionSet(text, parts)


def is_source(requirement: str) -> bool:
    """Whether a requirement is a path or an address, which may hold other code the next time, and not a version."""
    return "@ " not in requirement and (
        "/" in requirement or os.sep in requirement or requirement.endswith(".whl")
    )


def name_of(requirement: str) -> str:
    """The distribution that a requirement is of; a folder's pyproject.toml names it, else there is an InputError."""
    place = Path(requirement)
    if not is_source(requirement):
        return canonicalize_name(Requirement(requirement).name)
    if not place.is_dir():
        last = (
            requirement.partition("#")[0].rpartition("/")[2].partition("@")[0]
        )  # of a wheel, or an address
        return canonicalize_name(
            last.split("-")[0] if last.endswith(".whl") else last.removesuffix(".git")
        )
    try:
        return canonicalize_name(
            tomllib.loads((place / "pyproject.toml").read_text())["project"]["name"]
        )
    except (OSError, ValueError, KeyError) as error:
        what = "expected the folder of a package, with a name in its pyproject.toml."
        raise InputError(f"{requirement}: {what}") from error


def with_candidates(candidates: Iterable[str]) -> VersionSet:
    """What is installed here, with other versions, paths or commits of some packages."""
    of = read_set(" ".join(candidates))
    named = {name_of(requirement) for requirement in of.requirements}
    named |= {"jaxlib"} if "jax" in named else set()
    here = {
        name: number.partition(" ")[0].rstrip(",")
        for name, number in installed().items()
    }
    kept = [
        f"{name}=={here[name]}"
        for name in SUBJECTS
        if name in here and name not in named
    ]
    return VersionSet(of.name, (*of.requirements, *kept))


def read_day(text: str) -> date:
    """A day, or the first of a month. Raises an InputError if it is none, or lies in the future."""
    try:
        day = date.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError as error:
        raise InputError(
            f"{text!r} is no day: write 2025-01-31, or 2025-01 for the first of a month."
        ) from error
    if day > today():
        raise InputError(f"{text} is in the future.")
    return day


def today() -> date:
    """The day, in UTC, as registries count."""
    return datetime.now(UTC).date()


def days_between(first: str, every: str, end: date | None = None) -> list[VersionSet]:
    """A set for each of some days, every "2months", "week" or "10 days", and for today, which is always the end."""
    step = _EVERY.fullmatch(every.strip().lower())
    if not step or int(step[1] or 1) == 0:
        raise InputError(
            f"--every {every!r}: expected a time, as 2months, week or 10days."
        )
    number, start, end = int(step[1] or 1), read_day(first), end or today()
    days: list[date] = []
    with suppress(OverflowError, ValueError):  # beyond the last day that there is
        unit = f"{step[2]}s"
        day = start
        while day < end:
            days.append(day)
            distance: dict[str, Any] = {unit: len(days) * number}
            day = start + relativedelta(**distance)
    return [VersionSet(day.isoformat(), (), day) for day in (*days, end)]


class EnvironmentFailedError(TrigruError):
    """A version set could not be installed, or has no snapshot; `lasting` if it never will."""

    def __init__(self, reason: str, *, lasting: bool):
        super().__init__(reason)
        self.lasting = lasting


@dataclass(frozen=True)
class Environment:
    """An installed version set."""

    command: tuple[
        str, ...
    ]  # which runs the command that follows it with these versions and this trigru
    versions: dict[str, str]  # what is installed, by name

    def run(
        self,
        command: Sequence[str],
        limit_s: float,
        still: Callable[[], None] = lambda: None,
    ) -> tuple[int, str]:
        """Run a command outside of this Python's environment, as `run_command` does."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
        }
        with scratch() as place:  # a command that is ended leaves nothing elsewhere
            return run_command(
                [*self.command, *command], own | {"TMPDIR": place}, limit_s, still
            )

    def snapshot(
        self,
        folder: Path,
        arguments: Sequence[str],
        still: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a snapshot, with these arguments. Raises an EnvironmentFailedError if there is none."""
        words = ["snapshot", *arguments, "-o", str(folder)]
        command = interpreter("-m", "trigru.bench.cli", *words, python="python")
        if problem := self.run(command, SNAPSHOT_LIMIT_S, still)[1]:
            raise EnvironmentFailedError(problem, lasting=False)


class Environments:
    """The environments of version sets, for one Python, as uv takes it: "3.13", a path, or None for this one's version.

    Each has further packages, which are `more` requirements.
    """

    def __init__(self, python: str | None = None, more: Sequence[str] = ()):
        self.python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
        if os.sep in self.python:
            self.python = os.path.abspath(self.python)
        self._more, self._uv = more, _find_uv()
        self._trigru = tempfile.mkdtemp(prefix="trigru-environments-")
        atexit.register(shutil.rmtree, self._trigru, ignore_errors=True)
        _link_trigru(Path(self._trigru))

    def get(self, of: VersionSet) -> Environment:
        """The environment of a set, installed now unless uv has it. Raises an EnvironmentFailedError."""
        limits = (
            [] if of.has_sources else ["--no-build"]
        )  # wheels alone, but for a clone
        for name in (
            SUBJECTS if of.day is not None else ()
        ):  # all else is no part of the question
            limits += ["--exclude-newer-package", f"{name}={of.day}T23:59:59Z"]
        named = set(map(name_of, of.requirements))
        own = [
            requirement
            for requirement in requirements_of(requires("trigru") or ())
            if requirement not in named
        ]
        # a folder is installed in place, so that what is edited there counts
        options = [
            f"--with{'-editable' * os.path.isdir(r)}={r}"
            for r in (*of.requirements, *own, *self._more)
        ]
        command = (
            *self._command([*limits, *options]),
            "env",
            f"PYTHONPATH={self._trigru}",
        )
        return Environment(
            command,
            json.loads(
                _run([*command, *interpreter("-c", _VERSIONS, python="python")])
            ),
        )

    def releases(self, package: str) -> list[str]:
        """The releases with wheels for this Python, from the oldest on. Raises an EnvironmentFailedError, as `get`."""
        index = [
            "python",
            "-m",
            "pip",
            "index",
            "versions",
            package,
            "--only-binary",
            ":all:",
        ]
        lines = _run([*self._command(["--with=pip"]), *index]).splitlines()
        listed = next(
            (line for line in lines if line.startswith("Available versions:")), ""
        )
        return [
            number.strip()
            for number in listed.partition(":")[2].split(",")
            if number.strip()
        ][::-1]

    def _command(self, options: Sequence[str]) -> list[str]:
        """The command that runs what follows it; no project around it binds what uv may choose."""
        apart = ["--isolated", "--no-project", "--project", self._trigru]
        return [
            self._uv,
            "run",
            "--quiet",
            *apart,
            "--compile-bytecode",
            "--python",
            self.python,
            *options,
            "--",
        ]


def requirements_of(requires: Iterable[str]) -> list[str]:
    """The requirements of trigru: of `SUBJECTS` the name alone, since a set decides about their versions."""
    return [
        r.name if r.name.lower() in SUBJECTS else str(r).partition(";")[0].strip()
        for r in required(requires)
    ]


def _link_trigru(folder: Path) -> None:
    """Fill a folder with this trigru alone, so that its bounds on the frameworks do not bind a set."""
    root = Path(__file__).parents[2]
    rooms = {name: root / name for name in ("common", "impls", "bench", "parity")}
    if not rooms["parity"].is_dir():  # it is read from a clone
        rooms["parity"] = root / "impls/parity/public"
    (folder / "trigru").mkdir()
    for name, room in rooms.items():
        (folder / "trigru" / name).symlink_to(room)
    known = (
        (of, file) for of in distributions(name="trigru") for file in of.files or ()
    )
    of, metadata = next((of, file) for of, file in known if file.name == "METADATA")
    (folder / metadata.parent.name).symlink_to(str(of.locate_file(metadata.parent)))


def _run(command: Sequence[str]) -> str:
    """The output of a uv command. Raises an InputError if there is no such Python, else an EnvironmentFailedError."""
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
        raise EnvironmentFailedError(
            f"uv took longer than {LIMIT_S:g} s.", lasting=False
        ) from error
    if "No interpreter found" in done.stderr:  # as of any other set
        raise InputError(f"--python: {brief(done.stderr)}")
    if done.returncode:
        reason = brief(done.stderr) or f"uv ended with {done.returncode}."
        raise EnvironmentFailedError(reason, lasting=UNSOLVABLE in done.stderr)
    return done.stdout


def _find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    if found := str(beside) if beside.exists() else shutil.which("uv"):
        return found
    raise UnavailableError(
        "environments are made by uv, which is not installed: pip install uv."
    )
