"""Version sets: what is installed together, named by versions or by a day."""

import hashlib
import os
import re
import tomllib
from calendar import monthrange
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ...common.errors import InputError
from .installed import installed

#: The distributions whose releases a set is about. All else that trigru needs is taken
#: as new as it comes.
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
#: Units of time as days, or as months.
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}


@dataclass(frozen=True)
class VersionSet:
    """Requirements to install together.

    Attributes:
        name: as tables show it, and as a user may write it.
        requirements: with versions; of what is not named, it is the newest.
        day: only releases of before the end of this day count; None for all.
    """

    name: str = field(compare=False)
    requirements: tuple[str, ...] = ()
    day: date | None = None

    @property
    def has_sources(self) -> bool:
        """Whether a requirement may be of other code the next time."""
        return any(is_source(requirement) for requirement in self.requirements)

    def folder(self, python: str, arguments: Sequence[str]) -> str:
        """The name of the folder of its snapshot.

        It is another for each Python, and for other arguments of `trigru snapshot`. A
        long set keeps its beginning and its end, where sets differ.
        """
        content = "\n".join([self.name, python, *arguments])
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        name = re.sub(r"[^0-9A-Za-z.=-]+", "_", self.name)
        if len(name) > 60:
            name = f"{name[:30]}...{name[-27:]}"
        return f"{name}-{digest}"


def read_set(text: str) -> VersionSet:
    """A set as users write it: a day, or versions, folders of clones, wheels, commits.

    Raises an InputError if it is none.
    """
    text = " ".join(text.split())
    if _DAY.fullmatch(text):
        day = read_day(text)
        return VersionSet(day.isoformat(), (), day)
    requirements = tuple(text.split(" "))
    for requirement in requirements:
        _check(requirement, text)
    return VersionSet(text, requirements)


def is_source(requirement: str) -> bool:
    """Whether a requirement is a path or an address, and not a version."""
    if "@ " in requirement:
        return False
    is_path = "/" in requirement or os.sep in requirement
    return is_path or requirement.endswith(".whl")


def name_of(requirement: str) -> str:
    """The distribution that a requirement is of.

    A folder's pyproject.toml names it; else there is an InputError.
    """
    if not is_source(requirement):
        return canonicalize_name(Requirement(requirement).name)
    folder = Path(requirement)
    if not folder.is_dir():
        last = requirement.partition("#")[0].rpartition("/")[2].partition("@")[0]
        if last.endswith(".whl"):
            return canonicalize_name(last.split("-")[0])
        return canonicalize_name(last.removesuffix(".git"))
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
        return canonicalize_name(tomllib.loads(text)["project"]["name"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{requirement}: expected the folder of a package, with a name in its "
            "pyproject.toml."
        ) from error


def with_candidates(candidates: Iterable[str]) -> VersionSet:
    """What is installed here, with other versions, paths or commits of some
    packages.
    """
    candidate_set = read_set(" ".join(candidates))
    named = {name_of(requirement) for requirement in candidate_set.requirements}
    if "jax" in named:
        named.add("jaxlib")
    kept: list[str] = []
    versions = installed()
    for name in SUBJECTS:
        if name in versions and name not in named:
            number = versions[name].partition(" ")[0].rstrip(",")  # without an origin
            kept.append(f"{name}=={number}")
    return VersionSet(candidate_set.name, (*candidate_set.requirements, *kept))


def read_day(text: str) -> date:
    """A day, or the first of a month.

    Raises an InputError if it is none, or lies in the future.
    """
    try:
        day = date.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError as error:
        raise InputError(
            f"{text!r} is no day: write 2025-01-31, or 2025-01 for the first of a "
            "month."
        ) from error
    if day > today():
        raise InputError(f"{text} is in the future.")
    return day


def today() -> date:
    """The day, in UTC, as registries count."""
    return datetime.now(UTC).date()


def days_between(first: str, every: str, end: date | None = None) -> list[VersionSet]:
    """A set for each of some days, and for the last, which is today by default.

    Args:
        first: the first day.
        every: the time between days, as "2months", "week" or "10 days".
        end: the last day.
    """
    match = _EVERY.fullmatch(every.strip().lower())
    number = int(match[1] or 1) if match else 0
    if match is None or number == 0:
        raise InputError(
            f"--every {every!r}: expected a time, as 2months, week or 10days."
        )
    start = read_day(first)
    end = end or today()
    days: list[date] = []
    with suppress(OverflowError, ValueError):  # beyond the last day that there is
        day = start
        while day < end:
            days.append(day)
            day = _later(start, len(days) * number, match[2])
    return [VersionSet(day.isoformat(), (), day) for day in (*days, end)]


def _check(requirement: str, text: str) -> None:
    """Raise an InputError if a requirement of a set names no version and no place."""
    if is_source(requirement):
        name_of(requirement)  # raises if it has none
        return
    try:
        parsed = Requirement(requirement)
    except InvalidRequirement as error:
        raise InputError(
            f"version set {text!r}: {requirement!r} is neither a day, as 2025-01-31, "
            "nor a version, as jax==0.6.2, nor a path or commit, as ./flax or "
            "git+file:///home/me/flax@main."
        ) from error
    if parsed.url or not parsed.specifier:
        raise InputError(
            f"version set {text!r}: {requirement!r} names no version. "
            f"Write {parsed.name}==..."
        )


def _later(day: date, number: int, unit: str) -> date:
    """The day so many units of time later; of a shorter month, its last day."""
    if unit in _DAYS:
        return day + timedelta(days=number * _DAYS[unit])
    months_since_january = day.month - 1 + number * _MONTHS[unit]
    more_years, month_index = divmod(months_since_january, 12)
    year = day.year + more_years
    month = month_index + 1
    _, last_day = monthrange(year, month)
    return date(year, month, min(day.day, last_day))
