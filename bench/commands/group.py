"""All commands together: what is the same for each of them."""

from typing import Any

import typer
from typer.core import TyperGroup

from ..processes.interrupts import listening
from ..reporting.console import say


class Commands(TyperGroup):
    """Commands of which each ends with a word and its exit code if a signal asks it to."""

    def invoke(self, ctx: Any) -> Any:
        """Run one."""
        with listening():
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt as interrupted:
                say("interrupted.")
                raise typer.Exit(getattr(interrupted, "code", 130)) from None
