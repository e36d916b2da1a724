"""What a command that times does first: it claims the folder that it writes into, and the machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from ..processes.claims import TIMING, claimed, folder_claim
from ..processes.probe import check_jax
from ..reporting.console import say
from .options import check_folder

#: What to do with the journal of an unfinished run.
Unfinished = Literal["resume", "discard", "refuse"]
WAIT = "Pass --wait to begin when it has ended."


@contextmanager
def claim_folder(folder: Path, *, wait: bool = False, timing: bool = True) -> Iterator[None]:
    """Within this context, nobody else writes into the folder, and nobody times on this machine unasked.

    Args:
        wait: for whoever has it.
        timing: whether this command times.

    Raises:
        OSError: the folder cannot be written.
        ClaimedError: another process has it, or times.
        JaxEnvironmentError: JAX does not start here.
    """
    waiting: Callable[[str], None] | None = (lambda sentence: say(f"{sentence} Waiting.")) if wait else None
    check_folder(folder)
    check_jax()
    machine = claimed(TIMING, "this machine", WAIT, waiting) if timing else nullcontext()
    with claimed(folder_claim(folder), str(folder), "Pass another folder with --output.", waiting), machine:
        yield
