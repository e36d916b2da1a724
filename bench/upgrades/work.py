"""The work of a snapshot: how much is done, and how long all of it takes by the last one with the same versions."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean

import msgspec

from ...common.files import read_whole, write_whole
from ..results.grouping import grouped
from .versions import installed

#: The file of the last times, which stands beside the compiled programs; and its largest size.
FILE, MOST_BYTES = "snapshot_seconds.json", 2**16
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
    """The parts of the work that are done, with the seconds that each took.

    Args:
        folder: in which these are kept; None keeps none.
        subjects: what is looked at.
        checks: how many questions of a proof are asked.
        told: of the progress.
    """

    def __init__(self, folder: Path | None, subjects: Sequence[str], checks: int, told: Told):
        versions = sorted(installed(["jax", "flax", "equinox", "optax"]).items())
        self._path, self._versions = folder and folder / FILE, " ".join(map("==".join, versions))
        self._known: dict[str, float] = {}
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            if self._path is not None:
                kept = msgspec.json.decode(read_whole(self._path, MOST_BYTES), type=dict[str, dict[str, float]])
                self._known = kept.get(self._versions, {})
        self._is_known = self._known.keys() >= {*subjects, *[CHECK] * bool(checks)}
        self._expected_s = dict.fromkeys(subjects, SUBJECT_S) | {CHECK: CHECK_S} | self._known
        self._all_s = sum(map(self._expected_s.__getitem__, subjects)) + checks * self._expected_s[CHECK]
        self._took, self._told, self._checked = list[tuple[str, float]](), told, time.monotonic()
        self._tell("nothing")

    def add_check(self, what: str) -> None:
        """Count a question of a proof, which was answered now."""
        before, self._checked = self._checked, time.monotonic()
        self.add(CHECK, PROCESSES * (self._checked - before), what)

    def add(self, name: str, seconds: float, what: str) -> None:
        """Count a part that took so long."""
        self._took.append((name, seconds))
        self._tell(what)

    def keep(self) -> None:
        """Keep the times for the next snapshot. That they cannot be kept costs an estimate alone."""
        took = grouped(self._took, lambda part: part[0])
        seconds = self._known | {name: fmean(seconds for _, seconds in parts) for name, parts in took.items()}
        with suppress(OSError):
            if self._path is not None:
                write_whole(self._path, msgspec.json.encode({self._versions: seconds}))

    def _tell(self, what: str) -> None:
        share = sum(self._expected_s[name] for name, _ in self._took) / self._all_s
        is_told = self._is_known or share >= ENOUGH
        self._told(share if is_told else 0.0, self._all_s / PROCESSES if self._is_known else None, what)
