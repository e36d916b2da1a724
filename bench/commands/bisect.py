"""`trigru bisect`: which release changed something, by days, then by packages, then by the releases between."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from pathlib import Path

import typer

from ...common.errors import InputError, TrigruError, UnjudgedError
from ...impls import port_names
from ..reporting.console import say, show_lines
from ..reporting.findings import Format, answered, written
from ..results.grouping import grouped
from ..upgrades.changes import changes
from ..upgrades.environments import (
    SUBJECTS,
    EnvironmentFailedError,
    Environments,
    VersionSet,
    read_set,
)
from ..upgrades.record import KINDS, Change, Read, is_snapshot, load
from ..upgrades.tables import change_lines, finding_of
from .arguments import Names, claim_folder
from .options import choose

PROVEN = (
    "broken",
    "function",
)  # kinds that need a proof of equality; the others are quicker without
#: What a command says when a set cannot be judged, as for `git bisect run`; and a shell of what it cannot run.
SKIP, NOT_RUN, COMMAND_LIMIT_S = 125, (126, 127), 3600.0
Judge = Callable[
    [VersionSet], bool | None
]  # whether a set is good; None where it does not install or run
Versions = dict[str, str]  # of packages, by name
Releases = Callable[
    [str], Sequence[str]
]  # all versions of a package, from the oldest to the newest


def bisect(
    good: str,
    bad: str,
    command: Names,
    fact: str | None,
    ports: Names,
    python: str | None,
    more: Names,
    format: Format,
    output: Path,
) -> None:
    """Find the release, and print it with what differs. Raises a TrigruError if nothing is found between them."""
    words = command or []
    with claim_folder(output, timing=False):
        if (fact is None) == (not words):
            raise typer.BadParameter(
                "pass --fact, or a command after --, and not both."
            )
        choose(
            "fact",
            None if fact is None else [fact],
            [kind for kind in KINDS if kind != "better"],
        )
        choose("port", ports, port_names())
        sets = read_set(good), read_set(bad)
        if (sets[0].day is None) != (sets[1].day is None):
            raise InputError("GOOD and BAD have to be both days, or both versions.")
        environments = Environments(python, more or ())
        arguments = [f"--port={name}" for name in ports or ()] + ["--no-equality"] * (
            fact not in PROVEN
        )

        def between(old: VersionSet, new: VersionSet) -> list[Change]:
            # of the ports asked about, and their frameworks' parts; snapshots are taken once, and kept
            read: list[Read] = []
            for of in (old, new):
                place = output / of.folder(environments.python, arguments)
                if not is_snapshot(place):
                    environments.get(of).snapshot(place, arguments)
                read.append(load(place))
            mine = {
                subject.name
                for subject in read[0][0].subjects
                if not ports or subject.framework in ports
            }
            return [change for change in changes(*read) if change.subject in mine]

        def judge(of: VersionSet) -> bool | None:
            try:
                if fact is None:
                    is_good = by_command(words, environments, of)
                else:
                    is_good = all(
                        change.kind != fact for change in between(sets[0], of)
                    )
            except EnvironmentFailedError as error:
                say(f"{of.name}: {error}")
                is_good = None
            say(
                f"{of.name}: {'cannot be judged' if is_good is None else 'as before' if is_good else 'changed'}"
            )
            return is_good

        with answered(format, "trigru bisect"):
            result = search(
                *sets,
                judge,
                lambda of: environments.get(of).versions,
                environments.releases,
            )
        by = (
            "a count or bits, which are exact"
            if fact
            else f"the exit codes of {words[0]}"
        )
        answer = [
            f"It changed with {', '.join(f'{name} {old} -> {new}' for name, (old, new) in result.moved.items())}.",
            f"{result.judged} version sets were judged, by {by}.",
        ]
        if result.skipped:
            answer.append(
                f"{len(result.skipped)} could not be judged: {'; '.join(result.skipped)}"
            )
        changed = (
            []
            if fact is None
            else [c for c in between(result.good, result.bad) if c.kind != "better"]
        )
        if format != "text":
            typer.echo(
                written(
                    format,
                    "trigru bisect",
                    answer,
                    [finding_of(change) for change in changed],
                )
            )
        else:
            show_lines(
                [
                    *answer,
                    *([] if fact is None else ["", *change_lines(changed, (fact,))]),
                ]
            )


def by_command(
    command: Sequence[str], environments: Environments, of: VersionSet
) -> bool | None:
    """Whether a command ends with 0 in the environment of a set; None where the set cannot be judged."""
    code, said = environments.get(of).run(command, COMMAND_LIMIT_S)
    if code in NOT_RUN:
        raise InputError(f"the command cannot be run: {said}")
    return None if code == SKIP or not 0 <= code <= 128 else code == 0  # 128 + a signal


# The search, which does not know what it looks for -------------------------------------------------------------------


@dataclass(frozen=True)
class Culprit:
    """The nearest sets of which one is good and one is bad."""

    good: VersionSet
    bad: VersionSet
    moved: dict[
        str, tuple[str, str]
    ]  # the packages that differ between them, with both versions; "none" for a new one
    judged: int  # how many sets were judged
    skipped: list[str]  # the names of those that could not be


def search(
    good: VersionSet,
    bad: VersionSet,
    judge: Judge,
    resolve: Callable[[VersionSet], Versions],
    releases: Releases,
) -> Culprit:
    """Find the neighbouring releases between which something changed. Each set is judged once.

    Both sets are days, or versions of the same packages. `resolve` says which versions a set gets.

    Raises a TrigruError where there is nothing to be found: the good set is not before the bad one, or not good, or the
    bad one is; or no framework moved between the nearest days. An UnjudgedError: one of the two cannot be judged.
    """
    from packaging.version import (
        Version,
    )  # here: without the extra, the message names msgspec

    days = [] if good.day is None or bad.day is None else [good.day, bad.day]
    ends = (
        []
        if days
        else [
            ends
            for ends in _moved(_versions(good), _versions(bad)).values()
            if "none" not in ends
        ]
    )
    if (days and days[0] >= days[1]) or (
        ends and all(Version(was) > Version(now) for was, now in ends)
    ):
        raise InputError(
            f"GOOD, {good.name}, has to be before BAD, {bad.name}: exchange them."
        )
    judged: dict[VersionSet, bool | None] = {}

    def is_good(of: VersionSet) -> bool | None:
        if of not in judged:  # whatever it is called
            judged[of] = judge(of)
        return judged[of]

    for of, wanted, what in (
        (good, True, "is not good"),
        (bad, False, "is as GOOD is"),
    ):
        if is_good(of) is None:
            raise UnjudgedError(
                f"{of.name} cannot be judged: it does not install, or the check does not run with it."
            )
        if is_good(of) != wanted:
            raise TrigruError(
                f"{of.name} {what}: there is nothing between GOOD and BAD to be found."
            )
    if days:
        each = (
            days[0] + timedelta(days=n) for n in range((days[1] - days[0]).days + 1)
        )
        nearest = _first_bad(
            [VersionSet(day.isoformat(), good.requirements, day) for day in each],
            is_good,
        )
        was, now = (
            {name: v for name, v in resolve(of).items() if name in SUBJECTS}
            for of in nearest
        )
    else:
        was, now = _versions(good), _versions(bad)
    good, bad = _first_bad([_pinned(step) for step in _packages(was, now)], is_good)
    between = _releases(_versions(good), _versions(bad), releases)
    good, bad = _first_bad([good, *map(_pinned, between), bad], is_good)
    moved = _moved(_versions(good), _versions(bad))
    if not moved:
        raise TrigruError(
            "none of the frameworks moved between the nearest days: what changed is another package."
        )
    return Culprit(
        good,
        bad,
        moved,
        len(judged),
        [of.name for of, answer in judged.items() if answer is None],
    )


def _first_bad(
    sets: Sequence[VersionSet], is_good: Judge
) -> tuple[VersionSet, VersionSet]:
    """The nearest judged neighbours, of sets whose first is good and whose last is bad."""
    low, high = 0, len(sets) - 1
    while high - low > 1:
        # where one cannot be judged, its nearest neighbours are tried
        tried = sorted(
            range(low + 1, high), key=lambda number: abs(number - (low + high) // 2)
        )
        number = next((n for n in tried if is_good(sets[n]) is not None), None)
        if number is None:
            break
        low, high = (number, high) if is_good(sets[number]) else (low, number)
    return sets[low], sets[high]


def _packages(was: Versions, now: Versions) -> list[Versions]:
    """Versions that move one package after the other; jax and jaxlib together, since they are bound to each other."""
    moved = [
        name for name in dict.fromkeys((*SUBJECTS, *now)) if name in _moved(was, now)
    ]
    groups = grouped(moved, lambda name: "jax" if name == "jaxlib" else name).values()
    steps = accumulate(
        groups,
        lambda step, group: step | {name: now[name] for name in group},
        initial=was,
    )
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
    return {
        name: (was.get(name, "none"), now[name])
        for name in now
        if was.get(name) != now[name]
    }


def _pinned(versions: Versions) -> VersionSet:
    requirements = tuple(f"{name}=={number}" for name, number in versions.items())
    return VersionSet(" ".join(requirements), requirements)


def _versions(of: VersionSet) -> Versions:
    exact = [requirement.partition("==") for requirement in of.requirements]
    if not all(equals for _, equals, _ in exact):
        raise InputError(
            f"{of.name}: expected exact versions, as jax==0.6.2 jaxlib==0.6.2."
        )
    return {name: number for name, _, number in exact}
