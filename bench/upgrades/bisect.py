"""Which release changed something: by days, then by packages, then by the releases between.

The search does not know what it looks for: it is given something that says of a version set whether it is still good.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate

from packaging.version import Version

from ...common.errors import InputError, TrigruError, UnjudgedError
from .versions import SUBJECTS, VersionSet

#: Whether a set is good: None where it cannot be told, since it does not install or run.
Judge = Callable[[VersionSet], bool | None]
#: The versions of packages, by name.
Versions = dict[str, str]


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
    good: VersionSet,
    bad: VersionSet,
    judge: Judge,
    resolve: Callable[[VersionSet], Versions],
    releases: Callable[[str], Sequence[str]],
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
    _check_order(good, bad)
    search = _Search(judge)
    for of, wanted, what in ((good, True, "is not good"), (bad, False, "is as GOOD is")):
        found = search.ask(of)
        if found is None:
            raise UnjudgedError(
                f"{of.name} cannot be judged: it does not install, or what is asked does not run with it."
            )
        if found != wanted:
            raise BisectError(f"{of.name} {what}: there is nothing between GOOD and BAD to be found.")
    if good.day is not None and bad.day is not None:
        days = (good.day + timedelta(days=n) for n in range((bad.day - good.day).days + 1))
        nearest = search.first_bad([VersionSet(day.isoformat(), good.requirements, day) for day in days])
        was, now = ({name: v for name, v in resolve(of).items() if name in SUBJECTS} for of in nearest)
    else:
        was, now = _named(good), _named(bad)
    good, bad = search.first_bad([_pinned(step) for step in _packages(was, now)])
    between = [_pinned(step) for step in _releases(_named(good), _named(bad), releases)]
    good, bad = search.first_bad([good, *between, bad])
    changed = _moved(_named(good), _named(bad))
    if not changed:
        raise BisectError("none of the frameworks moved between the nearest days: what changed is another package.")
    return Culprit(good, bad, changed, search.asked, search.skipped)


def _check_order(good: VersionSet, bad: VersionSet) -> None:
    if good.day is not None and bad.day is not None:
        reversed_ = good.day >= bad.day
    else:
        moved = [ends for ends in _moved(_named(good), _named(bad)).values() if "none" not in ends]
        reversed_ = bool(moved) and all(Version(was) > Version(now) for was, now in moved)
    if reversed_:
        raise InputError(f"GOOD, {good.name}, has to be before BAD, {bad.name}: exchange them.")


class _Search:
    """Judges sets, each once."""

    def __init__(self, judge: Judge):
        self._judge = judge
        self._known: dict[object, bool | None] = {}
        self.skipped: list[str] = []

    @property
    def asked(self) -> int:
        """How many sets were judged."""
        return len(self._known)

    def ask(self, of: VersionSet) -> bool | None:
        key = of.requirements, of.day
        if key not in self._known:
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


def _packages(was: Versions, now: Versions) -> list[Versions]:
    """Versions that move one package after the other; jax and jaxlib together, since they are bound to each other."""
    moved = [name for name in dict.fromkeys((*SUBJECTS, *now)) if name in _moved(was, now)]
    groups = [[name] for name in moved if name not in ("jax", "jaxlib")]
    if together := [name for name in moved if name in ("jax", "jaxlib")]:
        groups.insert(0, together)
    steps = accumulate(groups, lambda step, group: step | {name: now[name] for name in group}, initial=was)
    return [*[*steps][: max(len(groups), 1)], now]


def _releases(was: Versions, now: Versions, releases: Callable[[str], Sequence[str]]) -> Iterator[Versions]:
    """Where one package is left, the versions with each of its releases between."""
    moved = _moved(was, now)
    names = [name for name in moved if name != "jaxlib"]
    if len(names) == 1 and names[0] in was:
        (name,), together = names, moved if "jax" in moved else names
        known = list(releases(name))
        if was[name] in known and now[name] in known:
            for number in known[known.index(was[name]) + 1 : known.index(now[name])]:
                yield was | dict.fromkeys(together, number)


def _moved(was: Versions, now: Versions) -> dict[str, tuple[str, str]]:
    """The packages whose versions differ, with both."""
    return {name: (was.get(name, "none"), now[name]) for name in now if was.get(name) != now[name]}


def _pinned(versions: Versions) -> VersionSet:
    requirements = tuple(f"{name}=={number}" for name, number in versions.items())
    return VersionSet(" ".join(requirements), requirements)


def _named(of: VersionSet) -> Versions:
    exact = [requirement.partition("==") for requirement in of.requirements]
    if not all(equals for _, equals, _ in exact):
        raise InputError(f"{of.name}: expected exact versions, as jax==0.6.2 jaxlib==0.6.2.")
    return {name: number for name, _, number in exact}
