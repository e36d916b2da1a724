"""The rows of an answer that a screen has room for, and what tells them apart."""

from collections.abc import Sequence

from ...common.errors import listed
from ..analysis.answer import Answer, AnswerRow
from .naming import describe

#: What sentences call phases, in their order.
SUBJECTS = {
    "step": "One GRU time step",
    "train_step": "Training updates",
    "forward": "Forward pass",
    "gradient": "Gradient",
}
#: Where both of these were timed, no other phase is shown.
MAIN = ("step", "train_step")


def shown_phases(answer: Answer) -> list[str]:
    """The phases on the screen, in the order of their sentences."""
    timed = {row.phase for row in answer.rows}
    if timed.issuperset(MAIN):
        return list(MAIN)
    return [phase for phase in SUBJECTS if phase in timed]


def shown_rows(answer: Answer) -> list[AnswerRow]:
    """The rows on the screen; those by the other clock hang on them."""
    phases = shown_phases(answer)
    return [row for row in answer.rows if row.phase in phases]


def sizes_of(chosen: Sequence[AnswerRow], rows: Sequence[AnswerRow]) -> str:
    """What tells the chosen ones among rows: the first of B, T, D and H that does, or
    all.
    """
    shapes = [describe(row.workload).partition(":")[0] for row in rows]
    sizes = []
    for size, row in zip(_telling_apart(shapes), rows, strict=True):
        if row in chosen:
            sizes.append(size)
    return listed(sizes)


def _telling_apart(shapes: Sequence[str]) -> Sequence[str]:
    """Of shapes as "B=1 T=50 D=20 H=200", the first part that is another in each."""
    parts = [shape.split() for shape in shapes]
    for sizes in zip(*parts, strict=False):
        if len(set(sizes)) == len(sizes):
            return sizes
    return shapes
