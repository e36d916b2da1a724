"""The group of all commands, how they end, and the options that they share."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Option
from typer.core import TyperGroup

from ..processes.environment import check_jax
from ..processes.interrupts import listening, raise_if_interrupted
from ..reporting.console import Format, say


class Commands(TyperGroup):
    """A group whose commands end with a word and an exit code where they are stopped.

    That is where a signal asks it, or where nobody reads what they print.
    """

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _ending_as_documented():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with listening(), _ending_as_documented():
            try:
                result = super().invoke(ctx)
                raise_if_interrupted()
                sys.stdout.flush()
            except KeyboardInterrupt as interrupt:
                say("interrupted.")
                raise typer.Exit(getattr(interrupt, "code", 130)) from None
            return result


@contextmanager
def _ending_as_documented() -> Iterator[None]:
    """Exit with 141 if the reader of stdout has left."""
    try:
        yield
    except (BrokenPipeError, SystemExit) as error:
        # Rich exits with 1 where its pipe is closed
        if not isinstance(error, BrokenPipeError) and not isinstance(
            error.__context__, BrokenPipeError
        ):
            raise
        with open(os.devnull, "wb") as nowhere:  # what is left to flush goes there
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise typer.Exit(141) from None  # 128 + SIGPIPE


def refuse_with(option: str, others: Mapping[str, object], reason: str) -> None:
    """Raise a BadParameter if an option is given that does not go with another.

    Args:
        option: the other one.
        others: the options by name; None for one that is not given.
        reason: why they do not go together.
    """
    for name, value in others.items():
        if value is not None:
            raise typer.BadParameter(f"{option} does not go with {name}: {reason}.")


def read_folder(text: str | Path) -> Path:
    """A folder as users write it.

    Raises a BadParameter if it has no name, or one that no system takes.
    """
    if not str(text) or "\0" in str(text):  # a default is a path already
        raise typer.BadParameter("expected the name of a folder.")
    return Path(text)


def folder_of(sizes: list[str] | None) -> Path:
    """The folder of a run's results where the user names none.

    That of sizes of their own has these in its name.

    >>> str(folder_of(None)), str(folder_of(["hidden=8,32,batch=2"]))
    ('results', 'results-hidden8,32,batch2')
    """
    words = ["results"]
    for size in sizes or ():
        words.append(re.sub(r"[^\w,]", "", size))
    return Path("-".join(words))


@contextmanager
def claim_folder(folder: Path, *, timing: bool = True) -> Iterator[None]:
    """Keep a folder, and with `timing` this machine, to this trigru.

    Another trigru that uses them is waited for. Raises an OSError if the folder cannot
    be written, or a JaxEnvironmentError.
    """
    # these need the extra `bench`
    from ..processes.scratch import TIMING, claimed, folder_claim

    def say_waiting(sentence: str) -> None:
        say(f"{sentence} Waiting until it has ended.")

    check_folder(folder)
    check_jax()
    machine_claim = nullcontext()
    if timing:
        machine_claim = claimed(TIMING, "this machine", say_waiting)
    with claimed(folder_claim(folder), str(folder), say_waiting), machine_claim:
        yield


def check_folder(folder: Path) -> None:
    """Raise an OSError unless results can be written into a folder."""
    existing = folder
    while not existing.exists() and not existing.is_symlink():
        existing = existing.absolute().parent
    if not existing.is_dir():
        raise NotADirectoryError(
            f"{existing} is no folder to write results into. Pass another with "
            "--output."
        )
    if not os.access(existing, os.W_OK):
        raise PermissionError(
            f"{existing} is not writable. Pass another folder with --output."
        )


def output_folder(help: str) -> Any:
    """The option that names the folder to write into."""
    return Option("--output", "-o", parser=read_folder, help=help)


Names = list[str] | None

Ports = Annotated[
    Names,
    Option(
        "--port",
        help="Look only at this port: pure, linen, nnx, equinox or an installed one. "
        "Can be repeated. Default: all ports.",
    ),
]
Tests = Annotated[
    str | None,
    Option(
        "--tests",
        help="Run these tests, such as tests/test_model.py, and look at what they pass "
        "to the fixture `unchanged`, in place of trigru's ports.",
    ),
]
Workloads = Annotated[
    Names, Option("--workload", help="Look only at this workload. Can be repeated.")
]
Details = Annotated[
    bool, Option("--details", help="Print all details and tables, too.")
]
TextOrJson = Annotated[
    Literal["text", "json"],
    Option("--format", help="Print text, or json for machines."),
]
FindingsFormat = Annotated[
    Format,
    Option(
        "--format",
        help="Print text, or json, markdown or github for machines. github prints "
        "annotations and writes a summary of the job.",
    ),
]
Python = Annotated[
    str | None,
    Option(
        "--python",
        help="Make environments with this Python, which is written as for uv. Default: "
        "the version of this Python.",
    ),
]


def of_snapshot(ports: Names, tests: str | None) -> list[str]:
    """The arguments of `trigru snapshot` that look at ports, or at tests."""
    if tests is None:
        return [f"--port={name}" for name in ports or []]
    if ports:
        raise typer.BadParameter("--port is about trigru's ports: it has no --tests.")
    return [tests]
