"""Files of trigru with other content, whose checksums are made anew: they lead to the rules behind the checksum."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from trigru.bench.results.lines import CHECKSUM, encode_line, with_checksum


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    """Change the content of a JSON file, and its checksum with it."""
    content = json.loads(path.read_bytes())
    del content[CHECKSUM]
    change(content)
    path.write_bytes(with_checksum(content))


def at(place: str, change: Any) -> Callable[[Any], None]:
    """A change of all that a path of keys leads to, in each item at a star: facts to update, or a function to call."""

    def of(content: Any) -> None:
        found = [content]
        for key in place.split():
            if key == "*":
                items = (record.values() if isinstance(record, dict) else record for record in found)
                found = [inner for record in items for inner in record]
            else:
                found = [record[int(key) if isinstance(record, list) else key] for record in found]
        for record in found:
            change(record) if callable(change) else record.update(change)

    return of


def lines_of(records: Iterable[Any]) -> bytes:
    """A journal of these records."""
    content, checksum = b"", ""
    for record in records:
        line, checksum = encode_line(record, checksum)
        content += line
    return content
