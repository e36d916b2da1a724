"""An environment for a version set: made by uv from wheels, kept, and never left half-made."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock
from platformdirs import user_cache_path

from ...common.errors import TrigruError, UnavailableError, brief
from ...common.files import UNFINISHED
from ..processes.child import environment
from .versions import SUBJECTS, VersionSet, requirements_of, today

#: The longest that an installation may take, in seconds.
LIMIT_S = 900.0
#: What uv says when a set has no solution; anything else may pass, as a registry that does not answer.
UNSOLVABLE = "No solution found"
#: What uv says first, and with what it draws.
_PREAMBLE, _MARKS = re.compile(r"Using Python .*|Resolved .*"), str.maketrans("×╰─▶│├", " " * 6)


class EnvironmentFailedError(TrigruError):
    """A version set could not be installed.

    Args:
        lasting: whether it never will be.
    """

    def __init__(self, said: str, *, lasting: bool):
        super().__init__(said)
        self.lasting = lasting


@dataclass(frozen=True)
class Environment:
    """An installed version set.

    Args:
        folder: of the environment.
        versions: what is installed, by name.
    """

    folder: Path
    versions: dict[str, str]

    @property
    def python(self) -> Path:
        """The interpreter."""
        return _python_of(self.folder)


class Environments:
    """The environments of this user, by version set, Python and trigru itself.

    Args:
        python: the interpreter, as uv takes it: "3.13", a path, or None for this one's version.
        more: further packages that each has, as requirements.
        folder: in which they are kept; None for the user's cache.
    """

    def __init__(self, python: str | None = None, more: Sequence[str] = (), folder: Path | None = None):
        self.python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
        if os.sep in self.python:
            self.python = os.path.abspath(self.python)
        self._more = tuple(_placed(requirement) for requirement in more)
        self._folder = (folder or user_cache_path("trigru") / "environments").absolute()
        self._uv = _find_uv()

    def get(self, of: VersionSet) -> Environment:
        """The environment of a set, made now unless it is there.

        Raises:
            EnvironmentFailedError: it cannot be made.
        """
        folder = self._folder / self._key(of)
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / f"{folder.name}.lock"):  # another matrix may want the same
            if not folder.exists():
                beside = Path(tempfile.mkdtemp(dir=self._folder, prefix=UNFINISHED))
                try:
                    self._make(beside / "made", of)
                    os.rename(beside / "made", folder)
                finally:
                    shutil.rmtree(beside, ignore_errors=True)
        return Environment(folder, self._installed(folder))

    def resolve(self, of: VersionSet) -> dict[str, str]:
        """The versions that a set would get, without installing it.

        Raises:
            EnvironmentFailedError: there are none.
        """
        command = ["pip", "compile", "--python-version", self._minor(), "--no-header", "--no-annotate", "-"]
        said = self._run([*command, *self._limits(of)], text="\n".join(self._wanted(of)))
        pairs = (line.split("==") for line in said.splitlines() if "==" in line)
        return {name.strip(): number.split(";")[0].strip() for name, number in pairs}

    def releases(self, package: str) -> list[str]:
        """The releases of a package that have wheels for this Python, from the oldest to the newest.

        Raises:
            EnvironmentFailedError: the registry does not answer.
        """
        command = ["tool", "run", "pip", "index", "versions", package, "--only-binary", ":all:"]
        said = self._run([*command, "--python-version", self._minor()])
        listed = next((line for line in said.splitlines() if line.startswith("Available versions:")), "")
        return [number.strip() for number in listed.partition(":")[2].split(",") if number.strip()][::-1]

    def _make(self, folder: Path, of: VersionSet) -> None:
        self._run(["venv", "--python", self.python, "--relocatable", str(folder)])
        python = ["--python", str(_python_of(folder))]
        self._run(["pip", "install", *python, "--compile-bytecode", *self._limits(of), *self._wanted(of)])
        self._run(["pip", "install", *python, "--no-deps", *_trigru()])

    def _wanted(self, of: VersionSet) -> list[str]:
        subjects, others = requirements_of(requires("trigru") or ())
        named = {requirement.partition("=")[0] for requirement in of.requirements}
        return [*of.requirements, *(name for name in subjects if name not in named), *others, *self._more]

    def _limits(self, of: VersionSet) -> list[str]:
        """What may be installed: wheels, and of the frameworks no release that came later."""
        limits = ["--only-binary", ":all:"]
        for name in SUBJECTS if of.day is not None else ():  # all else is no part of the question
            limits += ["--exclude-newer-package", f"{name}={of.day}T23:59:59Z"]
        return limits

    def _installed(self, folder: Path) -> dict[str, str]:
        said = self._run(["pip", "list", "--python", str(_python_of(folder)), "--format", "json"])
        return {package["name"]: package["version"] for package in json.loads(said)}

    def _key(self, of: VersionSet) -> str:
        newest = [str(today())] if of.day in (None, today()) else []  # what is newest is so for a day
        own = [*_trigru(), version("trigru"), *sorted(requires("trigru") or ())]
        text = "\n".join([self.python, str(of.day), *newest, *of.requirements, *self._more, *own])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _minor(self) -> str:
        if os.sep not in self.python:
            return ".".join(self.python.split(".")[:2])
        said = subprocess.run([self.python, "-V"], capture_output=True, text=True, timeout=60, check=True).stdout
        return ".".join(said.split()[1].split(".")[:2])

    def _run(self, arguments: list[str], text: str | None = None) -> str:
        command = [self._uv, *arguments]
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                command,
                input=text,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=LIMIT_S,
                env=environment(),
                cwd=self._folder,  # where no project binds what uv may choose
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EnvironmentFailedError(f"uv {arguments[0]} took longer than {LIMIT_S:g} s.", lasting=False) from error
        if done.returncode:
            said = brief(_PREAMBLE.sub("", done.stderr.translate(_MARKS)))
            raise EnvironmentFailedError(said or f"uv ended with {done.returncode}.", lasting=UNSOLVABLE in done.stderr)
        return done.stdout


def _placed(requirement: str) -> str:
    """A requirement that is a path, as it is from everywhere: uv runs in another folder."""
    return str(Path(requirement).absolute()) if Path(requirement).exists() else requirement


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _trigru() -> list[str]:
    """How this trigru is installed elsewhere: from its folder, where it has one, else by its version."""
    try:
        origin = distribution("trigru").read_text("direct_url.json")
    except PackageNotFoundError as error:
        raise UnavailableError("trigru is not installed, so that it cannot be installed elsewhere.") from error
    url = json.loads(origin)["url"] if origin else ""
    if url.startswith("file:"):
        folder = url2pathname(urlsplit(url).path)
        return ["--editable", folder] if Path(folder).is_dir() else [folder]
    return [f"trigru=={version('trigru')}"]


def _find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise UnavailableError("environments are made by uv, which is not installed: pip install uv.")
    return found
