"""The page of what each release changed: tables of the published matrix."""

from pathlib import Path

from pictures import themed_picture  # beside this script
from trigru.bench.reporting.sections import Prose, Section, Words, markdown_table
from trigru.bench.upgrades.matrix import Matrix, read
from trigru.bench.upgrades.tables import matrix_picture, matrix_tables

#: What a user meets; other bits and other programs are counted above, and come with nearly every release.
TOLD = ("broken", "function", "draws", "tree", "checkpoints", "memory", "warnings")


def release_tables(results: Path, part: str) -> str:
    """A part of the page: the sets, the picture, or what was met with each set."""
    matrix = read(results / "releases.json")
    return {"sets": _sets, "picture": _picture, "met": _met}[part](matrix)


def _sets(matrix: Matrix) -> str:
    table = matrix_tables(matrix)[0]
    origin = f"{matrix.datetime[:10]}, {matrix.device}, Python {matrix.rows[0].python}: `{' '.join(matrix.command)}`."
    return "\n\n".join([markdown_table(table), *table.notes, origin])


def _picture(matrix: Matrix) -> str:
    picture = matrix_picture(matrix)
    assert picture is not None
    return themed_picture("releases", picture.description)


def _met(matrix: Matrix) -> str:
    columns = (Prose("with"), Words("kind"), Words("port or part"), Prose("what"), Prose("old"), Prose("new"))
    rows = [
        (row.name, m.kind, m.subject, m.what, m.old or "none", m.new or "none")
        for row in matrix.rows
        for m in row.moved
        if m.kind in TOLD
    ]
    return markdown_table(Section("", columns, rows))
