"""`trigru table`: numbers of results files, in the format of the place that they go to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ...common.errors import UnknownNameError
from ..analysis.crosstab import KINDS, Kind, crosstab
from ..reporting.table import FORMATS
from .report import load_run


def table(paths: Sequence[Path], to: str, ratio: str, **chosen: Any) -> None:
    """Print the table of some runs, as `trigru.bench.analysis.crosstab.crosstab` makes it with the other options."""
    if to not in FORMATS:
        raise UnknownNameError("format", to, list(FORMATS))
    kinds: dict[str, Kind] = {kind: kind for kind in KINDS}
    if ratio not in kinds:
        raise UnknownNameError("ratio", ratio, list(kinds))
    typer.echo(FORMATS[to](crosstab([load_run(path) for path in paths], kinds[ratio], **chosen)), nl=False)
