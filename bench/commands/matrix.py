"""`trigru matrix`: what is true of each of several version sets, and what changed from one to the next."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import msgspec
import typer
from msgspec import Struct

from ...common.errors import InputError, for_terminal
from ...common.files import read_whole, write_whole
from ...impls import port_names
from ..reporting.console import Progress, Prose, Section, say, show
from ..reporting.findings import Finding, Format, written
from ..reporting.markdown import markdown
from ..reporting.numbers import count
from ..reporting.page import sheet
from ..results.arm import NotNegative, check_date
from ..results.build import Count
from ..results.files import command_line
from ..results.grouping import first_twice, grouped
from ..results.json_files import MOST_BYTES, decode, refusing
from ..results.machine import version_differences
from ..upgrades.changes import changes
from ..upgrades.environments import (
    SUBJECTS,
    EnvironmentFailedError,
    Environments,
    VersionSet,
    days_between,
    read_set,
)
from ..upgrades.record import Change, Read, Snapshot, SnapshotError, load
from ..upgrades.tables import change_table, counts_of, finding_of
from .arguments import Names, claim_folder
from .options import choose

if TYPE_CHECKING:
    from ..reporting.plots import Picture

SCHEMA, FILE, TABLES, PAGE = 4, "matrix.json", "matrix.md", "matrix.html"
MOST_KEPT = (
    3  # changes of one kind of each port and part between two rows; more are counted
)


class Facts(TypedDict):
    """A few facts of a port or part that a table shows."""

    works: str  # "yes", or what does not
    equal: str  # "yes", what failed, or "" where nothing was measured
    lines: (
        Count | None
    )  # of Python in one train step as documented; None where they were not counted


class MatrixRow(Struct, forbid_unknown_fields=True):
    """One version set."""

    name: str
    requirements: list[str]
    day: str
    python: str = ""  # its version
    arguments: list[str] = []  # of `trigru snapshot`
    versions: dict[
        str, str
    ] = {}  # of the frameworks; empty if it could not be installed
    reason: str = ""  # why there is no snapshot; "" if there is one
    lasting: bool = False  # whether trying again is no use
    seconds: list[NotNegative] = []  # that it took to install, and to take the snapshot
    counts: dict[
        str, dict[str, Count]
    ] = {}  # changes since the row before with a snapshot: by subject, kind
    moved: list[Change] = []  # some of them, the worst first
    facts: dict[str, Facts] = {}  # of each port, a few that a table shows


class Matrix(Struct, forbid_unknown_fields=True):
    """A table of version sets, in their order."""

    schema: int
    command: list[str]
    datetime: str
    device: str
    rows: list[MatrixRow]


def matrix(
    sets: Names,
    first: str | None,
    every: str,
    ports: Names,
    python: str | None,
    equality: bool,
    details: bool,
    format: Format,
    output: Path,
) -> None:
    """Fill a matrix, print it, and write matrix.json; exit 1 if a set has no snapshot."""
    with claim_folder(output, timing=False):
        choose("port", ports, port_names())
        arguments = [f"--port={name}" for name in ports or ()] + (
            [] if equality else ["--no-equality"]
        )
        with Progress("matrix") as progress:
            found = fill(
                read_sets(sets or (), first, every),
                output,
                Environments(python),
                arguments,
                lambda done, of, what: progress.to(
                    done / of, f"matrix: {done} of {of} done, {what} at work"
                ),
            )
        sections = matrix_tables(found)
        pictures = [
            picture for picture in (matrix_picture(found),) if picture is not None
        ]
        origin = [f"{found.datetime}, {found.device}: {' '.join(found.command)}"]
        write_whole(
            output / TABLES, markdown("Version sets", origin, sections).encode()
        )
        write_whole(
            output / PAGE,
            sheet("version sets", [], pictures, sections, origin).encode(),
        )
        if format == "text":
            show(sections, details=details)
        else:
            findings = []
            for row in found.rows:
                if row.reason:
                    findings.append(
                        Finding("broken", row.name, f"no snapshot: {row.reason}", True)
                    )
                findings += [
                    finding_of(change, of=f"{row.name}: ") for change in row.moved
                ]
            typer.echo(written(format, "trigru matrix", origin, findings))
        say(
            f"written: {', '.join(str(output / name) for name in (FILE, TABLES, PAGE))}"
        )
        if any(row.reason for row in found.rows):
            raise typer.Exit(1)


def read_sets(sets: Sequence[str], first: str | None, every: str) -> list[VersionSet]:
    """The sets that are asked for: those named, then those of a range of days."""
    found = [read_set(text) for text in sets] + (
        days_between(first, every) if first is not None else []
    )
    if not found:
        raise typer.BadParameter(
            'name a version set, as "jax==0.6.2 flax==0.11.2" or 2025-01-31, or a range: --from.'
        )
    if len({of.name for of in found}) < len(found):
        raise InputError("a version set is named twice.")
    return found


def fill(
    sets: Sequence[VersionSet],
    folder: Path,
    environments: Environments,
    arguments: Sequence[str] = (),
    told: Callable[[int, int, str], None] = lambda done, of, what: None,
) -> Matrix:
    """Take a snapshot of each set with these arguments, and compare each with the one before.

    A set that the folder has, by the same Python and arguments, is not done again, unless its sources may have changed
    or it failed for a reason that does not last. `told` is called at each set and every second: with how many are done,
    of how many that the folder lacks, and the set at work.
    """
    known = (
        {row.name: row for row in read(folder).rows} if (folder / FILE).exists() else {}
    )
    places = {
        of.name: folder / of.folder(environments.python, arguments) for of in sets
    }
    wanted = environments.python, list(arguments)
    kept = {
        of.name
        for of in sets
        if of.name in known and _is_kept(known[of.name], of, places[of.name], wanted)
    }
    matrix, before, done = Matrix(SCHEMA, command_line(), "", "", []), None, 0
    for of in sets:
        row, place = known.pop(of.name, None), places[of.name]
        if row is None or of.name not in kept:
            row = MatrixRow(
                of.name,
                list(of.requirements),
                of.day.isoformat() if of.day else "",
                *wanted,
            )
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
        whole = msgspec.structs.replace(
            matrix, rows=[*matrix.rows, *known.values()]
        )  # also what is not reached yet
        write_whole(
            folder / FILE, msgspec.json.format(msgspec.json.encode(whole), indent=1)
        )
    return matrix


def _is_kept(
    row: MatrixRow, of: VersionSet, place: Path, wanted: tuple[str, list[str]]
) -> bool:
    """Whether a row is of what a set is asked for: a version of Python, and arguments of `trigru snapshot`."""
    if (row.python, row.arguments) != wanted or of.has_sources:
        return False
    if row.reason or not row.versions:
        return row.lasting
    with suppress(SnapshotError):
        installed = load(place)[0].machine.versions
        return all(
            installed.get(name, version) == version
            for name, version in row.versions.items()
        )
    return False


def read(folder: Path) -> Matrix:
    """The matrix of a folder. Raises a SnapshotError if it is none."""
    path = folder / FILE if folder.is_dir() else folder
    with refusing(
        path,
        SnapshotError,
        "Pass a folder that trigru matrix wrote, or fill another one.",
    ):
        matrix = decode(read_whole(path, MOST_BYTES), Matrix, SCHEMA)
        if twice := first_twice(row.name for row in matrix.rows):
            raise ValueError(f"it has the version set {twice} twice")
        for row in matrix.rows:
            if row.day:
                check_date(row.day)
            if row.facts and (row.reason or not row.versions):
                raise ValueError(
                    f"{row.name} has facts, and {row.reason or 'no versions'}"
                )
        return matrix


def _take(
    row: MatrixRow,
    of: VersionSet,
    place: Path,
    environments: Environments,
    still: Callable[[], None],
) -> None:
    """Install a set, and take its snapshot; what fails is the row's reason."""
    times_s = [time.monotonic()]
    try:
        made = environments.get(of)
        row.versions = {
            name: made.versions[name] for name in SUBJECTS if name in made.versions
        }
        times_s.append(time.monotonic())
        made.snapshot(place, row.arguments, still)
    except EnvironmentFailedError as error:
        row.reason, row.lasting = str(error), error.lasting
    times_s.append(time.monotonic())
    row.seconds = [round(b - a, 1) for a, b in pairwise(times_s)]


def _compare(row: MatrixRow, before: Read | None, now: Read) -> None:
    """Add what changed since the row before, and what a table shows."""
    row.facts, row.counts = facts_of(now[0]), {}
    found = grouped(
        changes(before, now) if before else (),
        lambda change: (change.subject, change.kind),
    )
    row.moved = [change for some in found.values() for change in some[:MOST_KEPT]]
    for (subject, kind), some in found.items():
        row.counts.setdefault(subject, {})[kind] = len(some)


def facts_of(snapshot: Snapshot) -> dict[str, Facts]:
    """For each port and part: whether it works and is equal, and the Python cost of one train step."""
    found: dict[str, Facts] = {}
    for subject in snapshot.subjects:
        port, _, kernel = subject.name.partition(":")
        measured = [
            m
            for m in snapshot.equality or ()
            if m.port == port and (m.kernel == "stock") == (not kernel)
        ]
        wrong = Counter(
            "failed" if m.offered else "not offered" for m in measured if not m.passed
        )
        said = [
            f"{wrong[how]} {how}" for how in ("failed", "not offered") if wrong[how]
        ]
        step = next(
            (
                counted
                for call, counted in subject.calls.items()
                if call.startswith("train_step")
            ),
            {},
        )
        found[subject.name] = {
            "works": subject.missing
            or (count(len(subject.problems), "problem") if subject.problems else "yes"),
            "equal": ", ".join(said) or ("yes" if measured else ""),
            "lines": step.get("lines"),
        }
    return found


def matrix_tables(matrix: Matrix) -> list[Section]:
    """A row for each set: versions, whether each port works and is equal, and what changed since the row before."""
    rows, details, notes, before = [], [], [], None
    for row in matrix.rows:
        if row.reason:
            rows.append((row.name, "", "", "", "no snapshot"))
            notes.append(f"No snapshot of {row.name}: {row.reason}")
            continue
        first = [f"{name} {version}" for name, version in row.versions.items()]
        new = version_differences(before.versions, row.versions) if before else first
        moved = (
            counts_of(sum(map(Counter, row.counts.values()), Counter()))
            if before
            else "the first"
        )
        works, equal = (
            {name: facts[fact] for name, facts in row.facts.items()}
            for fact in ("works", "equal")
        )
        rows.append(
            (
                row.name,
                ", ".join(new) or "nothing new",
                _ports(works),
                _ports(equal),
                moved,
            )
        )
        details.append(change_table(f"Changed with {row.name}", row.moved))
        before = row
    columns = (
        Prose("version set"),
        Prose("versions, then new ones"),
        Prose("works"),
        Prose("equal"),
        Prose("changed"),
    )
    note = (
        "Works: in full, or what fails in some way. Equal: each check of the port passed, in float64 and in coarser "
        "dtypes; in part: some ask for what these versions do not offer. Changed: since the row before, by kind."
    )
    return [Section("Version sets", columns, rows, (note, *notes)), *details]


def _ports(facts: Mapping[str, str]) -> str:
    """All ports alike, or those that are not as they should be."""
    said = {name: text for name, text in facts.items() if text}
    part = [
        name
        for name, text in said.items()
        if text.endswith("not offered") and "failed" not in text
    ]
    bad = [name for name, text in said.items() if text != "yes" and name not in part]
    found = [f"not {', '.join(bad)}"] * bool(bad) + [
        f"in part {', '.join(part)}"
    ] * bool(part)
    return "; ".join(found) or ("all" if said else "not asked")


def matrix_picture(matrix: Matrix) -> "Picture | None":
    """The lines of Python that one train step of each port runs, over the version sets; None of fewer than two."""
    rows = [row for row in matrix.rows if not row.reason]
    lines: dict[str, list[tuple[int, int]]] = {}
    for at, row in enumerate(rows):
        for port, facts in row.facts.items():
            if ":" not in port and facts["lines"]:
                lines.setdefault(port, []).append((at, facts["lines"]))
    if len(rows) < 2 or not lines:
        return None
    from ..reporting.plots import (
        Picture,
        colour_of,
        drawing,
        marker_of,
    )  # half a second

    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (port, known) in enumerate(lines.items()):
            colour, marker = colour_of(port, list(lines)), marker_of(number)
            axes.plot(
                *zip(*known, strict=True),
                label=for_terminal(port),
                color=colour,
                marker=marker,
            )
        axes.set(
            title="Lines of Python in one train step, as documented",
            ylabel="lines",
            yscale="log",
        )
        axes.yaxis.set_major_formatter(lambda number, _: f"{number:,.0f}")
        axes.grid(alpha=0.3)
        names = [
            (
                for_terminal(row.name),
                f", jax {row.versions.get('jax', '?')}" if row.day else "",
            )
            for row in rows
        ]
        labels = [
            f"{name}{jax}" if jax else name.replace(" ", "\n") for name, jax in names
        ]
        axes.set_xticks(
            range(len(rows)), labels, rotation=45, ha="right", rotation_mode="anchor"
        )
        figure.legend(loc="outside right upper", frameon=False)
    whole = {
        port: known
        for port, known in lines.items()
        if (known[0][0], known[-1][0]) == (0, len(rows) - 1)
    }
    ends = "; ".join(
        f"{for_terminal(name)} from {known[0][1]} to {known[-1][1]}"
        for name, known in whole.items()
    )
    return Picture(
        figure,
        f"Lines of Python in one train step, over {len(rows)} version sets: {ends}.",
    )
