"""The search for the release that changed something: by days, packages, then releases.

It does not know what it looks for: a function judges each version set.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ...common.errors import InputError, TrigruError, UnjudgedError
from .version_sets import SUBJECTS, VersionSet

#: Whether a set is good; None where it does not install, or does not run.
Judge = Callable[[VersionSet], bool | None]
Versions = dict[str, str]  # of packages, by name


@dataclass(frozen=True)
class Culprit:
    """The nearest sets of which one is good and one is bad.

    Attributes:
        good: the last set that is good.
        bad: the first that is not.
        moved: the packages that differ between them, with both versions; the older one
            of a new package is "none".
        judged: how many sets were judged.
        skipped: the names of those that could not be.
    """

    good: VersionSet
    bad: VersionSet
    moved: dict[str, tuple[str, str]]
    judged: int
    skipped: list[str]


def search(
    good: VersionSet,
    bad: VersionSet,
    judge: Judge,
    resolve: Callable[[VersionSet], Versions],
    releases: Callable[[str], Sequence[str]],
) -> Culprit:
    """Find the neighbouring releases between which something changed.

    Args:
        good: a day, or exact versions of packages.
        bad: a later day, or later versions of the same packages.
        judge: says whether a set is good. Each set is judged once.
        resolve: says which versions a set gets.
        releases: all versions of a package, from the oldest to the newest.

    Raises:
        InputError: the good set is not before the bad one.
        TrigruError: there is nothing to be found. The good set is not good, or the bad
            one is; or no framework moved between the nearest days.
        UnjudgedError: one of the two sets cannot be judged.
    """
    _check_order(good, bad)
    verdicts: dict[VersionSet, bool | None] = {}

    def is_good(version_set: VersionSet) -> bool | None:
        if version_set not in verdicts:
            verdicts[version_set] = judge(version_set)
        return verdicts[version_set]

    _check_verdict(good, is_good, wanted=True, otherwise="is not good")
    _check_verdict(bad, is_good, wanted=False, otherwise="is as GOOD is")
    if good.day is None or bad.day is None:
        before, after = _exact_versions(good), _exact_versions(bad)
    else:
        days = _sets_of_days(good, good.day, bad.day)
        last_good, first_bad = _first_bad(days, is_good)
        before = _of_subjects(resolve(last_good))
        after = _of_subjects(resolve(first_bad))

    steps = [_pinned(versions) for versions in _package_steps(before, after)]
    good, bad = _first_bad(steps, is_good)
    between = _releases_between(_exact_versions(good), _exact_versions(bad), releases)
    steps = [good, *(_pinned(versions) for versions in between), bad]
    good, bad = _first_bad(steps, is_good)
    moved = _moved(_exact_versions(good), _exact_versions(bad))
    if not moved:
        raise TrigruError(
            "none of the frameworks moved between the nearest days: what changed is "
            "another package."
        )
    skipped = [each.name for each, verdict in verdicts.items() if verdict is None]
    return Culprit(good, bad, moved, len(verdicts), skipped)


def _check_order(good: VersionSet, bad: VersionSet) -> None:
    """Raise an InputError if the good set is not before the bad one."""
    from packaging.version import Version  # here, so that errors name the extra

    if good.day is not None and bad.day is not None:
        is_reversed = good.day >= bad.day
    else:
        moved = _moved(_exact_versions(good), _exact_versions(bad)).values()
        ends = [versions for versions in moved if "none" not in versions]
        is_back = [Version(before) > Version(after) for before, after in ends]
        is_reversed = bool(is_back) and all(is_back)
    if is_reversed:
        raise InputError(
            f"GOOD, {good.name}, has to be before BAD, {bad.name}: exchange them."
        )


def _check_verdict(
    version_set: VersionSet, is_good: Judge, *, wanted: bool, otherwise: str
) -> None:
    """Raise unless a set at an end of the search is judged as it should be."""
    verdict = is_good(version_set)
    if verdict is None:
        raise UnjudgedError(
            f"{version_set.name} cannot be judged: it does not install, or the check "
            "does not run with it."
        )
    if verdict != wanted:
        raise TrigruError(
            f"{version_set.name} {otherwise}: there is nothing between GOOD and BAD to "
            "be found."
        )


def _sets_of_days(good: VersionSet, first: date, last: date) -> list[VersionSet]:
    """A set for each day from the first to the last."""
    sets: list[VersionSet] = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        sets.append(VersionSet(day.isoformat(), good.requirements, day))
    return sets


def _first_bad(
    sets: Sequence[VersionSet], is_good: Judge
) -> tuple[VersionSet, VersionSet]:
    """The nearest judged neighbours, of sets whose first is good and whose last is bad.

    Where a set cannot be judged, its nearest neighbours are tried.
    """
    low, high = 0, len(sets) - 1
    while high - low > 1:
        middle = (low + high) // 2
        tried = sorted(range(low + 1, high), key=lambda number: abs(number - middle))
        judged = (number for number in tried if is_good(sets[number]) is not None)
        number = next(judged, None)
        if number is None:
            break
        if is_good(sets[number]):
            low = number
        else:
            high = number
    return sets[low], sets[high]


def _package_steps(before: Versions, after: Versions) -> list[Versions]:
    """Versions that move one package after the other.

    jax and jaxlib move together, since they are bound to each other.
    """
    moved = _moved(before, after)
    names = [name for name in dict.fromkeys((*SUBJECTS, *after)) if name in moved]
    versions = dict(before)
    steps = [before]
    for name in names:
        if name == "jaxlib" and "jax" in names:
            continue
        versions = versions | {name: after[name]}
        if name == "jax" and "jaxlib" in names:
            versions["jaxlib"] = after["jaxlib"]
        steps.append(versions)
    # the last step is also without the packages that went
    return [*steps[: max(len(steps) - 1, 1)], after]


def _releases_between(
    before: Versions, after: Versions, releases: Callable[[str], Sequence[str]]
) -> Iterator[Versions]:
    """Where one package is left, the versions with each of its releases between."""
    moved = _moved(before, after)
    names = [name for name in moved if name != "jaxlib"]
    if len(names) != 1 or names[0] not in before:
        return
    name = names[0]
    all_releases = list(releases(name))
    if before[name] not in all_releases or after[name] not in all_releases:
        return

    first = all_releases.index(before[name]) + 1
    end = all_releases.index(after[name])
    # jaxlib has the release of jax
    together = moved if name == "jax" else names
    for release in all_releases[first:end]:
        yield before | dict.fromkeys(together, release)


def _moved(before: Versions, after: Versions) -> dict[str, tuple[str, str]]:
    """The packages of which the later versions have another, with both."""
    moved: dict[str, tuple[str, str]] = {}
    for name, version in after.items():
        if before.get(name) != version:
            moved[name] = (before.get(name, "none"), version)
    return moved


def _of_subjects(versions: Versions) -> Versions:
    return {name: number for name, number in versions.items() if name in SUBJECTS}


def _pinned(versions: Versions) -> VersionSet:
    requirements = [f"{name}=={number}" for name, number in versions.items()]
    return VersionSet(" ".join(requirements), tuple(requirements))


def _exact_versions(version_set: VersionSet) -> Versions:
    versions: Versions = {}
    for requirement in version_set.requirements:
        name, equals, number = requirement.partition("==")
        if not equals:
            raise InputError(
                f"{version_set.name}: expected exact versions, as jax==0.6.2 "
                "jaxlib==0.6.2."
            )
        versions[name] = number
    return versions
