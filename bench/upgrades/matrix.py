"""`trigru matrix`: snapshots of several version sets, and what each set changed."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import msgspec
import typer
from msgspec import Struct

from ...common.errors import InputError
from ...common.files import read_whole, write_whole
from ..reporting.numbers import count
from ..results.arm import NotNegative, check_date
from ..results.build import Count
from ..results.files import command_line
from ..results.grouping import first_twice, grouped
from ..results.json_files import MOST_BYTES, decode, refusing
from .changes import compare_snapshots
from .environments import EnvironmentFailedError, Environments
from .record import Change, Snapshot, SnapshotError
from .snapshot_file import Loaded, load
from .user_tests import are_of_tests
from .version_sets import SUBJECTS, VersionSet, days_between, read_set

#: The version of the format. It rises with each field that is added, renamed or lost.
SCHEMA = 5
FILE = "matrix.json"
#: Changes of one kind of each port and part that a row keeps; more are counted.
MOST_KEPT = 3
ADVICE = "Pass a folder that trigru matrix wrote, or fill another one."

#: Is told at each set and every second: how many sets are done, of how many that have
#: to be, and the set at work.
Tell = Callable[[int, int, str], None]


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """A few facts of a port or part that a table shows."""

    works: str  # "yes", or what does not
    #: Of Python in one train step as documented; None where they were not counted.
    lines: Count | None


class MatrixRow(Struct, forbid_unknown_fields=True):
    """One version set."""

    name: str
    requirements: list[str]
    day: str  # only releases of before its end count; "" for all
    python: str = ""  # its version
    arguments: list[str] = []  # of `trigru snapshot`
    versions: dict[str, str] = {}  # of the frameworks; empty if it was not installed
    reason: str = ""  # why there is no snapshot; "" if there is one
    lasting: bool = False  # whether trying again is no use
    seconds: list[NotNegative] = []  # to install it, and to take the snapshot
    #: Changes since the row before that has a snapshot: how many, by subject and kind.
    counts: dict[str, dict[str, Count]] = {}
    moved: list[Change] = []  # some of them, the worst first
    facts: dict[str, Facts] = {}  # of each port and part


class Matrix(Struct, forbid_unknown_fields=True):
    """A table of version sets, in their order."""

    schema: int
    command: list[str]
    datetime: str
    device: str
    rows: list[MatrixRow]


def read_sets(
    names: Sequence[str], first_day: str | None, every: str
) -> list[VersionSet]:
    """The sets that a user asks for: those named, then those of a range of days."""
    sets = [read_set(name) for name in names]
    if first_day is not None:
        sets += days_between(first_day, every)
    if not sets:
        raise typer.BadParameter(
            'name a version set, as "jax==0.6.2 flax==0.11.2" or 2025-01-31, or a '
            "range: --from."
        )
    if first_twice(version_set.name for version_set in sets):
        raise InputError("a version set is named twice.")
    return sets


def fill(
    sets: Sequence[VersionSet],
    folder: Path,
    environments: Environments,
    arguments: Sequence[str] = (),
    tell: Tell = lambda done, number, name: None,
) -> Matrix:
    """Take a snapshot of each set, and compare each with the one before.

    A set that the folder has is not done again, unless its sources may have changed, it
    failed for a reason that may pass, or another Python or other arguments are asked
    for. The folder has a whole matrix after each set.

    Args:
        sets: the version sets.
        folder: of matrix.json and of the snapshots.
        environments: of the sets.
        arguments: of `trigru snapshot`.
        tell: shows progress.
    """
    known: dict[str, MatrixRow] = {}
    if (folder / FILE).exists():
        known = {row.name: row for row in read(folder).rows}
    wanted = [
        _empty_row(version_set, environments.python, arguments) for version_set in sets
    ]
    places = [folder / each.folder(environments.python, arguments) for each in sets]
    kept: dict[str, MatrixRow] = {}
    for version_set, row, place in zip(sets, wanted, places, strict=True):
        known_row = known.get(row.name)
        if known_row is not None and _is_kept(known_row, row, version_set, place):
            kept[row.name] = known_row

    matrix = Matrix(SCHEMA, command_line(), "", "", [])
    before: Loaded | None = None
    reached: set[str] = set()
    done, to_do = 0, len(sets) - len(kept)
    for version_set, row, place in zip(sets, wanted, places, strict=True):
        if row.name in kept:
            row = kept[row.name]
        else:

            def still(done: int = done, name: str = row.name) -> None:
                tell(done, to_do, name)

            still()
            _take(row, version_set, place, environments, still)
            done += 1
        if not row.reason:
            now = load(place)  # two at a time are in memory
            add_changes(row, before, now)
            matrix.device = matrix.device or now.snapshot.machine.device
            before = now
        matrix.rows.append(row)
        reached.add(row.name)
        matrix.datetime = datetime.now(UTC).isoformat(timespec="seconds")
        others = [other for name, other in known.items() if name not in reached]
        _write(folder, matrix, others)
    return matrix


def read(folder: Path) -> Matrix:
    """The matrix of a folder. Raises a SnapshotError if it is none."""
    path = folder / FILE if folder.is_dir() else folder
    with refusing(path, SnapshotError, ADVICE):
        matrix = decode(read_whole(path, MOST_BYTES), Matrix, SCHEMA)
        name_twice = first_twice(row.name for row in matrix.rows)
        if name_twice:
            raise ValueError(f"it has the version set {name_twice} twice")
        for row in matrix.rows:
            if row.day:
                check_date(row.day)
        return matrix


def add_changes(row: MatrixRow, before: Loaded | None, now: Loaded) -> None:
    """Add what changed since the row before to a row, and what a table shows."""
    row.facts = facts_of(now.snapshot)
    row.counts = {}
    row.moved = []
    if before is None:
        return
    changes = compare_snapshots(before, now)
    groups = grouped(changes, lambda change: (change.subject, change.kind))
    for (subject, kind), alike in groups.items():
        row.moved += alike[:MOST_KEPT]
        row.counts.setdefault(subject, {})[kind] = len(alike)


def facts_of(snapshot: Snapshot) -> dict[str, Facts]:
    """For each port and part: whether it works, and the Python of one train step."""
    facts: dict[str, Facts] = {}
    for subject in snapshot.subjects:
        works = "yes"
        if subject.missing:
            works = subject.missing
        elif subject.problems:
            works = count(len(subject.problems), "problem")
        lines = None
        for name, observation in subject.observations.items():
            if name.startswith("train_step") and observation.cost is not None:
                lines = observation.cost.lines
                break
        facts[subject.name] = Facts(works, lines)
    return facts


def _empty_row(
    version_set: VersionSet, python: str, arguments: Sequence[str]
) -> MatrixRow:
    return MatrixRow(
        name=version_set.name,
        requirements=list(version_set.requirements),
        day=version_set.day.isoformat() if version_set.day else "",
        python=python,
        arguments=list(arguments),
    )


def _is_kept(
    row: MatrixRow, wanted: MatrixRow, version_set: VersionSet, place: Path
) -> bool:
    """Whether a row of before is what is asked for now."""
    if (row.python, row.arguments) != (wanted.python, wanted.arguments):
        return False
    if version_set.has_sources or are_of_tests(row.arguments):
        return False  # other code may stand there now
    if row.reason or not row.versions:
        return row.lasting
    with suppress(SnapshotError):
        versions = load(place).snapshot.machine.versions
        for name, version in row.versions.items():
            if versions.get(name, version) != version:
                return False
        return True
    return False


def _take(
    row: MatrixRow,
    version_set: VersionSet,
    place: Path,
    environments: Environments,
    still: Callable[[], None],
) -> None:
    """Install a set, and take its snapshot; what fails is the row's reason."""
    times_s = [time.monotonic()]
    try:
        environment = environments.get(version_set)
        for name in SUBJECTS:
            if name in environment.versions:
                row.versions[name] = environment.versions[name]
        times_s.append(time.monotonic())
        environment.snapshot(place, row.arguments, still)
    except EnvironmentFailedError as error:
        row.reason, row.lasting = str(error), error.lasting
    times_s.append(time.monotonic())
    row.seconds = [round(end - start, 1) for start, end in pairwise(times_s)]


def _write(folder: Path, matrix: Matrix, others: Sequence[MatrixRow]) -> None:
    """Write a matrix with the other rows that the folder has, too."""
    whole = msgspec.structs.replace(matrix, rows=[*matrix.rows, *others])
    content = msgspec.json.format(msgspec.json.encode(whole), indent=1)
    write_whole(folder / FILE, content)
