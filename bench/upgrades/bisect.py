"""Which release changed something: by days, then by packages, then by the releases between.

The search does not know what it looks for: it is given something that says of a version set whether it is still good.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from packaging.version import Version

from ...common.errors import InputError, TrigruError, UnjudgedError
from .versions import SUBJECTS, VersionSet

#: Whether a set is good: None where it cannot be told, since it does not install or run.
Judge = Callable[[VersionSet], bool | None]
#: The versions that a set gets, by name.
Resolve = Callable[[VersionSet], dict[str, str]]


class BisectError(TrigruError):
    """The search has no answer."""


@dataclass
class Culprit:
    """The result of a bisection.

    Args:
        good, bad: the nearest sets that differ.
        changed: the packages that differ between them, with both versions.
        asked: how many sets were judged.
        skipped: sets that could not be judged.
    """

    good: VersionSet
    bad: VersionSet
    changed: dict[str, tuple[str, str]]
    asked: int
    skipped: list[str] = field(default_factory=list)


def bisect(
    good: VersionSet, bad: VersionSet, judge: Judge, resolve: Resolve, releases: Callable[[str], Sequence[str]]
) -> Culprit:
    """Find the neighbouring releases between which something changed.

    Args:
        good, bad: both by days, or both by versions of the same packages.
        judge: each set of versions is judged once.
        resolve: says which versions a set gets.
        releases: of a package, all its versions, from the oldest to the newest.

    Raises:
        BisectError: the good set is not good, the bad one is, or no framework moved between the nearest days.
        UnjudgedError: one of the two cannot be judged.
    """
    by_days = good.day is not None and bad.day is not None
    if by_days and good.day >= bad.day:  # pyright: ignore[reportOperatorIssue]
        raise InputError(f"GOOD, {good.name}, has to be before BAD, {bad.name}.")
    if not by_days:
        was, now = _named(good), _named(bad)
        other = [name for name in now if was.get(name, now[name]) != now[name]]
        if other and all(Version(was[name]) > Version(now[name]) for name in other):
            raise InputError(f"GOOD, {good.name}, has to be before BAD, {bad.name}: exchange them.")
    search = _Search(judge)
    for of, wanted in ((good, True), (bad, False)):
        found = search.ask(of)
        if found is None:
            raise UnjudgedError(
                f"{of.name} cannot be judged: it does not install, or what is asked does not run with it."
            )
        if found != wanted:
            is_it = "is as GOOD is" if not wanted else "is not good"
            raise BisectError(f"{of.name} {is_it}: there is nothing between GOOD and BAD to be found.")
    if by_days:
        good, bad = _by_days(good, bad, search)
        was, now = _subjects(resolve(good)), _subjects(resolve(bad))
        good, bad = _pinned(was), _pinned(now)
    else:
        was, now = (_named(of) for of in (good, bad))
    good, bad = _by_packages(was, now, search)
    good, bad = _by_releases(good, bad, search, releases)
    was, now = _named(good), _named(bad)
    changed = {name: (was.get(name, "none"), now.get(name, "none")) for name in now if was.get(name) != now[name]}
    if not changed:
        raise BisectError("none of the frameworks moved between the nearest days: what changed is another package.")
    return Culprit(good, bad, changed, search.asked, search.skipped)


class _Search:
    """Judges sets, each once."""

    def __init__(self, judge: Judge):
        self._judge = judge
        self._known: dict[tuple[tuple[str, ...], date | None], bool | None] = {}
        self.asked = 0
        self.skipped: list[str] = []

    def ask(self, of: VersionSet) -> bool | None:
        key = of.requirements, of.day
        if key not in self._known:
            self.asked += 1
            self._known[key] = self._judge(of)
            if self._known[key] is None:
                self.skipped.append(of.name)
        return self._known[key]

    def first_bad(self, sets: Sequence[VersionSet]) -> tuple[VersionSet, VersionSet]:
        """The nearest judged neighbours, of sets whose first is good and whose last is bad."""
        low, high = 0, len(sets) - 1
        while high - low > 1:
            middle = (low + high) // 2
            # where one cannot be judged, its nearest neighbours are tried
            tried = sorted(range(low + 1, high), key=lambda number: abs(number - middle))
            found = next(((n, answer) for n in tried if (answer := self.ask(sets[n])) is not None), None)
            if found is None:
                break
            low, high = (found[0], high) if found[1] else (low, found[0])
        return sets[low], sets[high]


def _by_days(good: VersionSet, bad: VersionSet, search: _Search) -> tuple[VersionSet, VersionSet]:
    assert good.day is not None
    assert bad.day is not None
    days = [good.day + timedelta(days=n) for n in range((bad.day - good.day).days + 1)]
    return search.first_bad([VersionSet(day.isoformat(), good.requirements, day) for day in days])


def _by_packages(was: dict[str, str], now: dict[str, str], search: _Search) -> tuple[VersionSet, VersionSet]:
    """Move one package after the other from the good versions to the bad ones; the first that makes it bad is named."""
    other = [name for name in dict.fromkeys((*SUBJECTS, *now)) if name in now and was.get(name) != now[name]]
    steps = [dict(was)]
    for group in _groups(other):
        steps.append({**steps[-1], **{name: now[name] for name in group}})
    steps[-1] = dict(now)
    return search.first_bad([_pinned(step) for step in steps])


def _groups(names: Sequence[str]) -> list[list[str]]:
    """Jax and jaxlib go together: their versions are bound to each other."""
    together = [name for name in names if name in ("jax", "jaxlib")]
    others = [[name] for name in names if name not in together]
    return [*([together] if together else []), *others]


def _by_releases(
    good: VersionSet, bad: VersionSet, search: _Search, releases: Callable[[str], Sequence[str]]
) -> tuple[VersionSet, VersionSet]:
    """Where one package is left, its releases between."""
    was, now = _named(good), _named(bad)
    other = [name for name in now if was.get(name) != now[name]]
    named = [name for name in other if name != "jaxlib"]
    if len(named) != 1 or named[0] not in was:
        return good, bad
    (name,) = named
    known = list(releases(name))
    if was[name] not in known or now[name] not in known:
        return good, bad
    between = known[known.index(was[name]) : known.index(now[name]) + 1]
    together = [name, "jaxlib"] if name == "jax" and "jaxlib" in other else [name]
    steps = [_pinned({**was, **dict.fromkeys(together, number)}) for number in between]
    return search.first_bad([good, *steps[1:-1], bad])


def _pinned(versions: dict[str, str]) -> VersionSet:
    requirements = tuple(f"{name}=={number}" for name, number in versions.items())
    return VersionSet(" ".join(requirements), requirements)


def _named(of: VersionSet) -> dict[str, str]:
    exact = [requirement.partition("==") for requirement in of.requirements]
    if not all(equals for _, equals, _ in exact):
        raise InputError(f"{of.name}: expected exact versions, as jax==0.6.2 jaxlib==0.6.2.")
    return {name: number for name, _, number in exact}


def _subjects(versions: dict[str, str]) -> dict[str, str]:
    return {name: versions[name] for name in SUBJECTS if name in versions}
