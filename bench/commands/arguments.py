"""The group of all commands, with exit codes of signals and closed pipes; the options and folders that they share."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Option
from typer.core import TyperGroup

from ...common.errors import for_terminal, listed
from ..processes.interrupts import listening, raise_if_interrupted
from ..processes.jax_start import check_jax
from ..reporting.console import say, shortened

#: Of a command: options that go with some of its others alone, with these and the reason.
GO_WITH = {
    "verify": {
        "--hosts": (
            "--port --kernel --devices --format",
            "hosts run only the checks of many devices together",
        ),
        "--devices": (
            "--port --kernel --hosts --format",
            "it adds checks to a full proof",
        ),
    },
}


class Commands(TyperGroup):
    """Commands of which each ends with a word and its exit code if a signal asks it to, or if nobody reads it."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _ending_as_documented():
            return super().make_context(*args, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name. Ends where options do not go together."""
        for word in args:
            if any(
                "\udc80" <= letter <= "\udcff" for letter in word
            ):  # bytes that Python could not decode
                shown = for_terminal(word.encode(errors="backslashreplace").decode())
                ctx.fail(f"an argument is not UTF-8: {shown}")
        name, command, rest = super().resolve_command(ctx, args)
        known = (
            {option for parameter in command.params for option in parameter.opts}
            if command
            else set()
        )
        own = rest[: rest.index("--")] if "--" in rest else rest
        given = [
            option
            for word in own
            if (option := word.partition("=")[0]).startswith("--")
        ]
        for option, (others, reason) in GO_WITH.get(name or "", {}).items():
            refused = [
                word
                for word in given
                if word in known and word not in (option, *others.split())
            ]
            if option in given and refused:
                takes = (
                    f"It takes {listed(others.split())} alone"
                    if others
                    else "It takes no other option"
                )
                ctx.fail(f"{option} does not go with {refused[0]}: {reason}. {takes}.")
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        with listening(), _ending_as_documented():
            try:
                done = super().invoke(ctx)
                raise_if_interrupted()
                sys.stdout.flush()
                return done
            except KeyboardInterrupt as interrupted:
                say("interrupted.")
                raise typer.Exit(getattr(interrupted, "code", 130)) from None


@contextmanager
def _ending_as_documented() -> Iterator[None]:
    """Exit with 141 if the reader of stdout has left; repeat no more of an argument than shows which it is."""
    try:
        yield
    except (BrokenPipeError, SystemExit) as error:
        if not any(
            isinstance(cause, BrokenPipeError) for cause in (error, error.__context__)
        ):
            raise  # Rich exits with 1 where its pipe is closed
        with open(os.devnull, "wb") as nowhere:  # what is left to flush goes there
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise typer.Exit(141) from None  # 128 + SIGPIPE
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = shortened(message)  # pyright: ignore[reportAttributeAccessIssue]
        raise


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
    return Path(
        "-".join(["results", *(re.sub(r"[^\w,]", "", size) for size in sizes or ())])
    )


@contextmanager
def claim_folder(folder: Path, *, timing: bool = True) -> Iterator[None]:
    """Keep the folder and, with timing, this machine to this trigru; wait first for another one that uses them.

    Raises an OSError if the folder cannot be written, or a JaxEnvironmentError.
    """
    from ..processes.scratch import (
        TIMING,
        claimed,
        folder_claim,
    )  # which needs trigru[bench]

    def waiting(sentence: str) -> None:
        say(f"{sentence} Waiting until it has ended.")

    check_folder(folder)
    check_jax()
    machine = claimed(TIMING, "this machine", waiting) if timing else nullcontext()
    with claimed(folder_claim(folder), str(folder), waiting), machine:
        yield


def check_folder(folder: Path) -> None:
    """Raise an OSError unless results can be written into a folder."""
    existing = next(
        path
        for path in (folder, *folder.absolute().parents)
        if path.exists() or path.is_symlink()
    )
    if not existing.is_dir():
        raise NotADirectoryError(
            f"{existing} is no folder to write results into. Pass another with --output."
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
        help="Only this port: pure, linen, nnx, equinox or an installed one (repeatable). Default: all.",
    ),
]
Workloads = Annotated[
    Names, Option("--workload", help="Only this workload (repeatable).")
]
Details = Annotated[bool, Option("--details", help="Also print all tables.")]
Format = Annotated[
    Literal["text", "json"], Option("--format", help="text, or json for machines.")
]
FindingsFormat = Annotated[
    Literal["text", "json", "markdown", "github"],
    Option(
        "--format",
        help="text; for machines json, markdown or github (annotations, and a summary).",
    ),
]
Equality = Annotated[
    bool,
    Option("--equality/--no-equality", help="Also prove equality, which takes time."),
]
Python = Annotated[
    str | None,
    Option(
        "--python",
        help="Of the environments, as uv takes it. Default: the version of this one.",
    ),
]
