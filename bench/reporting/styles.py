"""Call styles: what each is called, and what its user writes."""

import textwrap
from collections.abc import Iterable, Mapping

from ...common.port.protocol import LABELS, CallStyle, Port
from ...common.port.styles import labels_of
from ...common.port.task import PHASES
from ..results.grouping import grouped
from .sections import Prose, Section, Words

#: What stands in place of the labels of a style that is one framework's own.
OWN = "none: its own"
#: Characters in a line of comments.
WIDTH = 100


def style_rows(ports: Iterable[Port]) -> list[tuple[Port, CallStyle, str]]:
    """The call styles of ports, with their labels, and the phases in which they have them unless that is in all."""
    return [(port, style, _labels(port, style)) for port in ports for style in port.call_styles]


def style_table(ports: Iterable[Port]) -> Section:
    """The call styles of ports, with the pages that lead with them."""
    rows = style_rows(ports)
    named = [(f"{port.name}[{style.name}]", style) for port, style, _ in rows]
    return Section(
        "Call styles",
        ("port", Words("call style"), Prose("label"), Prose("what its user writes")),
        [(port.name, style.name, labels, style.summary) for port, style, labels in rows],
        (
            "Code to run: trigru styles PORT STYLE, where STYLE is a name or a label.",
            *(f"{name}: {style.source}" for name, style in named if style.source),
            *(f"{name} does not run here: {why}." for name, style in named if (why := style.missing())),
        ),
    )


def style_comment(port: Port, styles: Mapping[str, CallStyle]) -> str:
    """What stands above the code of a port that shows these styles, by phase."""
    lines = []
    for phases in grouped(styles, lambda phase: styles[phase].name).values():
        style = styles[phases[0]]
        text = f"{port.title}, call style {style.name} ({', '.join(phases)}): {style.summary}"
        caution = [f"Mind: {style.caution}."] if style.caution else []
        lines += [*textwrap.wrap(text, WIDTH - 2), *([style.source] if style.source else []), *caution]
    return "".join(f"# {line}\n" for line in lines)


def _labels(port: Port, style: CallStyle) -> str:
    found = []
    for label in LABELS:
        phases = [phase for phase in style.phases if label in labels_of(port, phase)[style.name]]
        if phases:
            found.append(label if tuple(phases) == PHASES else f"{label} ({', '.join(phases)})")
    return ", ".join(found) or OWN
