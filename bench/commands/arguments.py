"""The options that several commands have, and the folders that they write into."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Option

from ..processes.probe import check_jax
from ..reporting.console import say


def read_folder(text: str | Path) -> Path:
    """A folder as users write it; raises a BadParameter if it has no name, or one that no system takes."""
    if not str(text) or "\0" in str(text):  # a default is a path already
        raise typer.BadParameter("expected the name of a folder.")
    return Path(text)


def folder_of(sizes: list[str] | None) -> Path:
    """The folder of a run's results where the user names none: that of sizes of their own has these in its name.

    >>> str(folder_of(None)), str(folder_of(["hidden=8,32,batch=2"]))
    ('results', 'results-hidden8,32,batch2')
    """
    return Path("-".join(["results", *(re.sub(r"[^\w,]", "", size) for size in sizes or ())]))


@contextmanager
def claim_folder(folder: Path, *, timing: bool = True) -> Iterator[None]:
    """Within it, no other trigru writes into the folder or, where this command times, times here: it is waited for.

    Raises an OSError if the folder cannot be written, or a JaxEnvironmentError.
    """
    from ..processes.scratch import TIMING, claimed, folder_claim  # which needs trigru[bench]

    def waiting(sentence: str) -> None:
        say(f"{sentence} Waiting until it has ended.")

    check_folder(folder)
    check_jax()
    machine = claimed(TIMING, "this machine", waiting) if timing else nullcontext()
    with claimed(folder_claim(folder), str(folder), waiting), machine:
        yield


def check_folder(folder: Path) -> None:
    """Raise an OSError unless results can be written into a folder."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is no folder to write results into. Pass another with --output.")
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{existing} is not writable. Pass another folder with --output.")


def output_folder(help: str) -> Any:
    """The option that names the folder to write into."""
    return Option("--output", "-o", parser=read_folder, help=help)


Names = list[str] | None
# fmt: off
Ports = Annotated[Names, Option("--port", help=
    "Only this port: pure, linen, nnx, equinox or an installed one (repeatable). Default: all.")]
Workloads = Annotated[Names, Option("--workload", help="Only this workload (repeatable).")]
Details = Annotated[bool, Option("--details", help="Also print all tables.")]
Format = Annotated[Literal["text", "json"], Option("--format", help="text, or json for machines.")]
FindingsFormat = Annotated[Literal["text", "json", "junit", "markdown", "github"], Option("--format", help=
    "text; for machines json, junit, markdown or github (annotations, and a summary).")]
Anew = Annotated[bool, Option("--anew", help="Check everything again, also what was proven before by the same code.")]
Equality = Annotated[bool, Option("--equality/--no-equality", help="Also prove equality, which takes time.")]
Python = Annotated[str | None, Option("--python", help=
    "Of the environments, as uv takes it. Default: the version of this one.")]
