"""Turns of processes that measure side by side: they prepare at the same time, and while one times, the others wait."""

import fcntl
from contextlib import AbstractContextManager
from pathlib import Path


class Turns(AbstractContextManager["Turns"]):
    """The turns of one process. The kernel ends them with the process.

    A process prepares with a shared lock and times with an exclusive one. It waits for it in a turnstile, so that one
    that waits to time comes before one that prepares again: so two prepare, then each times.

    Args:
        folder: of all processes that take turns.
    """

    def __init__(self, folder: Path):
        self._turnstile, self._lock = ((folder / name).open("wb") for name in ("turnstile", "lock"))

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more turns: nobody waits for this process."""
        self._lock.close()
        self._turnstile.close()

    def acquire_shared(self) -> None:
        """Wait until no process times, and let none time before this one's next turn."""
        self._acquire(fcntl.LOCK_SH)

    def acquire_exclusive(self) -> None:
        """Wait until every other process waits, and let them wait until this one's next turn."""
        self._acquire(fcntl.LOCK_EX)

    def _acquire(self, kind: int) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        fcntl.flock(self._turnstile, kind)
        fcntl.flock(self._lock, kind)
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
