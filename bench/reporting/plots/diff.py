"""What changed between two runs as a picture: new / old of each arm, with its interval and the noise floor."""

from ...analysis.diff import Change, Diff
from ..numbers import format_interval
from ..provenance import short_group
from .figures import GREY, Picture, colour_of, marker_of
from .forest import Band, Line, forest_figure

#: More arms are not drawn together: those that moved are, and of the others those that frameworks are compared by.
MOST = 60
COMPARED_BY = {"documented", "functional"}


def diff_picture(found: Diff) -> Picture | None:
    """A line for each arm that both files have; None where there is none."""
    every = found.judged
    drawn = every if len(every) <= MOST else [c for c in every if c.moved or COMPARED_BY & {*c.arm.labels}]
    if not drawn:
        return None
    ports = list(dict.fromkeys(change.arm.port for change in every))
    bands = []
    for changes in found.by_group().values():
        here = [change for change in drawn if change.arm.group == changes[0].arm.group]
        if here:
            lines = [_line(change, ports) for change in here]
            bands.append(Band(short_group(here[0].arm).replace("_", " "), here[0].floor, lines))
    of = "time" if found.absolute else "time / pure[jit]"
    left = f"{len(every) - len(drawn)} that did not move are not drawn" if len(drawn) < len(every) else ""
    title = f"{of}: new / old" + (f"\n{left}" if left else "")
    label = "new / old, 95 % interval; below 1 is faster\nshaded: the noise floor"
    return Picture("diff", forest_figure({title: bands}, label), _text(found, drawn, of, left))


def _line(change: Change, ports: list[str]) -> Line:
    """In its framework's colour where it moved, else in grey; what fails is said beside it."""
    said = "FAILED" if change.regression else change.verdict if change.moved else ""
    port = change.arm.port
    colour = colour_of(port, ports) if change.moved else GREY
    return Line(change.arm.name, change.comparison, colour, marker_of(ports.index(port)), said)


def _text(found: Diff, drawn: list[Change], of: str, left: str) -> str:
    moved = [
        f"{short_group(change.arm)} {change.arm.name} {format_interval(change.comparison)}"
        for change in drawn
        if change.moved
    ]
    still = len(found.judged) - sum(change.moved for change in found.judged)
    parts = [*moved, f"{still} arms indistinguishable from before", *([left] if left else [])]
    return f"New over old of {of}, with 95 % intervals: {'; '.join(parts)}."
