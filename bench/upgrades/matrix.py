"""A matrix: what is true of each of several version sets, and what changed from one to the next."""

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import msgspec
from msgspec import Struct

from ...common.equality.measurement import Measurement
from ...common.files import read_whole, write_whole
from ...common.port.programs import Count
from ..reporting.numbers import count
from ..results.arm import NotNegative
from ..results.grouping import grouped
from ..results.lines import MOST_BYTES, check_date, first_twice, record_of, refusing, with_checksum
from ..results.proof import passes
from .changes import changes
from .environments import EnvironmentFailedError, Environments
from .files import Read, SnapshotError, load
from .record import Change, Snapshot
from .versions import SUBJECTS, VersionSet, is_source

SCHEMA, FILE = 4, "matrix.json"
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
    """Take a snapshot of each set, one after the other, and compare each with the one before.

    What an earlier run of the same folder has is not done again.

    Args:
        folder: of matrix.json, and of a folder for each set.
        arguments: of `trigru snapshot`.
        told: of the progress, at each set and every second: how many are done, of how many that are no earlier run's,
            and the set at work.
    """
    known = {row.name: row for row in read(folder).rows} if (folder / FILE).exists() else {}
    matrix = Matrix(SCHEMA, command, "", "", [])
    plan: list[tuple[VersionSet, Path, MatrixRow, bool]] = []
    for of in sets:
        place, day = folder / place_of(of, environments.python, arguments), of.day.isoformat() if of.day else ""
        row = MatrixRow(of.name, list(of.requirements), day, environments.python, list(arguments))
        is_kept = _is_kept(known.get(of.name), row, place)
        plan.append((of, place, known[of.name] if is_kept else row, is_kept))
    left, done = sum(not is_kept for *_, is_kept in plan), 0
    before: Read | None = None
    for of, place, row, is_kept in plan:
        if not is_kept:
            still = partial(told, done, left, of.name)
            still()
            _take(row, of, place, environments, still)
            done += 1
        known.pop(of.name, None)
        if not row.reason:
            now = load(place)  # two at a time are in memory
            _compare(row, before, now)
            before, matrix.device = now, matrix.device or now[0].machine.device
        matrix.rows.append(row)
        matrix.datetime = datetime.now(UTC).isoformat(timespec="seconds")
        whole = msgspec.structs.replace(matrix, rows=[*matrix.rows, *known.values()])  # also what is not reached yet
        write_whole(folder / FILE, msgspec.json.format(with_checksum(whole), indent=1))
    return matrix


def place_of(of: VersionSet, python: str, arguments: Sequence[str]) -> str:
    """The name of the folder of a set's snapshot; another for each Python, and for other arguments."""
    digest = hashlib.sha256("\n".join([of.name, python, *arguments]).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^0-9A-Za-z.=-]+', '_', of.name)[:60]}-{digest}"


def _is_kept(old: MatrixRow | None, new: MatrixRow, place: Path) -> bool:
    if old is None or (old.python, old.arguments) != (new.python, new.arguments):
        return False
    if any(map(is_source, new.requirements)):
        return False
    if old.reason or not old.versions:
        return old.lasting
    with suppress(SnapshotError):
        installed = load(place)[0].machine.versions
        return all(installed.get(name, version) == version for name, version in old.versions.items())
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
    row.facts = facts_of(now[0])
    found = grouped(changes(before, now) if before else (), lambda change: (change.subject, change.kind))
    row.moved = [change for some in found.values() for change in some[:MOST_KEPT]]
    row.counts = {subject: {} for subject, _ in found}
    for (subject, kind), some in found.items():
        row.counts[subject][kind] = len(some)


def facts_of(snapshot: Snapshot) -> dict[str, Facts]:
    """For each port and part: whether it works and is equal, and the Python cost of one train step."""
    found: dict[str, Facts] = {}
    for subject in snapshot.subjects:
        port, _, kernel = subject.name.partition(":")
        measured = [m for m in snapshot.equality or () if m.port == port and (m.kernel == "stock") == (not kernel)]
        step = next((counted for call, counted in subject.calls.items() if call.startswith("train_step")), {})
        found[subject.name] = {
            "works": subject.missing or (count(len(subject.problems), "problem") if subject.problems else "yes"),
            "equal": _equal(measured),
            "lines": step.get("lines"),
        }
    return found


def _equal(measured: Sequence[Measurement]) -> str:
    """Whether all passed; how many failed, and of how many the installed versions do not offer what is asked."""
    failed, missing = (sum(not passes(m) and m.offered is offered for m in measured) for offered in (True, False))
    said = [f"{failed} failed"] * bool(failed) + [f"{missing} not offered"] * bool(missing)
    return ", ".join(said) or ("yes" if measured else "")
