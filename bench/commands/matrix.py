"""`trigru matrix`: one table over version sets."""

from collections.abc import Sequence
from pathlib import Path

import typer

from ...common.errors import InputError
from ...common.files import write_whole
from ...impls import port_names
from ..reporting.console import Progress, markdown, say, show
from ..reporting.exports import sheet
from ..reporting.findings import Finding, Format, written
from ..results.files import command_line
from ..upgrades.environments import Environments, VersionSet, days_between, read_day, read_set
from ..upgrades.matrix import FILE, Matrix, fill
from ..upgrades.tables import finding_of, matrix_picture, matrix_tables
from .arguments import Names, claim_folder
from .options import choose

TABLES, PAGE = "matrix.md", "matrix.html"


def read_sets(sets: Sequence[str], first: str | None, every: str) -> list[VersionSet]:
    """The sets that are asked for: those named, then those of a range of days."""
    found = [read_set(text) for text in sets]
    if first is not None:
        found += days_between(read_day(first), every)
    if not found:
        raise typer.BadParameter('name a version set, as "jax==0.6.2 flax==0.11.2" or 2025-01-31, or a range: --from.')
    if len({of.name for of in found}) < len(found):
        raise InputError("a version set is named twice.")
    return found


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
        arguments = [f"--port={name}" for name in ports or ()] + ([] if equality else ["--no-equality"])
        with Progress("matrix") as progress:
            found = fill(
                read_sets(sets or (), first, every),
                output,
                Environments(python),
                command=command_line(),
                arguments=arguments,
                told=lambda done, of, what: progress.to(done / of, f"matrix: {done} of {of} done, {what} at work"),
            )
        sections = matrix_tables(found)
        pictures = [picture for picture in (matrix_picture(found),) if picture is not None]
        origin = [f"{found.datetime}, {found.device}: {' '.join(found.command)}"]
        write_whole(output / TABLES, markdown("Version sets", origin, sections).encode())
        write_whole(output / PAGE, sheet("version sets", [], pictures, sections, origin).encode())
        if format == "text":
            show(sections, details=details)
        else:
            typer.echo(written(format, "trigru matrix", origin, _findings(found)))
        say(f"written: {', '.join(str(output / name) for name in (FILE, TABLES, PAGE))}")
        if any(row.reason for row in found.rows):
            raise typer.Exit(1)


def _findings(found: Matrix) -> list[Finding]:
    """The sets without a snapshot, which fail, and what the others changed."""
    findings = []
    for row in found.rows:
        if row.reason:
            findings.append(Finding("broken", row.name, f"no snapshot: {row.reason}", True))
        findings += [finding_of(change, of=f"{row.name}: ") for change in row.moved]
    return findings
