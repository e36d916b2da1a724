"""Which release changed something: by days, then by packages, then by the releases between.

The search does not know what it looks for: it is given something that says of a version set whether it is still good.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate

from packaging.version import Version

from ...common.errors import InputError, TrigruError, UnjudgedError
from ..results.grouping import grouped
from .versions import SUBJECTS, VersionSet

#: Whether a set is good: None where it cannot be told, since it does not install or run.
Judge = Callable[[VersionSet], bool | None]
#: The versions of packages, by name; and all those of a package, from the oldest to the newest.
Versions = dict[str, str]
Releases = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Culprit:
    """The nearest sets of which one is good and one is bad."""

    good: VersionSet
    bad: VersionSet
    changed: dict[str, tuple[str, str]]  # the packages that differ between them, with both versions
    asked: int  # how many sets were judged
    skipped: list[str]  # sets that could not be judged


def bisect(
    good: VersionSet, bad: VersionSet, judge: Judge, resolve: Callable[[VersionSet], Versions], releases: Releases
) -> Culprit:
    """Find the neighbouring releases between which something changed. Each set of versions is judged once.

    Args:
        good, bad: both by days, or both by versions of the same packages.
        resolve: says which versions a set gets.

    Raises:
        TrigruError: the good set is not good, the bad one is, or no framework moved between the nearest days.
        UnjudgedError: one of the two cannot be judged.
    """
    _check_order(good, bad)
    judged: dict[VersionSet, bool | None] = {}

    def is_good(of: VersionSet) -> bool | None:
        if of not in judged:  # whatever it is called
            judged[of] = judge(of)
        return judged[of]

    for of, wanted, what in ((good, True, "is not good"), (bad, False, "is as GOOD is")):
        if is_good(of) is None:
            raise UnjudgedError(f"{of.name} cannot be judged: it does not install, or the check does not run with it.")
        if is_good(of) != wanted:
            raise TrigruError(f"{of.name} {what}: there is nothing between GOOD and BAD to be found.")
    if good.day is not None and bad.day is not None:
        days = (good.day + timedelta(days=n) for n in range((bad.day - good.day).days + 1))
        nearest = _first_bad([VersionSet(day.isoformat(), good.requirements, day) for day in days], is_good)
        was, now = ({name: v for name, v in resolve(of).items() if name in SUBJECTS} for of in nearest)
    else:
        was, now = _versions(good), _versions(bad)
    good, bad = _first_bad([_pinned(step) for step in _packages(was, now)], is_good)
    between = _releases(_versions(good), _versions(bad), releases)
    good, bad = _first_bad([good, *map(_pinned, between), bad], is_good)
    changed = _moved(_versions(good), _versions(bad))
    if not changed:
        raise TrigruError("none of the frameworks moved between the nearest days: what changed is another package.")
    return Culprit(good, bad, changed, len(judged), [of.name for of, answer in judged.items() if answer is None])


def _check_order(good: VersionSet, bad: VersionSet) -> None:
    if good.day is not None and bad.day is not None:
        is_reversed = good.day >= bad.day
    else:
        moved = [ends for ends in _moved(_versions(good), _versions(bad)).values() if "none" not in ends]
        is_reversed = bool(moved) and all(Version(was) > Version(now) for was, now in moved)
    if is_reversed:
        raise InputError(f"GOOD, {good.name}, has to be before BAD, {bad.name}: exchange them.")


def _first_bad(sets: Sequence[VersionSet], is_good: Judge) -> tuple[VersionSet, VersionSet]:
    """The nearest judged neighbours, of sets whose first is good and whose last is bad."""
    low, high = 0, len(sets) - 1
    while high - low > 1:
        # where one cannot be judged, its nearest neighbours are tried
        tried = sorted(range(low + 1, high), key=lambda number: abs(number - (low + high) // 2))
        number = next((n for n in tried if is_good(sets[n]) is not None), None)
        if number is None:
            break
        low, high = (number, high) if is_good(sets[number]) else (low, number)
    return sets[low], sets[high]


def _packages(was: Versions, now: Versions) -> list[Versions]:
    """Versions that move one package after the other; jax and jaxlib together, since they are bound to each other."""
    moved = [name for name in dict.fromkeys((*SUBJECTS, *now)) if name in _moved(was, now)]
    groups = grouped(moved, lambda name: "jax" if name == "jaxlib" else name).values()
    steps = accumulate(groups, lambda step, group: step | {name: now[name] for name in group}, initial=was)
    return [*[*steps][: max(len(groups), 1)], now]


def _releases(was: Versions, now: Versions, releases: Releases) -> Iterator[Versions]:
    """Where one package is left, the versions with each of its releases between."""
    moved = _moved(was, now)
    names = [name for name in moved if name != "jaxlib"]
    if len(names) == 1 and names[0] in was:
        known, ends = list(releases(names[0])), (was[names[0]], now[names[0]])
        if set(ends) <= set(known):
            for number in known[known.index(ends[0]) + 1 : known.index(ends[1])]:
                yield was | dict.fromkeys(moved if names == ["jax"] else names, number)


def _moved(was: Versions, now: Versions) -> dict[str, tuple[str, str]]:
    return {name: (was.get(name, "none"), now[name]) for name in now if was.get(name) != now[name]}


def _pinned(versions: Versions) -> VersionSet:
    requirements = tuple(f"{name}=={number}" for name, number in versions.items())
    return VersionSet(" ".join(requirements), requirements)


def _versions(of: VersionSet) -> Versions:
    exact = [requirement.partition("==") for requirement in of.requirements]
    if not all(equals for _, equals, _ in exact):
        raise InputError(f"{of.name}: expected exact versions, as jax==0.6.2 jaxlib==0.6.2.")
    return {name: number for name, _, number in exact}
