"""All commands together: what is the same for each of them."""

from typing import Any

import typer
from typer.core import TyperGroup

from ..processes.interrupts import check, listening
from ..reporting.console import say


class Commands(TyperGroup):
    """Commands of which each ends with a word and its exit code if a signal asks it to."""

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
