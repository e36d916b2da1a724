"""`trigru convert`: convert the parameters of a GRU from one framework's layout to another's."""

from pathlib import Path

from ...common.errors import InputError
from ...common.parameters.record import config_of
from ...impls.checkpoints import layouts, read, write
from ..reporting.console import say


def convert(source: Path, target: Path, to: str | None) -> None:
    """Read and write parameters, as `trigru.impls.checkpoints` does, and print what was read, assumed and written."""
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"{source} and {target} are the same file: write to another.")
    converted = read(source)
    written = write(target, converted.params, to)
    titles = {name: layout.title for name, layout in layouts().items()}
    config = config_of(converted.params)
    classes = f", classes {config.classes}" if config.classes else ""
    sizes = f"input_size {config.input_size}, hidden_size {config.hidden_size}{classes}, {config.param_dtype}"
    say(f"{source}: {converted.layout} ({titles[converted.layout]}), {sizes}")
    for note in converted.notes:
        say(f"warning: {note}")
    say(f"{target}: {written} ({titles[written]}), written")
