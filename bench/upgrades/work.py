"""The work of a snapshot: how much is done, and how long all of it takes by the last one with the same versions."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from ...common.files import read_whole, write_whole
from .versions import installed

#: The file of the last times, which stands beside the compiled programs; and its largest size.
FILE, MOST_BYTES = "snapshot_seconds.json", 2**16
#: A question of a proof, among the names of subjects.
CHECK = "check"
#: Processes side by side.
PROCESSES = 2
#: The seconds that a question or a subject takes where no times are known, which are near each other's in proportion;
#: those of other subjects, and of fused kernels.
SECONDS = {CHECK: 0.17, "jax, optax": 12.0, "linen's parts": 16.0, "nnx's parts": 10.0, "equinox's parts": 9.0}
OTHER_S, FUSED_S = 7.0, 2.0
#: Called with the share of the work that is done, the seconds of the whole if they are known, and what was done last.
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
        self._known, self._took_s, self._left_s = dict[str, float](), dict[str, list[float]](), 0.0
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            if self._path is not None:
                kept = msgspec.json.decode(read_whole(self._path, MOST_BYTES), type=dict[str, dict[str, float]])
                self._known = kept.get(self._versions, {})
        names = [*subjects, *[CHECK] * checks]
        self._all_s = self._left_s = sum(map(self._expected_s, names))
        self._told, self._checked = told, time.monotonic()
        self._whole_s = self._all_s / PROCESSES if self._known.keys() >= {*names} else None
        told(0.0, self._whole_s, "nothing")

    def add_check(self, what: str) -> None:
        """Count a question of a proof, which was answered now."""
        before, self._checked = self._checked, time.monotonic()
        self.add(CHECK, PROCESSES * (self._checked - before), what)

    def add(self, name: str, seconds: float, what: str) -> None:
        """Count a part that took so long."""
        self._took_s.setdefault(name, []).append(seconds)
        self._left_s -= self._expected_s(name)
        self._told(1 - self._left_s / self._all_s, self._whole_s, what)

    def keep(self) -> None:
        """Keep the times for the next snapshot. That they cannot be kept costs an estimate alone."""
        seconds = self._known | {name: sum(took) / len(took) for name, took in self._took_s.items()}
        with suppress(OSError):
            if self._path is not None:
                write_whole(self._path, msgspec.json.encode({self._versions: seconds}))

    def _expected_s(self, name: str) -> float:
        return self._known.get(name) or SECONDS.get(name) or (FUSED_S if ":" in name else OTHER_S)
