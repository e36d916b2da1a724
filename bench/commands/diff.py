"""`trigru diff`: what changed between two results files."""

from pathlib import Path
from typing import Any

import typer

from ..analysis.diff import diff as compare_runs
from ..reporting.console import show
from ..reporting.diff import check_comparable, diff_tables
from ..reporting.outcome import outcome
from .report import load_run


def diff(old: Path, new: Path, *, details: bool, **how: Any) -> None:
    """Compare two runs, as `trigru.bench.analysis.diff.diff` does with the other options, and print what changed."""
    found = compare_runs(load_run(old), load_run(new), **how)
    check_comparable(found)
    show(diff_tables(found), above=[*outcome(found), ""], details=details)
    if found.exit_code:
        raise typer.Exit(found.exit_code)
