"""`trigru styles`: the call styles, and the code of one."""

import textwrap
from collections.abc import Iterable
from itertools import chain

import typer

from ...common.errors import UnavailableError, UnknownNameError
from ...common.port.protocol import DOCUMENTED, LABELS, CallStyle, Port
from ...common.port.styles import labels_of, styles_called
from ...common.port.task import PHASES
from ...impls import get_port, port_names, unavailable
from ...impls.code import PORTS, code_of
from ..reporting.console import Prose, Section, Words, say, show
from ..results.grouping import grouped

#: The phases of a program that is to show everything, in its order. The gradient is in the train step.
SHOWN = ("train_step", "forward", "step")
#: Characters in a line of comments.
WIDTH = 100


def styles(port: str | None, style: str | None) -> None:
    """Print the code of a call style of a port, by its name or label; without a port, all call styles."""
    if port is not None:
        print_code(get_port(port), style or DOCUMENTED)
        return
    missing = {name: reason for name in port_names() if (reason := unavailable(name))}
    rows = style_rows(get_port(name) for name in port_names() if name not in missing)
    named = [(f"{port.name}[{style.name}]", style) for port, style, _ in rows]
    table = Section(
        "Call styles",
        ("port", Words("call style"), Prose("label"), Prose("what its user writes")),
        [
            (port.name, style.name, labels, style.summary)
            for port, style, labels in rows
        ],
        (
            "Code to run: trigru styles PORT STYLE, where STYLE is a name or a label.",
            *(f"{name}: {style.source}" for name, style in named if style.source),
            *(
                f"{name} does not run here: {why}."
                for name, style in named
                if (why := style.missing())
            ),
        ),
    )
    show([table])
    for reason in missing.values():
        say(reason)


def style_rows(ports: Iterable[Port]) -> list[tuple[Port, CallStyle, str]]:
    """The call styles of ports, with their labels, and the phases in which they have them unless that is in all."""
    rows = []
    for port, style in [(of, style) for of in ports for style in of.call_styles]:
        labels = []
        for label in LABELS:
            phases = tuple(
                phase
                for phase in style.phases
                if label in labels_of(port, phase)[style.name]
            )
            if phases:
                labels.append(
                    label if phases == PHASES else f"{label} ({', '.join(phases)})"
                )
        rows.append((port, style, ", ".join(labels) or "none: its own"))
    return rows


def print_code(port: Port, name: str) -> None:
    """Print a program of a port that its user can run, in a call style of this name or label."""
    styles = {style.name: style for style in port.call_styles}
    if port.name not in PORTS:
        known = "; ".join(f"{style.name}, {style.summary}" for style in styles.values())
        reason = f"port {port.name!r} comes from another package: trigru has no code of it. Styles: {known}."
        raise UnavailableError(reason)
    chosen = {
        phase: styles[called[0]]
        for phase in SHOWN
        if (called := styles_called(port, [name], phase))
    }
    if not chosen:
        words = [
            (style, *labels)
            for phase in PHASES
            for style, labels in labels_of(port, phase).items()
        ]
        raise UnknownNameError(
            f"call style of {port.name}",
            name,
            list(dict.fromkeys(chain.from_iterable(words))),
        )
    for style in dict.fromkeys(chosen.values()):
        if reason := style.missing():
            say(
                f"call style {style.name!r} of {port.name} does not run here: {reason}."
            )
    for phases in grouped(chosen, lambda phase: chosen[phase].name).values():
        style = chosen[phases[0]]
        text = f"{port.title}, call style {style.name} ({', '.join(phases)}): {style.summary}"
        caution = [f"Mind: {style.caution}."] if style.caution else []
        for line in (
            *textwrap.wrap(text, WIDTH - 2),
            *([style.source] if style.source else []),
            *caution,
        ):
            typer.echo(f"# {line}")
    typer.echo(
        code_of(port.name, {phase: style.name for phase, style in chosen.items()}),
        nl=False,
    )
