"""Folders of one user: what others could put there would be believed, or run."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def private_folder(folder: Path) -> Path | None:
    """A folder that is made if it is missing; None where it is not this user's alone, or cannot be written."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022):
            with tempfile.TemporaryFile(dir=folder):
                return folder
    return None
