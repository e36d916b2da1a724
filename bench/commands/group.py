"""All commands together: what is the same for each of them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ..processes.interrupts import check, listening
from ..reporting.console import say
from ..reporting.inert import for_terminal, shortened
from . import former

#: The exit code of a program whose reader has left: 128 + SIGPIPE.
CLOSED_PIPE = 141
#: Of a command: an option, those that it does not go with, and why.
CLASHES = {
    "compare": (
        (
            "--cold-start",
            "--workload --size --phase --style --kernel --quick --processes --dtype --precision --devices --no-proof "
            "--anew --fresh --details --format",
            "it takes --port and --output alone",
        ),
        ("--no-proof", "--anew", "that is about the proof"),
    ),
    "verify": (
        ("--anew", "--check --dtype --upstream --self-test", "only a proof of all default checks is kept"),
        (
            "--self-test",
            "--port --dtype --check --kernel --format --upstream --devices --hosts",
            "each fault is run through its own check",
        ),
        ("--devices", "--check --dtype --upstream", "it adds one check to all others"),
        ("--upstream", "--kernel", "it verifies the frameworks' own parts"),
        ("--hosts", "--check --dtype --upstream --anew", "it takes --port, --kernel, --devices and --format alone"),
    ),
}


class Commands(TyperGroup):
    """Commands of which each ends with a word and its exit code if a signal asks it to, or if nobody reads it."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """The context of a command, in which its options are read and `--help` is printed."""
        with _ending_as_documented():
            return super().make_context(*args, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name. A former name of it or of an option ends with what to use instead."""
        for word in args:
            if any("\udc80" <= letter <= "\udcff" for letter in word):  # bytes that Python could not decode
                shown = for_terminal(word.encode(errors="backslashreplace").decode())
                ctx.fail(f"an argument is not UTF-8: {shown}")
        if args[0] in former.COMMANDS:
            ctx.fail(f"`trigru {args[0]}` is now {former.COMMANDS[args[0]]}.")
        name, command, rest = super().resolve_command(ctx, args)
        known = {option for parameter in command.params for option in parameter.opts} if command else set()
        own = rest[: rest.index("--")] if "--" in rest else rest
        given = list(dict.fromkeys(word.partition("=")[0] for word in own))
        for option in given:
            if option in former.OPTIONS and option not in known:
                ctx.fail(f"{option} is now {former.OPTIONS[option]}.")
        for option, others, reason in CLASHES.get(name or "", ()):
            other = next((word for word in given if word in others.split()), None)
            if option in given and other:
                ctx.fail(f"{option} does not go with {other}: {reason}.")
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run one."""
        with listening(), _ending_as_documented():
            try:
                done = super().invoke(ctx)
                check()
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
        if not any(isinstance(cause, BrokenPipeError) for cause in (error, error.__context__)):
            raise  # Rich exits with 1 where its pipe is closed
        with open(os.devnull, "wb") as nowhere:  # what is left to flush goes there
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise typer.Exit(CLOSED_PIPE) from None
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = shortened(message)  # pyright: ignore[reportAttributeAccessIssue]
        raise
