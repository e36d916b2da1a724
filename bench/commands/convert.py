"""`trigru convert`: write the parameters of a GRU in another framework's layout."""

from pathlib import Path

from ...common.errors import InputError
from ...common.parameters.record import config_of
from ...impls.checkpoints import exchange_in_file, layouts, read, write
from ..processes.interrupts import leaving_at_once
from ..reporting.console import say


def convert(
    source: Path,
    target: Path,
    to: str | None,
    at: list[str] | None,
    name: list[str] | None,
    whole: bool,
) -> None:
    """Read parameters, write them, and print what was read, assumed and written."""
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"{source} and {target} are the same file: write to another.")
    places = at or []
    own_names = _own_names(name or [])
    if whole:
        written, converted = exchange_in_file(source, target, to, places, own_names)
    elif len(places) > 1:
        raise InputError("several --at need --whole, which writes the whole tree.")
    else:
        place = places[0] if places else ""
        with leaving_at_once():
            converted = {place: read(source, place, own_names)}
        written = write(target, converted[place].params, to)

    titles = {name: layout.title for name, layout in layouts().items()}
    for place, gru in converted.items():
        config = config_of(gru.params)
        sizes = f"input_size {config.input_size}, hidden_size {config.hidden_size}"
        where = f"{source}, {place}" if place else str(source)
        title = titles[gru.layout]
        say(f"{where}: {gru.layout} ({title}), {sizes}, {config.param_dtype}")
        for note in gru.notes:
            say(f"warning: {note}")
    say(f"{target}: {written} ({titles[written]}), written")


def _own_names(texts: list[str]) -> dict[str, str]:
    """The file's own name by trigru's, of texts as weight_ih=Wi."""
    own_names = {}
    for text in texts:
        field, _, own_name = text.partition("=")
        if not field or not own_name:
            raise InputError(
                "--name is a name of trigru's and the file's own, as in weight_ih=Wi."
            )
        own_names[field] = own_name
    return own_names
