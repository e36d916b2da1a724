"""Folders for processes: temporary ones, which are removed even if a process was killed, and private ones."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ...common.errors import TrigruError

PREFIX = "trigru-scratch-"
#: A lock that is held as long as the folder is used. A folder without it is not ours.
USED = ".used"


class ScratchError(TrigruError):
    """The folder for temporary files is not safe."""


@contextmanager
def scratch() -> Iterator[str]:
    """A folder that is removed at the end of the context. What killed processes left is removed now.

    Raises:
        ScratchError: others can exchange files in the folder for temporary files.
    """
    shared = Path(tempfile.gettempdir())
    mode = shared.stat().st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise ScratchError(f"others can exchange files in {shared}. Set TMPDIR to a folder of your own.")
    for folder in shared.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            is_own = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if is_own and (folder / USED).is_file():
                with FileLock(folder / USED, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, FileLock(Path(folder) / USED):
        yield folder


def private_folder(folder: Path) -> Path | None:
    """A folder that is made if it is missing; None where others can write into it, or this user cannot.

    What others could put there would be believed, or run.
    """
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid == os.getuid() and not status.st_mode & 0o022:
            with tempfile.TemporaryFile(dir=folder):
                return folder
    return None
