"""What has to be done to parameters, beyond another layout, so that two models are the
same function.
"""

from collections.abc import Sequence

from ..program.model import Leaf
from .layouts import LeafLayout, Transform
from .matching import Match, contradicts_names


def conditions(
    reference: Sequence[Leaf], candidate: Sequence[Leaf], matches: Sequence[Match]
) -> tuple[list[str], list[str]]:
    """A few words for each leaf that is no layout of its namesake, and for each a line
    of a mapping.
    """
    words, lines = [], []
    for leaf, match in zip(candidate, matches, strict=True):
        layout = match.layout
        if match.by == "the mapping" or layout is None:
            continue
        paths = [reference[n].path for n in layout.sources]
        if contradicts_names(match, leaf, reference):
            words.append(f"{' and '.join(paths)} as {leaf.path}")
        elif not layout.is_plain:
            words.append(f"{leaf.path} {layout.how}")
        else:
            continue
        lines.append(_line_of_mapping(leaf.path, paths, layout))
    return words, lines


def _line_of_mapping(
    path: str, paths: Sequence[str], layout: LeafLayout | Transform
) -> str:
    sources = repr(paths[0] if len(paths) == 1 else tuple(paths))
    if layout.how == "as it is":
        return f"{path!r}: {sources},"
    names = ", ".join(chr(ord("a") + n) for n in range(len(paths)))
    if not layout.code:
        return f"{path!r}: ({sources}, ...),  # too long to be written out"
    return f"{path!r}: ({sources}, lambda {names}: {layout.code}),"
