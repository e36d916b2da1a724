"""Turns of processes that measure side by side: they prepare at the same time, and while one times, the others wait."""

import fcntl
from contextlib import AbstractContextManager
from pathlib import Path


class Turns(AbstractContextManager["Turns"]):
    """The turns of one process. The kernel ends them with the process.

    A process that waits at the door to time comes before one that prepares again: so two prepare, then each times.

    Args:
        folder: of all processes that take turns.
    """

    def __init__(self, folder: Path):
        self._door, self._room = ((folder / name).open("wb") for name in ("door.lock", "room.lock"))

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take no more turns: nobody waits for this process."""
        self._room.close()
        self._door.close()

    def prepare(self) -> None:
        """Wait until no process times, and let none begin before this one's next turn."""
        self._take(fcntl.LOCK_SH)

    def time(self) -> None:
        """Wait until every other process waits, and let them wait until this one's next turn."""
        self._take(fcntl.LOCK_EX)

    def _take(self, kind: int) -> None:
        fcntl.flock(self._room, fcntl.LOCK_UN)
        fcntl.flock(self._door, kind)
        fcntl.flock(self._room, kind)
        fcntl.flock(self._door, fcntl.LOCK_UN)
