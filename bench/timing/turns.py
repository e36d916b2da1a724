"""Turns of processes that measure side by side: they prepare at the same time, and while one times, the others wait."""

import fcntl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path

#: How often a process that waits says so, in seconds: its parent ends one that is silent for long.
HEARTBEAT_S = 30.0


class Turns(AbstractContextManager["Turns"]):
    """A lock that processes share while they prepare, and that one has for itself while it times.

    A process that waits to time comes before one that would prepare again: each passes a turnstile, in which it waits.
    The kernel releases the lock of a process that ends.

    Args:
        folder: of all processes that take turns.
        waits: called every `HEARTBEAT_S` seconds while this process waits.
    """

    def __init__(self, folder: Path, waits: Callable[[], None] = lambda: None):
        self._turnstile, self._lock = ((folder / name).open("wb") for name in ("turnstile.lock", "work.lock"))
        self._waits = waits

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more turns: nobody waits for this process."""
        self._lock.close()
        self._turnstile.close()

    def acquire_shared(self) -> None:
        """Wait until no process times, and let none begin before this one's next turn."""
        self._acquire(fcntl.LOCK_SH)

    def acquire_exclusive(self) -> None:
        """Wait until every other process waits, and let them wait until this one's next turn."""
        self._acquire(fcntl.LOCK_EX)

    def _acquire(self, kind: int) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        with ThreadPoolExecutor(1) as pool:
            locked = pool.submit(lambda: [fcntl.flock(file, kind) for file in (self._turnstile, self._lock)])
            while wait([locked], HEARTBEAT_S).not_done:
                self._waits()
            locked.result()
        fcntl.flock(self._turnstile, fcntl.LOCK_UN)
