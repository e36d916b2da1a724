"""The commands that hand out what is to be used elsewhere: code, and tables. Their options; heavy imports wait."""

from pathlib import Path
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


Runs = Annotated[
    list[Path], typer.Argument(metavar="RESULTS", help="Files results.json or their folders; each has its own rows.")
]
Format = Annotated[str, typer.Option("--format", help="md, csv, latex (with booktabs) or json.")]
Ratio = Annotated[
    str,
    typer.Option(
        "--ratio",
        help="pure: time / plain JAX's. pairwise: each two frameworks in the same call style. time: seconds per call.",
    ),
]
Workloads = Annotated[list[str] | None, typer.Option("--workload", help="Only this workload (repeatable).")]
Phases = Annotated[list[str] | None, typer.Option("--phase", help="Only this phase (repeatable).")]
Styles = Annotated[
    list[str] | None,
    typer.Option("--style", help="A call style or a label (repeatable). Default: documented and functional."),
]


def table(
    runs: Runs,
    format: Format = "md",
    ratio: Ratio = "pure",
    workloads: Workloads = None,
    phases: Phases = None,
    styles: Styles = None,
) -> None:
    """Print a table of results files to take away: a row for each workload and phase, a column for each framework."""
    from .table import table

    chosen = styles or ["documented", "functional"]
    table(runs, format, ratio, workloads=workloads, phases=phases, styles=chosen)
