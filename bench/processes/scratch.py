"""Temporary folders for processes that work together, which are removed even if those were killed."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = re.compile(r"trigru-(\d+)-\w+")


@contextmanager
def scratch() -> Iterator[str]:
    """A folder that is removed at the end of the context. What killed processes left is removed now."""
    clear_remains()
    with tempfile.TemporaryDirectory(prefix=f"trigru-{os.getpid()}-") as folder:
        yield folder


def clear_remains() -> None:
    """Remove this user's folders of processes that are no more."""
    if not hasattr(os, "getuid"):
        return
    for folder in Path(tempfile.gettempdir()).glob("trigru-*-*"):
        name = _NAME.fullmatch(folder.name)
        with suppress(OSError):
            if name and folder.lstat().st_uid == os.getuid() and not folder.is_symlink() and not _lives(int(name[1])):
                shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True
