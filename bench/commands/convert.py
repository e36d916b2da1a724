"""`trigru convert`: convert the parameters of a GRU from one framework's layout to another's."""

from pathlib import Path

from ...common.errors import InputError
from ...common.parameters.record import config_of
from ...impls.checkpoints import exchange_in_file, layouts, read, write
from ..reporting.console import say


def convert(
    source: Path,
    target: Path,
    to: str | None,
    at: list[str] | None,
    name: list[str] | None,
    whole: bool,
) -> None:
    """Read and write parameters, as `trigru.impls.checkpoints` does, and print what was read, assumed and written."""
    places, pairs = at or [], [text.partition("=") for text in name or ()]
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"{source} and {target} are the same file: write to another.")
    if any(not (field and own) for field, _, own in pairs):
        raise InputError(
            "--name is a name of trigru's and the file's own, as in weight_ih=Wi."
        )
    own_names = {field: own for field, _, own in pairs}
    if whole:
        written, found = exchange_in_file(source, target, to, places, own_names)
    elif len(places) > 1:
        raise InputError("several --at need --whole, which writes the whole tree.")
    else:
        place = places[0] if places else ""
        found = {place: read(source, place, own_names)}
        written = write(target, found[place].params, to)
    titles = {of: layout.title for of, layout in layouts().items()}
    for place, converted in found.items():
        config = config_of(converted.params)
        classes = f", classes {config.classes}" if config.classes else ""
        sizes = f"input_size {config.input_size}, hidden_size {config.hidden_size}{classes}, {config.param_dtype}"
        where = f"{source}, {place}" if place else str(source)
        say(f"{where}: {converted.layout} ({titles[converted.layout]}), {sizes}")
        for note in converted.notes:
            say(f"warning: {note}")
    say(f"{target}: {written} ({titles[written]}), written")
