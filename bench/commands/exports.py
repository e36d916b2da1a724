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


def styles(port: Port = None, style: Style = None) -> None:
    """Print the code of a call style, complete and runnable; without a port, a table of all call styles."""
    from .styles import list_styles, print_code

    if port is None:
        list_styles()
    else:
        print_code(port, style)
