"""`trigru styles`: the call styles, and the code of one."""

import textwrap
from collections.abc import Iterable, Mapping

import typer

from ...common.errors import UnavailableError, UnknownNameError
from ...common.port.protocol import DOCUMENTED, LABELS, CallStyle, Port
from ...common.port.styles import labels_of, styles_called
from ...common.port.task import PHASES
from ...impls import get_port, port_names, unavailable
from ...impls.code import PORTS, code_of
from ..reporting.console import say, show
from ..reporting.sections import Prose, Section, Words
from ..results.grouping import grouped

#: The phases of a program that is to show everything, in its order. The gradient is in the train step.
SHOWN = ("train_step", "forward", "step")
#: Characters in a line of comments.
WIDTH = 100


def styles(port: str | None, style: str | None) -> None:
    """Print the code of a call style of a port, by its name or label; without a port, all call styles."""
    if port is not None:
        print_code(port, style or DOCUMENTED)
        return
    missing = {name: reason for name in port_names() if (reason := unavailable(name))}
    show([style_table(get_port(name) for name in port_names() if name not in missing)])
    for reason in missing.values():
        say(reason)


def style_rows(ports: Iterable[Port]) -> list[tuple[Port, CallStyle, str]]:
    """The call styles of ports, with their labels, and the phases in which they have them unless that is in all."""
    rows = []
    for port in ports:
        for style in port.call_styles:
            labels = []
            for label in LABELS:
                if phases := tuple(phase for phase in style.phases if label in labels_of(port, phase)[style.name]):
                    labels.append(label if phases == PHASES else f"{label} ({', '.join(phases)})")
            rows.append((port, style, ", ".join(labels) or "none: its own"))
    return rows


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


def print_code(name: str, style: str) -> None:
    """Print a program of a port that its user can run, in a call style of this name or label."""
    port = get_port(name)
    if name not in PORTS:
        known = "; ".join(f"{s.name}, {s.summary}" for s in port.call_styles)
        raise UnavailableError(f"port {name!r} comes from another package: trigru has no code of it. Styles: {known}.")
    styles = {style.name: style for style in port.call_styles}
    chosen = {phase: styles[called[0]] for phase in PHASES if (called := styles_called(port, [style], phase))}
    if not chosen:
        known = [
            word for phase in PHASES for name, labels in labels_of(port, phase).items() for word in (name, *labels)
        ]
        raise UnknownNameError(f"call style of {name}", style, list(dict.fromkeys(known)))
    chosen = {phase: chosen[phase] for phase in SHOWN if phase in chosen}
    for found in dict.fromkeys(chosen.values()):
        if reason := found.missing():
            say(f"call style {found.name!r} of {name} does not run here: {reason}.")
    typer.echo(_comment(port, chosen), nl=False)
    typer.echo(code_of(name, {phase: found.name for phase, found in chosen.items()}), nl=False)


def _comment(port: Port, styles: Mapping[str, CallStyle]) -> str:
    lines = []
    for phases in grouped(styles, lambda phase: styles[phase].name).values():
        style = styles[phases[0]]
        text = f"{port.title}, call style {style.name} ({', '.join(phases)}): {style.summary}"
        caution = [f"Mind: {style.caution}."] if style.caution else []
        lines += [*textwrap.wrap(text, WIDTH - 2), *([style.source] if style.source else []), *caution]
    return "".join(f"# {line}\n" for line in lines)
