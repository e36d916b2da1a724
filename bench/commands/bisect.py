"""`trigru bisect`: which release changed something."""

from collections.abc import Sequence
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
    """Find the release, and print it with what differs. Raises a BisectError if nothing is found between them."""
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
        snapshots = _Snapshots(environments, output, ports, proven=fact in PROVEN)

        def judge(of: VersionSet) -> bool | None:
            try:
                is_good = by_command(words, environments, of) if fact is None else snapshots.is_good(fact, sets[0], of)
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
        between = snapshots.changes(found.good, found.bad) if fact is not None else []
        between = [change for change in between if change.kind != "better"]
        if format != "text":
            typer.echo(written(format, "trigru bisect", answer, [finding_of(change) for change in between]))
        else:
            show_lines([*answer, *(["", *change_lines(between, (fact,))] if fact is not None else [])])


def by_command(command: Sequence[str], environments: Environments, of: VersionSet) -> bool | None:
    """Whether a command ends with 0 in the environment of a set; None where the set cannot be judged."""
    code, said = environments.get(of).run(command, COMMAND_LIMIT_S)
    if code in NOT_RUN:
        raise InputError(f"the command cannot be run: {said}")
    return None if code == SKIP or not 0 <= code < 128 else code == 0  # 128 + a signal


class _Snapshots:
    """Snapshots of version sets, each taken once and kept in a folder."""

    def __init__(self, environments: Environments, folder: Path, ports: Sequence[str] | None, *, proven: bool):
        self._environments, self._folder = environments, folder
        self._ports = set(ports or port_names())
        self._arguments = [f"--port={name}" for name in ports or ()] + ([] if proven else ["--no-equality"])

    def get(self, of: VersionSet) -> Read:
        """The snapshot of a set. Raises an EnvironmentFailedError where it does not install or run."""
        place = self._folder / place_of(of, self._environments.python, self._arguments)
        if not is_snapshot(place):
            self._environments.get(of).snapshot(place, self._arguments)
        return load(place)

    def changes(self, old: VersionSet, new: VersionSet) -> list[Change]:
        """What changed between two sets, in the ports that were asked for and in their frameworks' own parts."""
        was, now = self.get(old), self.get(new)
        mine = {subject.name for subject in was[0].subjects if subject.framework in self._ports}
        return [change for change in changes(was, now) if change.subject in mine]

    def is_good(self, fact: str, good: VersionSet, of: VersionSet) -> bool:
        """Whether nothing of a kind changed since a good set."""
        return not any(change.kind == fact for change in self.changes(good, of))
