"""`trigru bisect`: which release changed something."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import typer

from ...common.errors import InputError, UnknownNameError
from ...impls import port_names
from ..reporting.console import say, show_lines
from ..reporting.findings import Format, answered, written
from ..upgrades.bisect import bisect as search
from ..upgrades.changes import changes
from ..upgrades.environments import EnvironmentFailedError, Environments
from ..upgrades.files import Read, is_snapshot, load
from ..upgrades.matrix import place_of
from ..upgrades.record import KINDS, Change
from ..upgrades.tables import change_lines, finding_of
from ..upgrades.versions import VersionSet, read_set
from .arguments import Names, claim_folder
from .options import choose

#: The kinds that need a proof of equality; the others are quicker without.
PROVEN = ("broken", "function")
#: What a command says when a set cannot be judged, as for `git bisect run`.
SKIP = 125
#: What a shell says of a command that is not there, or is none.
NOT_RUN = (126, 127)
COMMAND_LIMIT_S = 3600.0


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
            raise typer.BadParameter("pass --fact, or a command after --, and not both.")
        if fact is not None and (fact not in KINDS or fact == "better"):
            raise UnknownNameError("fact", fact, [kind for kind in KINDS if kind != "better"])
        choose("port", ports, port_names())
        sets = read_set(good), read_set(bad)
        if (sets[0].day is None) != (sets[1].day is None):
            raise InputError("GOOD and BAD have to be both days, or both versions.")
        environments = Environments(python, more or ())
        arguments = [f"--port={name}" for name in ports or ()] + ["--no-equality"] * (fact not in PROVEN)
        between = partial(_changes, environments, output, ports, arguments)

        def judge(of: VersionSet) -> bool | None:
            try:
                if fact is None:
                    is_good = by_command(words, environments, of)
                else:
                    is_good = all(change.kind != fact for change in between(sets[0], of))
            except EnvironmentFailedError as error:
                say(f"{of.name}: {error}")
                is_good = None
            say(f"{of.name}: {'cannot be judged' if is_good is None else 'as before' if is_good else 'changed'}")
            return is_good

        with answered(format, "trigru bisect"):
            found = search(*sets, judge, lambda of: environments.get(of).versions, environments.releases)
        by = "a count or bits, which are exact" if fact else f"the exit codes of {words[0]}"
        answer = [
            f"It changed with {', '.join(f'{name} {old} -> {new}' for name, (old, new) in found.changed.items())}.",
            f"{found.asked} version sets were judged, by {by}.",
        ]
        if found.skipped:
            answer.append(f"{len(found.skipped)} could not be judged: {'; '.join(found.skipped)}")
        changed = [] if fact is None else [c for c in between(found.good, found.bad) if c.kind != "better"]
        if format != "text":
            typer.echo(written(format, "trigru bisect", answer, [finding_of(change) for change in changed]))
        else:
            show_lines([*answer, *([] if fact is None else ["", *change_lines(changed, (fact,))])])


def by_command(command: Sequence[str], environments: Environments, of: VersionSet) -> bool | None:
    """Whether a command ends with 0 in the environment of a set; None where the set cannot be judged."""
    code, said = environments.get(of).run(command, COMMAND_LIMIT_S)
    if code in NOT_RUN:
        raise InputError(f"the command cannot be run: {said}")
    return None if code == SKIP or not 0 <= code < 128 else code == 0  # 128 + a signal


def _changes(
    environments: Environments, folder: Path, ports: Names, arguments: Sequence[str], old: VersionSet, new: VersionSet
) -> list[Change]:
    """What changed between two sets, in some ports and their frameworks' parts; snapshots are taken once, and kept."""
    read: list[Read] = []
    for of in (old, new):
        place = folder / place_of(of, environments.python, arguments)
        if not is_snapshot(place):
            environments.get(of).snapshot(place, arguments)
        read.append(load(place))
    mine = {subject.name for subject in read[0][0].subjects if not ports or subject.framework in ports}
    return [change for change in changes(*read) if change.subject in mine]
