"""`trigru bisect`: which release changed something."""

from collections.abc import Sequence
from pathlib import Path

import typer

from ...common.errors import InputError
from ..reporting.console import say, show_lines
from ..reporting.findings import Format, answered, written
from .changes import compare_snapshots
from .environments import EnvironmentFailedError, Environments
from .record import FAILING, Change
from .search import Culprit, search
from .snapshot_file import Loaded, is_snapshot, load
from .user_tests import are_of_tests
from .version_sets import VersionSet, read_set
from .words import change_lines, finding_of

#: What a command says when a set cannot be judged, as for `git bisect run`.
SKIP = 125
#: What a shell says of what it cannot run.
NOT_RUN = (126, 127)
COMMAND_LIMIT_S = 3600.0


class SnapshotJudge:
    """Judges version sets by a kind of change since the good one.

    Snapshots are kept in a folder for the next time; those of tests are not, since the
    tests and what they import may have changed.
    """

    def __init__(
        self,
        environments: Environments,
        folder: Path,
        arguments: Sequence[str],
        good: VersionSet,
        kind: str,
    ):
        self._environments = environments
        self._folder = folder
        self._arguments = arguments  # of `trigru snapshot`
        self._good = good
        self._kind = kind
        self._loaded: dict[VersionSet, Loaded] = {}

    def is_good(self, version_set: VersionSet) -> bool:
        """Whether nothing of the kind changed since the good set."""
        changes = self.changes(self._good, version_set)
        return all(change.kind != self._kind for change in changes)

    def changes(self, old: VersionSet, new: VersionSet) -> list[Change]:
        """The changes from one set to another."""
        return compare_snapshots(self._snapshot(old), self._snapshot(new))

    def _snapshot(self, version_set: VersionSet) -> Loaded:
        if version_set not in self._loaded:
            python = self._environments.python
            folder = self._folder / version_set.folder(python, self._arguments)
            if not is_snapshot(folder) or are_of_tests(self._arguments):
                self._environments.get(version_set).snapshot(folder, self._arguments)
            self._loaded[version_set] = load(folder)
        return self._loaded[version_set]


def bisect(
    good: str,
    bad: str,
    command: Sequence[str],
    fact: str | None,
    arguments: Sequence[str],
    environments: Environments,
    format: Format,
    output: Path,
) -> None:
    """Find the release, and print it with what differs.

    Args:
        good: a version set, as users write it.
        bad: a later one.
        command: judges a set, in its environment; empty with a fact.
        fact: a kind of change, by which sets are judged; None with a command.
        arguments: of `trigru snapshot`: the ports or the tests to look at.
        environments: of the version sets.
        format: of what is printed.
        output: the folder that keeps snapshots.

    Raises a TrigruError if nothing is found between them.
    """
    if (fact is None) == (not command):
        raise typer.BadParameter("pass --fact, or a command after --, and not both.")
    good_set, bad_set = read_set(good), read_set(bad)
    if (good_set.day is None) != (bad_set.day is None):
        raise InputError("GOOD and BAD have to be both days, or both versions.")
    if command:
        arguments = tests_of(command)
    snapshots = SnapshotJudge(environments, output, arguments, good_set, fact or "")

    def judge(version_set: VersionSet) -> bool | None:
        verdict = None
        try:
            if fact is None:
                verdict = judge_by_command(command, environments, version_set)
            else:
                verdict = snapshots.is_good(version_set)
        except EnvironmentFailedError as error:
            say(f"{version_set.name}: {error}")
        say(f"{version_set.name}: {VERDICTS[verdict]}")
        return verdict

    def resolve(version_set: VersionSet) -> dict[str, str]:
        return environments.get(version_set).versions

    with answered(format, "trigru bisect"):
        culprit = search(good_set, bad_set, judge, resolve, environments.releases)

    kinds = FAILING if fact is None else (fact,)
    changes: list[Change] = []
    if fact is not None or arguments:
        for change in snapshots.changes(culprit.good, culprit.bad):
            if change.kind != "better":
                changes.append(change)
    judged_by = "a count or bits, which are exact"
    if fact is None:
        judged_by = f"the exit codes of {command[0]}"
    answer = answer_lines(culprit, judged_by)
    if format != "text":
        findings = [finding_of(change) for change in changes]
        typer.echo(written(format, "trigru bisect", answer, findings))
    elif fact is None and not arguments:
        show_lines(answer)
    else:
        show_lines([*answer, "", *change_lines(changes, kinds)])


#: What is said of a set that is good, bad, or cannot be judged.
VERDICTS = {True: "as before", False: "changed", None: "cannot be judged"}


def answer_lines(culprit: Culprit, judged_by: str) -> list[str]:
    """What was found, in sentences."""
    moves: list[str] = []
    for name, (before, after) in culprit.moved.items():
        moves.append(f"{name} {before} -> {after}")
    lines = [
        f"It changed with {', '.join(moves)}.",
        f"{culprit.judged} version sets were judged, by {judged_by}.",
    ]
    if culprit.skipped:
        number, names = len(culprit.skipped), "; ".join(culprit.skipped)
        lines.append(f"{number} could not be judged: {names}")
    return lines


def tests_of(command: Sequence[str]) -> list[str]:
    """The tests that a command of pytest runs; empty if they are not one file.

    >>> tests_of(["pytest", "-q", "tests/test_model.py"]), tests_of(["make", "test"])
    (['tests/test_model.py'], [])
    """
    files = [word for word in command[1:] if ".py" in word]
    is_pytest = Path(command[0]).name == "pytest"
    return files if is_pytest and len(files) == 1 else []


def judge_by_command(
    command: Sequence[str], environments: Environments, version_set: VersionSet
) -> bool | None:
    """Whether a command ends with 0 in the environment of a set.

    None stands for a set that cannot be judged: the command says so, or a signal ended
    it. Raises an InputError if the command cannot be run.
    """
    environment = environments.get(version_set)
    code, message = environment.run(command, COMMAND_LIMIT_S)
    if code in NOT_RUN:
        raise InputError(f"the command cannot be run: {message}")
    is_signal = not 0 <= code <= 128
    if code == SKIP or is_signal:
        return None
    return code == 0
