"""Whether the files of parameters in a snapshot are still read, by what is installed, bit for bit."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...common.errors import TrigruError, UnavailableError, brief
from ...common.parameters.layouts import CANONICAL
from ...impls import checkpoints, port_names, unavailable
from ...impls.checkpoints.containers import CONTAINERS
from .files import Read, name_of
from .record import CONTENT, ArrayNames, Change


def unread(old: Read) -> Iterator[Change]:
    """The files that what is installed does not read, or reads as something else. No code in one is run."""
    snapshot, arrays = old
    known = {suffix for container in CONTAINERS for suffix in container.suffixes if not container.optional}
    for subject in snapshot.subjects:
        if subject.framework not in port_names() or unavailable(subject.framework):
            continue
        for suffix, written in subject.checkpoints.items():
            content = arrays.get(written.get(CONTENT, ""))
            said = _problem(suffix, content, written) if content is not None and suffix in known else ""
            if said:
                yield Change("checkpoints", subject.name, f"reading a file as {suffix}", "reads", said)


def _problem(suffix: str, content: np.ndarray, written: ArrayNames) -> str:
    """How a file differs from what was written into it; "" if it does not, or if its reader is not installed."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"parameters{suffix}"
        path.write_bytes(content.tobytes())
        try:
            converted = checkpoints.read(path)
        except UnavailableError:
            return ""
        except (TrigruError, OSError) as error:
            return brief(error)
    found = {CONTENT: content, **CANONICAL.flat(converted.params)}
    other = [name for name, array in written.items() if name not in found or name_of(found[name]) != array]
    return f"other bits in {', '.join(other)}" if other else ""
