"""All commands together: what is the same for each of them."""

from typing import Any

import typer
from typer.core import TyperGroup

from ..processes.interrupts import check, listening
from ..reporting.console import say
from . import former


class Commands(TyperGroup):
    """Commands of which each ends with a word and its exit code if a signal asks it to."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name. A former name of it or of an option ends with what to use instead."""
        if args[0] in former.COMMANDS:
            ctx.fail(former.COMMANDS[args[0]])
        name, command, rest = super().resolve_command(ctx, args)
        known = {option for parameter in command.params for option in parameter.opts} if command else set()
        own = rest[: rest.index("--")] if "--" in rest else rest
        for option in (word.partition("=")[0] for word in own):
            if option in former.OPTIONS and option not in known and name in former.ONLY.get(option, (name,)):
                ctx.fail(former.OPTIONS[option])
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run one."""
        with listening():
            try:
                done = super().invoke(ctx)
                check()
                return done
            except KeyboardInterrupt as interrupted:
                say("interrupted.")
                raise typer.Exit(getattr(interrupted, "code", 130)) from None
