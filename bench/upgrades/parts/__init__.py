"""The frameworks' own parts as people use them: a catalogue of small programs for each.

The arguments and defaults of all that a framework's main modules offer are kept, too.
"""

from importlib import import_module

from ..noticing import survived
from ..observing import look_at
from ..record import PARTS_OF, Subject
from ..signatures import signatures_of
from ..snapshot_file import ArrayStore
from .catalogue import Catalogue


def catalogues_of(framework: str) -> list[Catalogue]:
    """The catalogues that a snapshot looks at with a framework's port.

    Optimizers need no other framework than JAX, and are looked at with it.
    """
    names = ["pure", "optimizers"] if framework == "pure" else [framework]
    catalogues: list[Catalogue] = []
    for name in names:
        module = import_module(f".{name}", __name__)
        catalogues.append(module.parts)
    return catalogues


def look_at_parts(subject: Subject, store: ArrayStore) -> None:
    """The facts of a framework's own parts.

    What fails is a problem of its own, and the others go on.
    """
    with survived(subject, "import"):
        for catalogue in catalogues_of(subject.framework):
            look_at(subject, store, catalogue.rows)
            for name in catalogue.modules:
                with survived(subject, f"arguments of {name}"):
                    subject.signatures |= dict(signatures_of(name))


def part_names() -> dict[str, list[str]]:
    """The names of all rows, by the subject of a snapshot."""
    names: dict[str, list[str]] = {}
    for framework, subject in PARTS_OF.items():
        names[subject] = []
        for catalogue in catalogues_of(framework):
            names[subject] += catalogue.rows
    return names
