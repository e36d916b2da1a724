"""`trigru diff`: what changed between two runs, or between two snapshots."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ...common.errors import InputError, UnknownNameError
from ...impls import port_names
from ..analysis.diff import diff as compare_runs
from ..analysis.merge import load as load_results
from ..reporting.console import say, show, show_lines
from ..reporting.diff import check_comparable, diff_tables, outcome
from ..results.files import FILE
from ..upgrades.changes import FAILING, KINDS, Change, changes, reservations
from ..upgrades.environments import EnvironmentFailedError, Environments
from ..upgrades.folder import is_snapshot, load
from ..upgrades.matrix import run_trigru
from ..upgrades.reading import unread
from ..upgrades.record import Snapshot
from ..upgrades.tables import change_lines, change_tables
from ..upgrades.versions import changed, with_candidates
from .pages import write_diff

#: The exit code where nothing can be judged, as `git bisect run` takes it.
UNKNOWN = 125


def diff(
    old: Path,
    new: Path | None,
    *,
    candidates: Sequence[str] = (),
    fail_on: Sequence[str],
    details: bool,
    output: Path | None = None,
    **how: Any,
) -> None:
    """Compare what two folders hold: snapshots, runs or both.

    Args:
        old, new: folders, or files of runs; without a new one, a snapshot of what is installed is taken.
        candidates: requirements that are installed instead of what is, in an environment of its own.
        fail_on: kinds of changes between snapshots that end with exit code 1.
        output: a folder, where a page and a picture of two runs are written.
        how: of runs, as `trigru.bench.analysis.diff.diff` takes it.
    """
    if output is not None and (new is None or not _are_runs(old, new)):
        raise InputError("--output writes a page of two runs, and these are snapshots: leave it out.")
    if new is None:
        if not is_snapshot(old):
            raise InputError(
                f"{old}: has no snapshot, so that --now has nothing to compare. Take one: trigru snapshot."
            )
        with tempfile.TemporaryDirectory() as place:
            _take_now(Path(place) / "now", load(old)[0], candidates)
            failed = _diff_snapshots(old, Path(place) / "now", fail_on, details=details)
            code = int(failed)
    elif (is_snapshot(old) and is_snapshot(new)) or not _are_runs(old, new):
        failed = _diff_snapshots(old, new, fail_on, details=details)
        both = all((folder / FILE).is_file() for folder in (old, new))
        slower = _diff_runs(old, new, details=details, output=output, **how) if both else 0
        code = max(int(failed), slower if "slower" in fail_on or slower > 1 else 0)
    else:
        code = _diff_runs(old, new, details=details, output=output, **how)
    if code:
        raise typer.Exit(code)


def _are_runs(old: Path, new: Path) -> bool:
    """Whether neither is a folder with a snapshot alone."""
    return not any(is_snapshot(place) and not (place / FILE).is_file() for place in (old, new))


def read_kinds(text: str | None) -> tuple[str, ...]:
    """Kinds of changes, as users write them. Raises an UnknownNameError at others."""
    if text is None:
        return FAILING
    named = [name.strip() for name in text.split(",")]
    known = {name: (name,) for name in KINDS if name != "better"}
    known |= {"all": tuple(known), "none": ()}
    for name in named:
        if name not in known:
            raise UnknownNameError("kind of change", name, list(known))
    return tuple(dict.fromkeys(kind for name in named for kind in known[name]))


def _take_now(folder: Path, old: Snapshot, candidates: Sequence[str]) -> None:
    """A snapshot of what is installed, or of candidates in its place, of what an older one has."""
    names = list(dict.fromkeys(subject.framework for subject in old.subjects))
    own = names[0].endswith(".py")
    if not own and not set(names) & set(port_names()):
        raise InputError(f"OLD is of {', '.join(names)}, and of no port: the test that took it compares it.")
    if candidates:
        of = names[:1] if own else [*(f"--port={name}" for name in names), *["--no-equality"] * (old.equality is None)]
        try:
            made = Environments().get(with_candidates(candidates))
            problem = run_trigru(made, ["snapshot", *of, "-o", str(folder)])
        except EnvironmentFailedError as error:
            problem = str(error)
        if problem:
            say(f"{' '.join(candidates)} has no snapshot, so that nothing is compared: {problem}")
            raise typer.Exit(UNKNOWN)
        return
    from ..processes.probe import check_jax
    from ..proving.prover import Prover
    from .snapshot import take_file_into, take_into

    check_jax()
    folder.mkdir()
    if own:
        take_file_into(folder, names[0])
        return
    with Prover(keep=True) as prover:
        take_into(folder, names, equality=old.equality is not None, prover=prover)


def _diff_runs(old: Path, new: Path, *, details: bool, output: Path | None, **how: Any) -> int:
    found = compare_runs(load_results(old), load_results(new), **how)
    check_comparable(found)
    show(diff_tables(found), above=[*outcome(found), ""], details=details)
    if output is not None:
        say(f"written: {', '.join(map(str, write_diff(output, found)))}")
    return found.exit_code


def _diff_snapshots(old: Path, new: Path, fail_on: Sequence[str], *, details: bool) -> bool:
    """Whether something changed that makes it fail."""
    was, is_now = load(old), load(new)
    if not {s.name for s in was[0].subjects} & {s.name for s in is_now[0].subjects}:
        say("the snapshots have no port in common, so that nothing is compared.")
        raise typer.Exit(UNKNOWN)
    found: list[Change] = [*unread(old, was[0]), *changes(was, is_now)]
    other = changed(was[0].machine.versions, is_now[0].machine.versions)
    versions = f"Versions: {', '.join(other)}." if other else "Both are of the same versions."
    head, *lines = change_lines(found, fail_on)
    show_lines([head, versions, *reservations(was[0], is_now[0]), *lines])
    if details:
        show(change_tables(found, fail_on), details=True)
    return any(change.kind in fail_on for change in found)
