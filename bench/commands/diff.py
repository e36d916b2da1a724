"""`trigru diff`: what changed between two runs, or between two snapshots."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from ...common.errors import InputError, UnjudgedError
from ...impls import get_port, port_names, unavailable
from ..analysis.diff import Diff
from ..analysis.diff import diff as compare_runs
from ..analysis.merge import load as load_results
from ..reporting.console import Section, show, show_lines
from ..reporting.diff import check_comparable, diff_tables, outcome
from ..reporting.findings import Finding, Format, answered, written
from ..results.files import FILE
from ..results.machine import version_differences
from ..upgrades.changes import changes, reservations
from ..upgrades.environments import (
    EnvironmentFailedError,
    Environments,
    with_candidates,
)
from ..upgrades.installed import is_here, unnamed
from ..upgrades.ports import unread
from ..upgrades.record import FAILING, KINDS, Read, Snapshot, is_snapshot, load
from ..upgrades.tables import (
    change_lines,
    change_table,
    files_line,
    files_table,
    finding_of,
)
from .arguments import Names
from .options import choose
from .report import diff_page, write_page

UNREAD = "the first snapshot's parameter files were not read: here are other packages than the second one's."


class Result(NamedTuple):
    """The result of comparing two snapshots or two runs."""

    code: int
    head: list[str]  # sentences on the whole
    findings: list[Finding]
    sections: list[Section]  # tables below the lines
    lines: Sequence[str] = ()  # that follow on a screen, one for each cause
    notes: Sequence[str] = ()  # what else there is to know


def diff(
    old: Path,
    new: Path | None,
    now: bool,
    candidates: Names,
    fail_on: str | None,
    fail_above: float,
    anyway: bool,
    details: bool,
    format: Format,
    output: Path | None,
) -> None:
    """Compare what two folders hold: snapshots, runs or both. Options are those of `trigru.bench.cli`."""
    if (new is None) != now:
        raise typer.BadParameter("pass NEW, or --now, and not both.")
    if candidates and not now:
        raise typer.BadParameter("--with is of --now.")
    kinds = read_kinds(fail_on)
    if output is not None and (new is None or not _are_runs(old, new)):
        raise InputError(
            "--output writes a page of two runs, and these are snapshots: leave it out."
        )
    results: list[Result] = []
    with answered(format, "trigru diff"), tempfile.TemporaryDirectory() as place:
        if new is None:
            if not is_snapshot(old):
                raise InputError(
                    f"{old}: has no snapshot to compare --now with. Take one: trigru snapshot."
                )
            was, new = load(old), Path(place)
            _take_now(new, was[0], candidates or ())
            results.append(_diff_snapshots(was, load(new), kinds))
        else:
            if (is_snapshot(old) and is_snapshot(new)) or not _are_runs(old, new):
                results.append(_diff_snapshots(load(old), load(new), kinds))
            if not results or all((folder / FILE).is_file() for folder in (old, new)):
                found = compare_runs(
                    load_results(old),
                    load_results(new),
                    fail_above=fail_above,
                    anyway=anyway,
                )
                results.append(_diff_runs(found, output))
    if format == "text":
        for result in results:
            show_lines([*result.head, *result.lines, *result.notes])
            show(result.sections, above=[""], details=details)
    else:
        head = [line for result in results for line in (*result.head, *result.notes)]
        findings = [finding for result in results for finding in result.findings]
        is_judged = all(result.code != 125 for result in results)
        typer.echo(written(format, "trigru diff", head, findings, is_judged=is_judged))
    if codes := {result.code for result in results} - {0}:
        raise typer.Exit(min(codes))


def _are_runs(old: Path, new: Path) -> bool:
    """Whether neither is a folder with a snapshot alone."""
    return not any(
        is_snapshot(place) and not (place / FILE).is_file() for place in (old, new)
    )


def read_kinds(text: str | None) -> tuple[str, ...]:
    """Kinds of changes, as users write them. Raises an UnknownNameError at others."""
    if text is None:
        return FAILING
    known = {name: (name,) for name in KINDS if name != "better"}
    known |= {"all": tuple(known), "none": ()}
    named = choose(
        "kind of change", [name.strip() for name in text.split(",")], list(known)
    )
    return tuple(dict.fromkeys(kind for name in named for kind in known[name]))


def _take_now(folder: Path, old: Snapshot, candidates: Sequence[str]) -> None:
    """A snapshot of what is installed, or of candidates in its place, of what an older one has."""
    names = list(dict.fromkeys(subject.framework for subject in old.subjects))
    own = any(name.endswith(".py") for name in names)
    if own and (
        len(names) > 1
        or not Path(names[0]).resolve().is_relative_to(Path.cwd().resolve())
    ):
        raise InputError(  # it may be anybody's
            f"OLD is of {', '.join(names)}, not below this folder, and is not run since OLD says so. "
            "Take the newer one yourself: trigru snapshot FILE -o NEW, then trigru diff OLD NEW."
        )
    if not own and not set(names) & set(port_names()):
        raise InputError(
            f"OLD is of {', '.join(names)}, and of no port: the test that took it compares it."
        )
    if candidates:
        of = (
            names
            if own
            else [
                *(f"--port={name}" for name in names),
                *["--no-equality"] * (old.equality is None),
            ]
        )
        try:
            Environments().get(with_candidates(candidates)).snapshot(folder, of)
        except EnvironmentFailedError as error:
            wanted = " ".join(candidates)
            raise UnjudgedError(
                f"{wanted} has no snapshot, so that nothing is compared: {error}"
            ) from error
        return
    from ..proving.prover import Prover
    from .snapshot import snapshot, snapshot_of_file

    if own:
        snapshot_of_file(folder, names[0])
    else:
        with Prover() as prover:
            snapshot(folder, names, equality=old.equality is not None, prover=prover)


def _diff_runs(found: Diff, output: Path | None) -> Result:
    check_comparable(found)
    if output is not None:
        write_page(output / "diff.html", diff_page(found))
    findings = [
        *(
            Finding(
                "broken", p.port, f"no longer equal: {', '.join(p.newly_failed)}", True
            )
            for p in found.lost_proofs
        ),
        *(
            Finding(
                c.verdict,
                c.arm.id,
                f"{c.comparison.ratio:.3g} times as long",
                c.regression,
            )
            for c in found.moved
        ),
    ]
    return Result(found.exit_code, outcome(found), findings, diff_tables(found))


def _diff_snapshots(old: Read, new: Read, fail_on: Sequence[str]) -> Result:
    if not {s.name for s in old[0].subjects} & {s.name for s in new[0].subjects}:
        raise UnjudgedError(
            "the snapshots have no port in common, so that nothing is compared."
        )
    was, versions = old[0].machine.versions, new[0].machine.versions
    ports = {s.framework for s in old[0].subjects if s.checkpoints} & set(port_names())
    packages = [
        package
        for name in ports
        if not unavailable(name)
        for package in get_port(name).packages
    ]
    # trigru's own version may be of another commit
    can_read = is_here(
        {name: version for name, version in versions.items() if name != "trigru"},
        packages,
    )
    found = [*(unread(old) if can_read else ()), *changes(old, new)]
    other, files = version_differences(was, versions), unnamed(old, new, found)
    verdict, *lines = change_lines(found, fail_on, other_code=bool(files))
    head = [
        verdict,
        f"Versions: {', '.join(other)}." if other else "Both are of the same versions.",
    ]
    findings = [finding_of(change, failed=change.kind in fail_on) for change in found]
    tables = [
        *([change_table("All changes", found)] if found else []),
        *files_table(files),
    ]
    unread_files = [UNREAD] * (
        not can_read and any(subject.checkpoints for subject in old[0].subjects)
    )
    notes = [*files_line(files), *unread_files, *reservations(old[0], new[0])]
    return Result(
        int(any(finding.failed for finding in findings)),
        head,
        findings,
        tables,
        lines,
        notes,
    )
