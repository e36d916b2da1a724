"""The work of a snapshot: how much is done, and how long all of it took the last time with the same versions."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from ...common.files import read_whole, write_whole
from .versions import installed

#: The file of the last time, which stands beside the compiled programs; and its largest size.
FILE, MOST_BYTES = "snapshot_seconds.json", 2**16
#: About how many seconds a question of a proof takes, and a subject: fused kernels, some others, and all else.
CHECK_S, FUSED_S, OTHER_S = 0.17, 2.0, 7.0
SECONDS = {"jax, optax": 12.0, "linen's parts": 9.0, "nnx's parts": 10.0, "equinox's parts": 9.0}
#: Called with the share of the work that is done, at first the seconds of all if known, and what was done last.
Told = Callable[[float, float | None, str], None]


class SnapshotWork:
    """The share of a snapshot's work that is done.

    Args:
        folder: in which the time that it took is kept; None keeps none.
        subjects: what is looked at.
        told: of the progress.
    """

    def __init__(self, folder: Path | None, subjects: Sequence[str], told: Told):
        versions = sorted(installed(["jax", "flax", "equinox", "optax"]).items())
        self._of = [*map("==".join, versions), *subjects]
        self._path, self._told, self._begun = folder and folder / FILE, told, time.monotonic()
        self._all_s = self._left_s = sum(map(_expected_s, subjects))

    def begin(self, checks: int) -> None:
        """Begin, with so many questions of a proof; tells how long as much work took the last time."""
        self._of.append(str(checks))
        self._left_s = self._all_s = self._all_s + CHECK_S * checks
        self._told(0.0, self._kept().get(" ".join(self._of)), "nothing")

    def add(self, name: str, expected_s: float | None = None) -> None:
        """Count a subject, or what else was expected to take so long."""
        self._left_s -= _expected_s(name) if expected_s is None else expected_s
        self._told(1 - self._left_s / self._all_s, None, name)

    def keep(self) -> None:
        """Keep the time for the next snapshot. That it cannot be kept costs an estimate alone."""
        seconds = {" ".join(self._of): time.monotonic() - self._begun}
        with suppress(OSError):
            if self._path is not None:
                write_whole(self._path, msgspec.json.encode(seconds))

    def _kept(self) -> dict[str, float]:
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            if self._path is not None:
                return msgspec.json.decode(read_whole(self._path, MOST_BYTES), type=dict[str, float])
        return {}


def _expected_s(subject: str) -> float:
    return SECONDS.get(subject) or (FUSED_S if ":" in subject else OTHER_S)
