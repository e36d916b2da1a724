"""The work of a snapshot: how much is done, and how long all of it takes by the last one with the same versions."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from threading import Lock

import msgspec

from ...common.files import read_whole, write_whole
from .versions import installed

#: The file of the last times, which stands beside the compiled programs; and its largest size.
FILE, MOST_BYTES = "snapshot-seconds.json", 2**16
#: A question of a proof, among the names of subjects.
CHECK = "check"
#: Processes side by side.
PROCESSES = 2
#: The seconds that a question or a subject counts for where no times are known, and the share of the work that has to
#: be done before these say anything about the rest.
CHECK_S, SUBJECT_S, ENOUGH = 0.17, 5.0, 0.4
#: Called with the share of the work that is done, the seconds of the whole, and what was done last; 0 and None as long
#: as nothing is known of them.
Told = Callable[[float, float | None, str], None]


class Work:
    """The parts of the work that are done, with the time of each.

    Args:
        folder: in which times are kept; None keeps none.
        subjects: what is looked at.
        checks: how many questions of a proof are asked.
        told: of the progress.
    """

    def __init__(self, folder: Path | None, subjects: Sequence[str], checks: int, told: Told):
        versions = sorted(installed(["jax", "flax", "equinox", "optax"]).items())
        self._path, self._versions = folder and folder / FILE, " ".join(map("==".join, versions))
        self._known, self._took = self._read(), dict[str, list[float]]()
        self._is_known = self._known.keys() >= {*subjects, *[CHECK] * bool(checks)}
        self._all_s = sum(map(self._expected_s, subjects)) + checks * self._expected_s(CHECK)
        self._done_s, self._told, self._lock, self._last = 0.0, told, Lock(), time.monotonic()
        self._tell("nothing")

    def add_check(self, what: str) -> None:
        """Count a question of a proof, which was answered now."""
        before, self._last = self._last, time.monotonic()
        self.add(CHECK, PROCESSES * (self._last - before), what)

    def add(self, name: str, seconds: float, what: str) -> None:
        """Count a part that took so long."""
        with self._lock:
            self._took.setdefault(name, []).append(seconds)
            self._done_s += self._expected_s(name)
            self._tell(what)

    def keep(self) -> None:
        """Keep the times for the next snapshot. That they cannot be kept costs an estimate alone."""
        seconds = self._known | {name: fmean(took) for name, took in self._took.items()}
        with suppress(OSError):
            if self._path is not None:
                write_whole(self._path, msgspec.json.encode({self._versions: seconds}))

    def _read(self) -> dict[str, float]:
        with suppress(OSError, ValueError, msgspec.DecodeError):
            if self._path is not None:
                content = read_whole(self._path, MOST_BYTES)
                return msgspec.json.decode(content, type=dict[str, dict[str, float]]).get(self._versions, {})
        return {}

    def _expected_s(self, name: str) -> float:
        return self._known.get(name, CHECK_S if name == CHECK else SUBJECT_S)

    def _tell(self, what: str) -> None:
        share = self._done_s / self._all_s
        is_told = self._is_known or share >= ENOUGH
        self._told(share if is_told else 0.0, self._all_s / PROCESSES if self._is_known else None, what)
