"""`trigru styles`: its options. Heavy imports wait."""

from typing import Annotated

import typer

Port = Annotated[str | None, typer.Argument(metavar="PORT", help="pure, linen, nnx or equinox.")]
Style = Annotated[
    str | None,
    typer.Argument(
        metavar="STYLE", help="A call style, or a label: documented (the default), functional, leaves or donated."
    ),
]
Phase = Annotated[
    str | None,
    typer.Option(
        "--phase", help="forward, gradient, train_step or step. Default: a train step, then forward, then step."
    ),
]


def styles(port: Port = None, style: Style = None, phase: Phase = None) -> None:
    """Print the code of a call style, complete and runnable; without a port, a table of all call styles."""
    if port is None and phase is not None:
        raise typer.BadParameter("--phase needs a port, whose code is printed.")
    from .styles import list_styles, print_code

    if port is None:
        list_styles()
    else:
        print_code(port, style, phase)
