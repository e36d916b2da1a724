"""Version sets: what a user may have installed, named by versions, by a day, or by a range of days.

Environments of them: uv makes these from wheels, keeps them in its cache, and runs commands in them.
"""

import atexit
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
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution, distributions, requires
from pathlib import Path

from dateutil.relativedelta import relativedelta
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ...common.errors import InputError, TrigruError, UnavailableError, brief
from ..processes.child import environment, interpreter
from ..processes.commands import run_command
from ..processes.scratch import scratch

#: The distributions whose releases a set is about; all else that trigru needs is taken as new as it comes.
SUBJECTS = ("jax", "jaxlib", "flax", "equinox", "optax", "orbax-checkpoint", "chex", "numpy", "scipy", "ml-dtypes")
#: The extras of trigru that its commands need.
EXTRAS = ("bench", "equinox", "flax")
_DAY = re.compile(r"\d{4}-\d{2}(-\d{2})?")
_EVERY = re.compile(r"(\d{0,15}) ?(day|week|month|year)s?")
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


@dataclass(frozen=True)
class VersionSet:
    """Requirements to install together."""

    name: str = field(compare=False)  # as tables show it, and as a user may write it
    requirements: tuple[str, ...] = ()  # with versions; the newest of what is not named
    day: date | None = None  # only releases of before the end of this day count; None for all


def read_set(text: str) -> VersionSet:
    """A set as users write it: a day, as 2025-01-31 or 2025-01, or what is installed, as "jax==0.6.2 ./flax".

    Beside versions, a part may be the folder of a clone, a wheel, or a commit, as git+file:///home/me/flax@main.
    Raises an InputError if it is none of these.
    """
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
            raise InputError(f"version set {text!r}: {part!r} names no version. Write {requirement.name}==...")
    return VersionSet(text, parts)


def is_source(requirement: str) -> bool:
    """Whether a requirement is a path or an address, which may hold other code the next time, and not a version."""
    return "@ " not in requirement and ("/" in requirement or os.sep in requirement or requirement.endswith(".whl"))


def name_of(requirement: str) -> str:
    """The distribution that a requirement is of; an address ends with its name, and maybe a commit.

    Raises an InputError if a folder has no pyproject.toml that names one.
    """
    place = Path(requirement)
    if not is_source(requirement):
        return canonicalize_name(Requirement(requirement).name)
    if not place.is_dir():
        last = requirement.partition("#")[0].rpartition("/")[2].partition("@")[0]
        return canonicalize_name(last.split("-")[0] if last.endswith(".whl") else last.removesuffix(".git"))
    try:
        return canonicalize_name(tomllib.loads((place / "pyproject.toml").read_text())["project"]["name"])
    except (OSError, ValueError, KeyError) as error:
        text = f"{requirement}: expected the folder of a package, with a name in its pyproject.toml."
        raise InputError(text) from error


def with_candidates(candidates: Iterable[str]) -> VersionSet:
    """What is installed here, with other versions, paths or commits of some packages."""
    of = read_set(" ".join(candidates))
    named = {name_of(requirement) for requirement in of.requirements}
    named |= {"jaxlib"} if "jax" in named else set()
    here = {name: number.partition(" ")[0].rstrip(",") for name, number in installed().items()}
    kept = [f"{name}=={here[name]}" for name in SUBJECTS if name in here and name not in named]
    return VersionSet(of.name, (*of.requirements, *kept))


def read_day(text: str) -> date:
    """A day, or the first of a month. Raises an InputError if it is none, or lies in the future."""
    try:
        day = date.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError as error:
        raise InputError(f"{text!r} is no day: write 2025-01-31, or 2025-01 for the first of a month.") from error
    if day > today():
        raise InputError(f"{text} is in the future.")
    return day


def today() -> date:
    """The day, in UTC, as registries count."""
    return datetime.now(UTC).date()


def days_between(first: date, every: str, end: date | None = None) -> list[VersionSet]:
    """A set for each of some days, every "2months", "week" or "10 days", and for today, which is always the end."""
    step = _EVERY.fullmatch(every.strip().lower())
    if not step or int(step[1] or 1) == 0:
        raise InputError(f"--every {every!r}: expected a time, as 2months, week or 10days.")
    number, end = int(step[1] or 1), end or today()
    days: list[date] = []
    with suppress(OverflowError, ValueError):  # beyond the last day that there is
        while (day := first + relativedelta(**{f"{step[2]}s": len(days) * number})) < end:  # pyright: ignore[reportArgumentType]
            days.append(day)
    return [VersionSet(day.isoformat(), (), day) for day in (*days, end)]


def requirements_of(requires: Iterable[str]) -> tuple[list[str], list[str]]:
    """The requirements of trigru with `EXTRAS`: with bounds, and for `SUBJECTS` the name alone.

    A set decides about these; what the package says of them is what it was tested with.
    """
    needed = [requirement for requirement in map(Requirement, requires) if _holds(requirement, EXTRAS)]
    subjects = [requirement.name for requirement in needed if requirement.name.lower() in SUBJECTS]
    others = [str(r).partition(";")[0].strip() for r in needed if r.name.lower() not in SUBJECTS]
    return subjects, others


def installed(names: Iterable[str] = ("trigru",)) -> dict[str, str]:
    """The versions of distributions and of all that they require, trigru with `EXTRAS`; with the origin of a checkout.

    >>> {"jax", "jaxlib", "flax", "orbax-checkpoint", "ml-dtypes"} <= installed().keys()
    True
    """
    found: dict[str, str] = {}
    rest = list(names)
    while rest:
        name = canonicalize_name(rest.pop())
        if name in found:
            continue
        try:
            of = distribution(name)
        except PackageNotFoundError:
            continue
        url = json.loads(of.read_text("direct_url.json") or "{}")  # of no release; a path may identify a user
        commit, editable = url.get("vcs_info", {}).get("commit_id"), url.get("dir_info", {}).get("editable")
        local = ", editable" if editable else ", of a local file" if url else ""
        found[name] = of.version + (f", of commit {commit[:12]}" if commit else local)
        extras = EXTRAS if name == "trigru" else ("",)
        rest += [r.name for r in map(Requirement, of.requires or ()) if _holds(r, extras)]
    return found


def _holds(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Whether a requirement is one here, with one of these extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)


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
