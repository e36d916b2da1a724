"""Claims: that no two trigrus write into one folder, or time on one machine, without knowing of each other."""

import hashlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from ...common.files import read_whole, write_whole
from .interrupts import check
from .scratch import private_folder

#: Seconds from one look at a claim that is waited for to the next.
LOOK_EVERY_S = 0.5


#: The name of the claim to time on this machine.
TIMING = "timing"


def folder_claim(folder: Path) -> str:
    """The name of the claim to write results into a folder."""
    return f"folder-{hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]}"


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(" ", "seconds").partition("+")[0]


@contextmanager
def claimed(name: str, what: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Within this context no other process of this user has the claim, which is waited for.

    It ends with the process, however that ends. Where nothing can be written for the user, there are no claims.

    Args:
        name: of the claim.
        what: that is claimed, as the subject of a sentence.
        waiting: called once with a sentence that names the other process, if there is one.
    """
    folder = _folder()
    if folder is None:
        yield
        return
    name = f"{name}-{platform.node()}"
    lock, owner = FileLock(folder / f"{name}.lock", timeout=0), folder / f"{name}.txt"
    is_first = True
    while not lock.is_locked:
        check()
        try:
            lock.acquire()
        except Timeout:
            if is_first:
                waiting(f"{what} is in use by another trigru ({_owner(owner)}).")
            is_first = False
            time.sleep(LOOK_EVERY_S)
    try:
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        write_whole(owner, f"process {os.getpid()}, since {now()} UTC: {command}".encode(errors="replace"))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> str:
    with suppress(OSError, ValueError):
        return read_whole(path, 2**16).decode()
    return "just begun"


def _folder() -> Path | None:
    elsewhere = Path(tempfile.gettempdir()) / f"trigru-claims-{os.getuid()}"
    return private_folder(user_cache_path("trigru") / "claims") or private_folder(elsewhere)
