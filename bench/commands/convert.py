"""`trigru convert`: convert the parameters of a GRU from one framework's layout to another's."""

import logging
import sys
from pathlib import Path

from ...common.errors import ArgumentError, InputError
from ...common.parameters.record import config_of
from ...impls.checkpoints import LAYOUT, SOURCE, layouts, read, write
from ...impls.checkpoints.containers import ORBAX
from ..reporting.console import say

#: What the command line calls the arguments of `read` and `write`.
OPTIONS: dict[str, str] = {LAYOUT: "--to", SOURCE: "--from"}


def convert(source: Path, target: Path, to: str | None, of: str | None) -> None:
    """Read and write parameters, as `trigru.impls.checkpoints` does, and print what was read, assumed and written."""
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"{source} and {target} are the same file: write to another.")
    if source.is_dir() or target.suffix.lower() in ORBAX.suffixes:
        _silence_orbax()
    try:
        found = read(source, of)
        written = write(target, found.params, to)
    except ArgumentError as error:
        raise InputError(error.named(OPTIONS)) from error
    titles = {name: layout.title for name, layout in layouts().items()}
    config = config_of(found.params)
    classes = f", classes {config.classes}" if config.classes else ""
    sizes = f"input_size {config.input_size}, hidden_size {config.hidden_size}{classes}, {config.param_dtype}"
    say(f"{source}: {found.layout} ({titles[found.layout]}), {sizes}")
    for note in found.notes:
        say(f"warning: {note}")
    say(f"{target}: {written} ({titles[written]}), written")


def _silence_orbax() -> None:
    """To the end of this process: its threads log and print tracebacks, also long after what it raises was said."""
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
