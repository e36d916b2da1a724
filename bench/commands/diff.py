"""`trigru diff`: what changed between two results files."""

from pathlib import Path

import typer

from ..analysis.diff import diff as compare_runs
from ..reporting.console import say, show
from ..reporting.diff import check_comparable, diff_summary, diff_tables
from ..results.files import load


def diff(
    old: Path,
    new: Path,
    *,
    fail_above: float,
    absolute: bool,
    allow_missing: bool,
    allow_other_machine: bool,
    details: bool,
) -> None:
    """Compare two files and print what changed; see `trigru.bench.analysis.diff`.

    Raises:
        InputError: they have nothing in common.
        typer.Exit: with 1 if something got worse, with 2 if they cannot be compared.
    """
    found = compare_runs(
        load(old), load(new),
        fail_above=fail_above, absolute=absolute, allow_missing=allow_missing, allow_other_machine=allow_other_machine,
    )  # fmt: skip
    check_comparable(found)
    show(diff_tables(found), details=details)
    say(diff_summary(found))
    if found.exit_code:
        raise typer.Exit(found.exit_code)
