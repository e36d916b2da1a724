"""What a command found, for machines: JSON, Markdown, and annotations of GitHub, by one
writer.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from ...common.errors import UnjudgedError, for_terminal
from ..results.grouping import grouped
from .console import Format, Prose, Section, Words
from .markdown import markdown
from .numbers import json_text

#: Of a step, GitHub shows so many annotations of each level.
MOST_ANNOTATIONS = 10


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    kind: str  # "function", or the name of a check
    subject: str  # of what, as "linen"
    text: str
    failed: bool  # whether the command fails for it
    #: Of code, as "flax/linen/recurrent.py:593 (mul of shape 4x6)"; "" if unknown.
    line: str = ""


def written(
    format: Format,
    title: str,
    head: Sequence[str],
    findings: Sequence[Finding],
    *,
    is_judged: bool = True,
) -> str:
    """Sentences on the whole and findings in a format.

    A summary for GitHub is added to the file that its runner names. What could not be
    judged has not passed. The title is the command, as "trigru diff".
    """
    if not is_judged:
        unjudged = Finding("all", title, "This could not be judged.", failed=True)
        findings = [*findings, unjudged]
    if format == "json":
        return _json(title, head, findings)

    page = _page(title, head, findings)
    if format == "markdown":
        return page
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as file:
            file.write(f"{page}\n")
    return _annotations(head, findings)


@contextmanager
def answered(format: Format, title: str) -> Iterator[None]:
    """Tell machines, too, that a command ends since something could not be judged."""
    try:
        yield
    except UnjudgedError as error:
        if format != "text":
            typer.echo(written(format, title, [str(error)], [], is_judged=False))
        raise


def _failures(findings: Sequence[Finding]) -> int:
    return sum(finding.failed for finding in findings)


def _json(title: str, head: Sequence[str], findings: Sequence[Finding]) -> str:
    content = {
        "schema": 1,
        "title": title,
        "passed": _failures(findings) == 0,
        "head": list(head),
        "findings": [asdict(finding) for finding in findings],
    }
    return json_text(content)


def _page(title: str, head: Sequence[str], findings: Sequence[Finding]) -> str:
    rows = []
    for finding in findings:
        fails = "FAILED" if finding.failed else ""
        line = finding.line or "-"
        rows.append((finding.kind, finding.subject, finding.text, fails, line))
    columns = (
        Words("kind"),
        Words("of"),
        Prose("found"),
        Words("fails"),
        Prose("line"),
    )
    counts = f"{len(findings)} found, {_failures(findings)} failed"
    return markdown(title, head, [Section(counts, columns, rows)])


def _annotations(head: Sequence[str], findings: Sequence[Finding]) -> str:
    shown = []
    for alike in grouped(findings, lambda finding: finding.failed).values():
        shown += alike[:MOST_ANNOTATIONS]
    lines = [for_terminal(line) for line in head]
    lines += [_annotation(finding) for finding in shown]
    left = len(findings) - len(shown)
    if left:
        lines.append(
            f"{left} more, of which GitHub shows no annotations: the summary has all."
        )
    return "\n".join(lines)


def _annotation(finding: Finding) -> str:
    """An annotation at the line where it is, if that is of a file of this folder."""
    level = "error" if finding.failed else "notice"
    place = ""
    file, _, line = finding.line.partition(" ")[0].rpartition(":")
    if file and line.isdigit() and Path(file).is_file():
        place = f"file={file},line={line},"
    title = _escaped(f"{finding.kind}: {finding.subject}")
    title = title.replace(":", "%3A").replace(",", "%2C")
    text = _escaped(f"{finding.text} {finding.line}".strip())
    return f"::{level} {place}title={title}::{text}"


def _escaped(text: str) -> str:
    return for_terminal(text).replace("%", "%25")
