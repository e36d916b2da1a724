"""What a command found, for machines: JSON, Markdown, and annotations of GitHub, by one writer."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from ...common.errors import UnjudgedError, for_terminal
from ..results.grouping import grouped
from .console import Prose, Section, Words
from .markdown import markdown
from .numbers import json_text

Format = Literal["text", "json", "markdown", "github"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    kind: str  # "function", or the name of a check
    subject: str  # of what, as "linen"
    text: str
    failed: bool  # whether the command fails for it
    line: str = ""  # of code, as "flax/linen/recurrent.py:593 (mul of shape 4x6)"; "" where none is known


def written(
    format: Format,
    title: str,
    head: Sequence[str],
    findings: Sequence[Finding],
    *,
    is_judged: bool = True,
) -> str:
    """Sentences on the whole and findings in a format; of GitHub's, a summary goes where its runner wants it.

    What could not be judged has not passed. The title is the command, as "trigru diff".
    """
    if not is_judged:
        findings = [
            *findings,
            Finding("all", title, "This could not be judged.", failed=True),
        ]
    failed = sum(finding.failed for finding in findings)
    if format == "json":
        content = {
            "schema": 1,
            "title": title,
            "passed": not failed,
            "head": list(head),
        }
        return json_text(
            content | {"findings": [asdict(finding) for finding in findings]}
        )
    rows = [
        (f.kind, f.subject, f.text, "FAILED" if f.failed else "", f.line or "-")
        for f in findings
    ]
    columns = (
        Words("kind"),
        Words("of"),
        Prose("found"),
        Words("fails"),
        Prose("line"),
    )
    page = markdown(
        title, head, [Section(f"{len(findings)} found, {failed} failed", columns, rows)]
    )
    if format == "markdown":
        return page
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(f"{page}\n")
    # of a step, GitHub shows ten annotations of each level
    shown = [
        finding
        for of in grouped(findings, lambda f: f.failed).values()
        for finding in of[:10]
    ]
    left = len(findings) - len(shown)
    more = [
        f"{left} more, of which GitHub shows no annotations: the summary has all."
    ] * bool(left)
    return "\n".join([*map(for_terminal, head), *map(_annotation, shown), *more])


@contextmanager
def answered(format: Format, title: str) -> Iterator[None]:
    """Also writes for machines that something could not be judged, where that ends a command."""
    try:
        yield
    except UnjudgedError as error:
        if format != "text":
            typer.echo(written(format, title, [str(error)], [], is_judged=False))
        raise


def _annotation(finding: Finding) -> str:
    """An annotation of GitHub, at the line where it is of a file of this folder."""
    file, _, line = finding.line.partition(" ")[0].rpartition(":")
    place = (
        f"file={file},line={line},"
        if file and line.isdigit() and Path(file).is_file()
        else ""
    )
    text = f"{finding.text} {finding.line}".strip()
    title, text = (
        for_terminal(words).replace("%", "%25")
        for words in (f"{finding.kind}: {finding.subject}", text)
    )
    title = title.replace(":", "%3A").replace(",", "%2C")
    return f"::{'error' if finding.failed else 'notice'} {place}title={title}::{text}"
