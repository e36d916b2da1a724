"""`trigru diff`: what changed between two runs, or between two snapshots."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import typer

from ...common.errors import InputError
from ..analysis.diff import Diff
from ..analysis.diff import diff as compare_runs
from ..analysis.merge import load as load_results
from ..processes.interrupts import leaving_at_once
from ..proving.compiled_programs import programs_folder
from ..reporting.console import show, show_lines
from ..reporting.diff import check_comparable, diff_tables, outcome
from ..reporting.findings import Finding, Format, answered, written
from ..results.files import FILE
from ..upgrades.diff import (
    Comparison,
    diff_snapshots,
    read_kinds,
    take_now,
    take_with_candidates,
)
from ..upgrades.environments import Environments
from ..upgrades.snapshot_file import is_snapshot, load
from .arguments import Names
from .user_files import models_of


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
) -> None:
    """Compare what two folders hold: snapshots, runs or both.

    The options are those of `app.diff`.
    """
    if (new is None) != now:
        raise typer.BadParameter("pass NEW, or --now, and not both.")
    if candidates and not now:
        raise typer.BadParameter("--with is of --now.")
    kinds = read_kinds(fail_on)

    with answered(format, "trigru diff"):
        if new is None:
            comparisons = [_diff_now(old, candidates or [], kinds)]
        else:
            comparisons = []
            if _have_snapshots(old, new):
                with leaving_at_once():
                    before = load(old)
                    after = load(new)
                comparisons.append(diff_snapshots(before, after, kinds))
            if not comparisons or _have_results(old, new):
                with leaving_at_once():
                    old_run = load_results(old)
                    new_run = load_results(new)
                runs = compare_runs(
                    old_run, new_run, fail_above=fail_above, anyway=anyway
                )
                comparisons.append(_diff_runs(runs))
    _show(comparisons, details, format)

    codes = {comparison.code for comparison in comparisons} - {0}
    if codes:
        raise typer.Exit(min(codes))


def _have_snapshots(old: Path, new: Path) -> bool:
    """Whether snapshots are compared: both have one, or one has nothing else."""
    if is_snapshot(old) and is_snapshot(new):
        return True
    for folder in (old, new):
        if is_snapshot(folder) and not (folder / FILE).is_file():
            return True
    return False


def _have_results(old: Path, new: Path) -> bool:
    return all((folder / FILE).is_file() for folder in (old, new))


def _diff_now(
    old: Path, candidates: Sequence[str], fail_on: Sequence[str]
) -> Comparison:
    """Compare a snapshot with one that is taken now."""
    if not is_snapshot(old):
        raise InputError(
            f"{old}: has no snapshot to compare --now with. Take one: trigru snapshot."
        )
    before = load(old)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if candidates:
            environments = Environments()
            take_with_candidates(folder, before.snapshot, candidates, environments)
        else:
            take_now(folder, before.snapshot, models_of, programs_folder())
        return diff_snapshots(before, load(folder), fail_on)


def _diff_runs(runs: Diff) -> Comparison:
    check_comparable(runs)
    findings: list[Finding] = []
    for proof in runs.lost_proofs:
        text = f"no longer equal: {', '.join(proof.newly_failed)}"
        findings.append(Finding("broken", proof.port, text, True))
    for change in runs.moved:
        text = f"{change.comparison.ratio:.3g} times as long"
        arm = change.arm.id
        findings.append(Finding(change.verdict, arm, text, change.regression))
    return Comparison(runs.exit_code, outcome(runs), findings, diff_tables(runs))


def _show(comparisons: Sequence[Comparison], details: bool, format: Format) -> None:
    """Print comparisons, as text or for machines."""
    if format == "text":
        for comparison in comparisons:
            show_lines([*comparison.head, *comparison.lines, *comparison.notes])
            show(comparison.sections, above=[""], details=details)
        return
    head: list[str] = []
    findings: list[Finding] = []
    for comparison in comparisons:
        head += [*comparison.head, *comparison.notes]
        findings += comparison.findings
    is_judged = all(comparison.code != 125 for comparison in comparisons)
    typer.echo(written(format, "trigru diff", head, findings, is_judged=is_judged))
