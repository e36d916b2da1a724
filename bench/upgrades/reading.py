"""Whether the checkpoints of a snapshot are still read, by what is installed, bit for bit."""

from collections.abc import Iterator
from pathlib import Path

from ...common.errors import TrigruError, UnavailableError, brief
from ...common.parameters.layouts import CANONICAL
from ...impls import checkpoints, port_names, unavailable
from ...impls.checkpoints.containers import CONTAINERS
from .changes import Change
from .folder import CHECKPOINTS, name_of
from .record import Snapshot


def unread(folder: Path, snapshot: Snapshot) -> Iterator[Change]:
    """The checkpoints in a snapshot's folder that what is installed does not read, or reads as something else.

    They are not trusted: none runs code, and none stands elsewhere.
    """
    here = [s for s in snapshot.subjects if s.framework in port_names() and not unavailable(s.framework)]
    for subject in here:
        for file, arrays in subject.checkpoints.items():
            said = _problem(folder / CHECKPOINTS, file, arrays)
            if said is not None:
                yield Change("checkpoints", subject.name, f"reading {file}", "reads", said)


def _problem(folder: Path, file: str, arrays: dict[str, str]) -> str | None:
    if file in ("", ".", "..") or Path(file).name != file or (folder / file).is_symlink():
        return "its name leads to another folder"
    if Path(file).suffix not in {suffix for c in CONTAINERS for suffix in c.suffixes if not c.optional}:
        return None  # of a trigru that wrote other formats, too, or a pickle
    try:
        found = CANONICAL.flat(checkpoints.read(folder / file).params)
    except UnavailableError:
        return None  # what reads it is not installed here
    except (TrigruError, OSError) as error:
        return brief(error)
    other = [name for name, array in arrays.items() if name not in found or name_of(found[name]) != array]
    return f"other bits in {', '.join(other)}" if other else None
