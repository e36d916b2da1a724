"""`trigru diff` of snapshots: what changed between two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.errors import InputError, UnjudgedError, UnknownNameError
from ...impls import port_names
from ..reporting.console import Section
from ..reporting.findings import Finding
from ..results.machine import version_differences
from .changes import compare_snapshots, reservations
from .environments import EnvironmentFailedError, Environments
from .installed import unexplained_files
from .record import FACTS, FAILING, Snapshot
from .snapshot import take_snapshot, take_snapshot_of_models
from .snapshot_file import Loaded
from .user_tests import is_of_tests, take_snapshot_of_tests
from .version_sets import with_candidates
from .words import change_lines, change_table, files_line, files_table, finding_of

#: Reads the models of a user's file, and the inputs that they are called with.
ReadModels = Callable[[str], tuple[Sequence[Any], tuple[Any, ...]]]


@dataclass(frozen=True)
class Comparison:
    """What a comparison of two folders found.

    Attributes:
        code: the exit code.
        head: sentences on the whole.
        findings: for machines.
        sections: tables.
        lines: follow the head on a screen, one for each cause.
        notes: what else there is to know.
    """

    code: int
    head: list[str]
    findings: list[Finding]
    sections: list[Section]
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def diff_snapshots(old: Loaded, new: Loaded, fail_on: Sequence[str]) -> Comparison:
    """Compare two snapshots.

    Raises an UnjudgedError if they have nothing in common.
    """
    old_names = {subject.name for subject in old.snapshot.subjects}
    new_names = {subject.name for subject in new.snapshot.subjects}
    if old_names.isdisjoint(new_names):
        raise UnjudgedError(
            "the snapshots have no port in common, so that nothing is compared."
        )
    changes = compare_snapshots(old, new)
    files = unexplained_files(old.snapshot, new.snapshot, changes)
    verdict, *lines = change_lines(changes, fail_on, other_code=bool(files))

    before, after = old.snapshot.machine.versions, new.snapshot.machine.versions
    versions = ", ".join(version_differences(before, after))
    if versions:
        head = [verdict, f"Versions: {versions}."]
    else:
        head = [verdict, "Both are of the same versions."]

    sections: list[Section] = []
    notes = reservations(old.snapshot, new.snapshot)
    if changes:
        sections.append(change_table("All changes", changes))
    if files:
        sections.append(files_table(files))
        notes.insert(0, files_line(files))
    findings: list[Finding] = []
    for change in changes:
        findings.append(finding_of(change, failed=change.kind in fail_on))
    code = 1 if any(finding.failed for finding in findings) else 0
    return Comparison(code, head, findings, sections, lines, notes)


def read_kinds(text: str | None) -> tuple[str, ...]:
    """Kinds of changes, as users write them; the failing ones for None.

    Raises an UnknownNameError at others.
    """
    if text is None:
        return FAILING
    chosen: list[str] = []
    for word in text.split(","):
        name = word.strip()
        if name == "all":
            chosen += FACTS
        elif name in FACTS:
            chosen.append(name)
        elif name != "none":
            raise UnknownNameError("kind of change", name, [*FACTS, "all", "none"])
    return tuple(dict.fromkeys(chosen))


def take_now(
    folder: Path, old: Snapshot, read_models: ReadModels, programs: Path | None = None
) -> None:
    """Take a snapshot of what is installed, of the subjects of an older one.

    A user's file is run again only if it lies below the current folder, since the older
    snapshot may be anybody's.

    Args:
        folder: of the new snapshot.
        old: the older one.
        read_models: reads the user's file.
        programs: the folder that keeps compiled programs; None keeps none.
    """
    names = _frameworks(old)
    if not _is_of_models(names):
        take_snapshot(folder, names, programs)
        return
    if is_of_tests(names[0]):
        take_snapshot_of_tests(folder, names[0])
        return
    models, inputs = read_models(names[0])
    take_snapshot_of_models(folder, names[0], models, inputs)


def take_with_candidates(
    folder: Path,
    old: Snapshot,
    candidates: Sequence[str],
    environments: Environments,
) -> None:
    """Take a snapshot with candidates in place of what is installed.

    Raises an UnjudgedError if there is none.
    """
    names = _frameworks(old)
    arguments = names
    if not _is_of_models(names):
        arguments = [f"--port={name}" for name in names]
    try:
        environment = environments.get(with_candidates(candidates))
        environment.snapshot(folder, arguments)
    except EnvironmentFailedError as error:
        wanted = " ".join(candidates)
        raise UnjudgedError(
            f"{wanted} has no snapshot, so that nothing is compared: {error}"
        ) from error


def _frameworks(snapshot: Snapshot) -> list[str]:
    """The ports of a snapshot, or the source of its models."""
    return list(dict.fromkeys(subject.framework for subject in snapshot.subjects))


def _is_of_models(names: Sequence[str]) -> bool:
    """Whether a snapshot is of the models or tests of a file, which may be run again.

    Raises an InputError if it is of nothing that can be looked at again.
    """
    if set(names) <= set(port_names()):
        return False
    path = Path(names[0].partition("::")[0]).resolve()
    if path.suffix != ".py":
        raise InputError(
            f"OLD is of {', '.join(names)}, and of no port: the test that took it "
            "compares it."
        )
    is_below = path.is_relative_to(Path.cwd().resolve())
    if len(names) > 1 or not is_below:
        listed = ", ".join(names)
        raise InputError(
            f"OLD is of {listed}, not below this folder, and is not run since OLD "
            "says so. Take the newer one yourself: trigru snapshot FILE -o NEW, "
            "then trigru diff OLD NEW."
        )
    return True
