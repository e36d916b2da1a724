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
    mode = os.stat(tempfile.gettempdir()).st_mode
    if hasattr(os, "getuid") and mode & 0o022 and not mode & stat.S_ISVTX:
        raise ScratchError(f"others can exchange files in {tempfile.gettempdir()}. Set TMPDIR to a folder of your own.")
    clear_remains()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, FileLock(Path(folder) / USED):
        yield folder


def clear_remains() -> None:
    """Remove this user's folders that nobody uses any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            is_own = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
            if is_own and not folder.is_symlink() and (folder / USED).is_file():
                with FileLock(folder / USED, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)


def private_folder(folder: Path) -> Path | None:
    """A folder that is made if it is missing; None where others can write into it, or this user cannot.

    What others could put there would be believed, or run.
    """
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022):
            with tempfile.TemporaryFile(dir=folder):
                return folder
    return None
