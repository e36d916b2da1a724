"""What a command that times does first: it claims the folder that it writes into, and the machine."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..processes.claims import TIMING, claimed, folder_claim
from ..processes.probe import check_jax
from ..reporting.console import say
from .options import check_folder


@contextmanager
def claim_folder(folder: Path, *, timing: bool = True) -> Iterator[None]:
    """Within this context, no other trigru writes into the folder, and none times on this machine: it is waited for.

    Args:
        timing: whether this command times.

    Raises:
        OSError: the folder cannot be written.
        JaxEnvironmentError: JAX does not start here.
    """
    check_folder(folder)
    check_jax()
    machine = claimed(TIMING, "this machine", _say_waiting) if timing else nullcontext()
    with claimed(folder_claim(folder), str(folder), _say_waiting), machine:
        yield


def _say_waiting(sentence: str) -> None:
    say(f"{sentence} Waiting until it has ended.")
