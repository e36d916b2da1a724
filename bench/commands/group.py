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
from ..reporting.inert import shortened

#: The exit code of a program whose reader has left: 128 + SIGPIPE.
CLOSED_PIPE = 141
#: Former names of commands, each with the sentence that says what to use; they answer for one release.
FORMER_COMMANDS: dict[str, str] = {
    "table": "`trigru table` is `trigru report --format` now: markdown, csv, latex, json or html.",
    "bench": "`trigru bench` is `trigru compare --no-proof` now; with --cold-start, `trigru compare --cold-start`.",
    "train": "`trigru train` is a script of the repository now: bench/studies/training/study.py, and vanishing.py.",
}
#: The same of options, whichever command had them.
FORMER_OPTIONS: dict[str, str] = {
    "--calibrate": "--calibrate is a script of the repository now: bench/studies/calibration.py.",
    "--coordinator": "--coordinator is gone: nothing runs on several hosts; --devices takes those of one.",
    "--host": "--host is gone: nothing runs on several hosts; --devices takes those of one.",
    "--distributed": "--distributed is gone: nothing runs on several hosts; --devices takes those of one.",
    "--hosts": "--hosts is gone: nothing runs on several hosts; --devices takes those of one.",
    "--rounds": "--rounds is gone: a group gets as many rounds as fill its time; --processes says how often.",
    "--sweep": "--sweep is now --size with several values, as in --size hidden=8,32,128.",
    "--seed": "--seed is gone: the orders of arms and the bootstrap are drawn with the seed 0.",
    "--resume": "--resume is not needed: the same command continues what was stopped; --fresh deletes it.",
    "--discard": "--discard is now --fresh of `trigru compare`.",
    "--wait": "--wait is not needed: a trigru that uses the machine or the folder is always waited for.",
    "--json": "--json is now --format json.",
    "--cache": "--cache is the default; set the variable TRIGRU_NO_CACHE=1 to keep nothing.",
    "--no-cache": "--no-cache is the variable TRIGRU_NO_CACHE=1 now.",
    "--absolute": "--absolute is gone: two runs are compared by their ratios to plain JAX.",
    "--allow-missing": "--allow-missing is now --anyway.",
    "--allow-other-machine": "--allow-other-machine is now --anyway.",
    "--bench": "--bench is gone: run `trigru compare` in each environment, and compare two by `trigru diff`.",
    "--phase": "--phase is gone here: the code of a call style has all its phases.",
    "--limit": "--limit is gone: a process that says nothing for 300 seconds is ended.",
    "--compile-anew": "--compile-anew is gone: two of ten processes compile, and the others take their programs.",
    "--autotune": "--autotune is gone: on a GPU, every process tunes its programs.",
    "--snapshot": "--snapshot is a command: trigru snapshot -o FOLDER takes what was proven before.",
    "--share": "--share is gone: the second of two runs on one machine waits for the first.",
    "--weak": "--weak is gone: --devices spreads one batch; time a larger one with --size batch=N.",
    "--thorough": "--thorough is gone: all default checks always run; --check scale checks accuracy at large sizes.",
    "--last": "--last is gone: say with --from at which day to begin.",
    "--allow-pickle": "--allow-pickle is not needed: .pt and .pth files are read by torch.load(weights_only=True).",
    "--peers": "--peers is gone: what torch, Haiku, Keras and ONNX Runtime took stands in docs/kernel.md.",
}
#: The commands that had an option, where its name could be meant otherwise in others.
ONLY_OF: dict[str, tuple[str, ...]] = {"--json": ("compare", "verify", "report"), "--phase": ("styles",)}


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
                ctx.fail(f"an argument is not UTF-8: {word.encode(errors='backslashreplace').decode()}")
        if args[0] in FORMER_COMMANDS:
            ctx.fail(FORMER_COMMANDS[args[0]])
        name, command, rest = super().resolve_command(ctx, args)
        known = {option for parameter in command.params for option in parameter.opts} if command else set()
        own = rest[: rest.index("--")] if "--" in rest else rest
        for option in (word.partition("=")[0] for word in own):
            if option in FORMER_OPTIONS and option not in known and name in ONLY_OF.get(option, (name,)):
                ctx.fail(FORMER_OPTIONS[option])
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
