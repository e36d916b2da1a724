"""`trigru styles`: the call styles, and the code of one."""

import typer

from ...common.errors import UnavailableError, UnknownNameError
from ...common.port.protocol import DOCUMENTED, Port
from ...common.port.styles import labels_of
from ...common.port.task import PHASES
from ...impls import get_port, port_names, unavailable
from ...impls.code import code_of, has_code
from ..reporting.console import say, show
from ..reporting.styles import style_comment, style_table

#: The phases of a program that is to show everything, in its order. The gradient is in the train step.
SHOWN = ("train_step", "forward", "step")


def list_styles() -> None:
    """Print the call styles of all ports that are installed."""
    missing = {name: reason for name in port_names() if (reason := unavailable(name))}
    show([style_table(get_port(name) for name in port_names() if name not in missing)])
    for reason in missing.values():
        say(reason)


def print_code(name: str, style: str | None) -> None:
    """Print a program of a port that its user can run.

    Args:
        style: a name or a label; None for the documented one.
    """
    port = get_port(name)
    if not has_code(name):
        known = "; ".join(f"{s.name}, {s.summary}" for s in port.call_styles)
        raise UnavailableError(f"port {name!r} comes from another package: trigru has no code of it. Styles: {known}.")
    chosen = _by_phase(port, style or DOCUMENTED)
    chosen = {phase: chosen[phase] for phase in SHOWN if phase in chosen}
    styles = {found.name: found for found in port.call_styles}
    for found in dict.fromkeys(chosen.values()):
        if reason := styles[found].missing():
            say(f"call style {found!r} of {name} does not run here: {reason}.")
    typer.echo(style_comment(port, {p: styles[found] for p, found in chosen.items()}), nl=False)
    typer.echo(code_of(name, chosen), nl=False)


def _by_phase(port: Port, word: str) -> dict[str, str]:
    """The call style with this name or label, for each phase in which there is one."""
    found, known = {}, {}
    for phase in PHASES:
        for style, labels in labels_of(port, phase).items():
            known |= dict.fromkeys((style, *labels))
            if word in (style, *labels):
                found.setdefault(phase, style)
    if not found:
        raise UnknownNameError(f"call style of {port.name}", word, list(known))
    return found
