"""A matrix: what is true of each of several version sets, and what changed from one to the next."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import msgspec
from msgspec import Struct

from ...common.files import read_whole, write_whole
from ...common.port.programs import Count
from ..reporting.numbers import count
from ..results.arm import NotNegative, check_date
from ..results.files import MOST_BYTES, record_of, refusing, with_checksum
from ..results.grouping import first_twice, grouped
from ..results.proof import passes
from .changes import changes
from .environments import SUBJECTS, EnvironmentFailedError, Environments, VersionSet, is_source
from .files import Read, SnapshotError, load
from .record import Change, Snapshot

SCHEMA, FILE = 5, "matrix.json"
#: How many changes of one kind are kept of each port and part between two rows; more are counted.
MOST_KEPT = 3


class Facts(TypedDict):
    """A few facts of a port or part that a table shows."""

    works: str  # "yes", or what does not
    equal: str  # "yes", what failed, or "" where nothing was measured
    lines: Count | None  # of Python in one train step as documented; None where they were not counted


class MatrixRow(Struct, forbid_unknown_fields=True):
    """One version set."""

    name: str
    requirements: list[str]
    day: str
    python: str = ""  # its version
    arguments: list[str] = []  # of `trigru snapshot`
    versions: dict[str, str] = {}  # of the frameworks; empty if it could not be installed
    reason: str = ""  # why there is no snapshot; "" if there is one
    lasting: bool = False  # whether trying again is no use
    seconds: list[NotNegative] = []  # that it took to install, and to take the snapshot
    counts: dict[str, dict[str, Count]] = {}  # changes since the row before with a snapshot: by subject, kind
    moved: list[Change] = []  # some of them, the worst first
    facts: dict[str, Facts] = {}  # of each port, a few that a table shows


class Matrix(Struct, forbid_unknown_fields=True):
    """A table of version sets, in their order."""

    schema: int
    command: list[str]
    datetime: str
    device: str
    rows: list[MatrixRow]


def fill(
    sets: Sequence[VersionSet],
    folder: Path,
    environments: Environments,
    *,
    command: list[str],
    arguments: Sequence[str] = (),
    told: Callable[[int, int, str], None] = lambda done, of, what: None,
) -> Matrix:
    """Take a snapshot of each set, and compare each with the one before.

    A set that the folder has, by the same Python and arguments, is not done again, unless its sources may have changed
    or it failed for a reason that does not last.

    Args:
        folder: of matrix.json, and of a folder for each set.
        arguments: of `trigru snapshot`.
        told: at each set and every second: how many are done, of how many that the folder lacks, and the set at work.
    """
    known = {row.name: row for row in read(folder).rows} if (folder / FILE).exists() else {}
    places = {of.name: folder / place_of(of, environments.python, arguments) for of in sets}
    wanted = environments.python, list(arguments)
    kept = {of.name for of in sets if of.name in known and _is_kept(known[of.name], of, places[of.name], wanted)}
    matrix, before, done = Matrix(SCHEMA, command, "", "", []), None, 0
    for of in sets:
        row, place = known.pop(of.name, None), places[of.name]
        if row is None or of.name not in kept:
            row = MatrixRow(of.name, list(of.requirements), of.day.isoformat() if of.day else "", *wanted)
            still = partial(told, done, len(sets) - len(kept), of.name)
            still()
            _take(row, of, place, environments, still)
            done += 1
        if not row.reason:
            now = load(place)  # two at a time are in memory
            _compare(row, before, now)
            before, matrix.device = now, matrix.device or now[0].machine.device
        matrix.rows.append(row)
        matrix.datetime = datetime.now(UTC).isoformat(timespec="seconds")
        whole = msgspec.structs.replace(matrix, rows=[*matrix.rows, *known.values()])  # also what is not reached yet
        write_whole(folder / FILE, with_checksum(whole, indent=1))
    return matrix


def place_of(of: VersionSet, python: str, arguments: Sequence[str]) -> str:
    """The name of the folder of a set's snapshot; another for each Python, and for other arguments."""
    digest = hashlib.sha256("\n".join([of.name, python, *arguments]).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^0-9A-Za-z.=-]+', '_', of.name)[:60]}-{digest}"


def _is_kept(row: MatrixRow, of: VersionSet, place: Path, wanted: tuple[str, list[str]]) -> bool:
    """Whether a row is of what a set is asked for: a version of Python, and arguments of `trigru snapshot`."""
    if (row.python, row.arguments) != wanted or any(map(is_source, of.requirements)):
        return False
    if row.reason or not row.versions:
        return row.lasting
    with suppress(SnapshotError):
        installed = load(place)[0].machine.versions
        return all(installed.get(name, version) == version for name, version in row.versions.items())
    return False


def read(folder: Path) -> Matrix:
    """The matrix of a folder. Raises a SnapshotError if it is none."""
    path = folder / FILE if folder.is_dir() else folder
    with refusing(path, SnapshotError, "Pass a folder that trigru matrix wrote, or fill another one."):
        matrix = record_of(read_whole(path, MOST_BYTES), Matrix, SCHEMA)
        if twice := first_twice(row.name for row in matrix.rows):
            raise ValueError(f"it has the version set {twice} twice")
        for row in matrix.rows:
            if row.day:
                check_date(row.day)
            if row.facts and (row.reason or not row.versions):
                raise ValueError(f"{row.name} has facts, and {row.reason or 'no versions'}")
        return matrix


def _take(row: MatrixRow, of: VersionSet, place: Path, environments: Environments, still: Callable[[], None]) -> None:
    """Install a set, and take its snapshot; what fails is the row's reason."""
    times_s = [time.monotonic()]
    try:
        made = environments.get(of)
        row.versions = {name: made.versions[name] for name in SUBJECTS if name in made.versions}
        times_s.append(time.monotonic())
        made.snapshot(place, row.arguments, still)
    except EnvironmentFailedError as error:
        row.reason, row.lasting = str(error), error.lasting
    times_s.append(time.monotonic())
    row.seconds = [round(b - a, 1) for a, b in pairwise(times_s)]


def _compare(row: MatrixRow, before: Read | None, now: Read) -> None:
    """Add what changed since the row before, and what a table shows."""
    row.facts, row.counts = facts_of(now[0]), {}
    found = grouped(changes(before, now) if before else (), lambda change: (change.subject, change.kind))
    row.moved = [change for some in found.values() for change in some[:MOST_KEPT]]
    for (subject, kind), some in found.items():
        row.counts.setdefault(subject, {})[kind] = len(some)


def facts_of(snapshot: Snapshot) -> dict[str, Facts]:
    """For each port and part: whether it works and is equal, and the Python cost of one train step."""
    found: dict[str, Facts] = {}
    for subject in snapshot.subjects:
        port, _, kernel = subject.name.partition(":")
        measured = [m for m in snapshot.equality or () if m.port == port and (m.kernel == "stock") == (not kernel)]
        wrong = Counter("failed" if m.offered else "not offered" for m in measured if not passes(m))
        said = [f"{wrong[how]} {how}" for how in ("failed", "not offered") if wrong[how]]
        step = next((counted for call, counted in subject.calls.items() if call.startswith("train_step")), {})
        found[subject.name] = {
            "works": subject.missing or (count(len(subject.problems), "problem") if subject.problems else "yes"),
            "equal": ", ".join(said) or ("yes" if measured else ""),
            "lines": step.get("lines"),
        }
    return found
