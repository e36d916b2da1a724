"""Folders for processes: temporary ones, private ones, and claims to folders.

Temporary folders are removed even if a process was killed. Claims let no two trigrus
write into one folder, or time on one machine, without knowing of each other.
"""

import hashlib
import os
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from ...common.errors import TrigruError
from ...common.files import read_whole, write_whole
from .interrupts import raise_if_interrupted

#: For how many seconds a claim is waited for at a time.
LOOK_EVERY_S = 0.5
#: The name of the claim to time on this machine.
TIMING = "timing"
PREFIX = "trigru-scratch-"
#: A lock that is held as long as the folder is used. A folder without it is not ours.
USED = ".used"


class ScratchError(TrigruError):
    """The folder for temporary files is not safe."""


@contextmanager
def scratch() -> Iterator[str]:
    """A folder that is removed at the end of the context.

    What killed processes left is removed now. Raises a ScratchError where others can
    exchange files.
    """
    shared = Path(tempfile.gettempdir())
    mode = shared.stat().st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise ScratchError(
            f"others can exchange files in {shared}. Set TMPDIR to a folder of your "
            "own."
        )
    for folder in shared.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            _remove_unused(folder)
    new_folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    with new_folder as folder, FileLock(Path(folder) / USED):
        yield folder


def _remove_unused(folder: Path) -> None:
    """Remove a temporary folder of this user, unless a process holds its lock."""
    if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
        return
    if (folder / USED).is_file():
        with FileLock(folder / USED, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


def private_folder(folder: Path) -> Path | None:
    """A folder that is made if it is missing.

    None where others can write into it, since what they put there would be believed, or
    run; and where this user cannot.
    """
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid == os.getuid() and not status.st_mode & 0o022:
            with tempfile.TemporaryFile(dir=folder):
                return folder
    return None


def cache_folder(*names: str) -> Path | None:
    """A private folder in this user's cache.

    None where there is none, or the variable TRIGRU_NO_CACHE is set.
    """
    if os.environ.get("TRIGRU_NO_CACHE"):
        return None
    return private_folder(user_cache_path("trigru").joinpath(*names))


def folder_claim(folder: Path) -> str:
    """The name of the claim to write results into a folder."""
    path = os.fsencode(os.path.realpath(folder))
    return f"folder-{hashlib.sha256(path).hexdigest()[:16]}"


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(" ", "seconds").partition("+")[0]


@contextmanager
def claimed(name: str, what: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Within this context, no other process of this user has a claim.

    The claim ends with its process, too. Where nothing can be written for the user,
    there are no claims.

    Args:
        name: that of the claim.
        what: what is claimed, for people.
        waiting: called once, before another process is waited for that has the claim,
            with a sentence that names it.
    """
    folder = _claims()
    if folder is None:
        yield
        return
    file_name = f"{name}-{platform.node()}"
    lock = FileLock(folder / f"{file_name}.lock")
    owner = folder / f"{file_name}.txt"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        waiting(f"{what} is in use by another trigru ({_command_of(owner)}).")
        while not lock.is_locked:
            raise_if_interrupted()
            with suppress(Timeout):
                lock.acquire(LOOK_EVERY_S, LOOK_EVERY_S)
    try:
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        text = f"process {os.getpid()}, since {now()} UTC: {command}"
        write_whole(owner, text.encode(errors="replace"))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _command_of(owner: Path) -> str:
    """The process that has a claim and its command, as it has written them."""
    try:
        return read_whole(owner, 2**16).decode()
    except (OSError, ValueError):
        return "just begun"


def _claims() -> Path | None:
    """The folder of this user's claims."""
    folder = private_folder(user_cache_path("trigru") / "claims")
    if folder is not None:
        return folder
    elsewhere = Path(tempfile.gettempdir()) / f"trigru-claims-{os.getuid()}"
    return private_folder(elsewhere)
