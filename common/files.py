"""Bounded reads of untrusted files, and writes of files whole or not at all."""

import errno
import gzip
import io
import os
import secrets
import stat
import zlib
from contextlib import suppress
from pathlib import Path

#: The most bytes that are read of a file unless its reader says otherwise.
MOST_BYTES = 8 * 2**30
#: The name of a file begins with this until it is whole. Its name does not grow with
#: that of the file.
UNFINISHED = ".trigru-"


def read_whole(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file; of a ".gz", what is compressed in it.

    A symbolic link is followed.

    Raises:
        OSError: it cannot be read, is a pipe, a device or a folder, or has more bytes
            than that. Its strerror is for the user.
    """
    too_large = OSError(
        errno.EFBIG, f"has more than {most} bytes, which are not read", str(path)
    )
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with open(descriptor, "rb") as file:
        if status.st_size > most:
            raise too_large
        content = file.read(most + 1)  # it may grow meanwhile

    if path.suffix == ".gz" and len(content) <= most:
        try:
            with gzip.open(io.BytesIO(content)) as packed:
                content = packed.read(most + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(errno.EINVAL, "is no whole gzip file") from error
    if len(content) > most:
        raise too_large
    return content


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one, never half of it.
    Missing folders are made.

    It is on the disk, under its name, when this returns, has the mode of the file that
    it replaces, and replaces a symbolic link, not what the link leads to.

    Raises:
        OSError: it cannot be written; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{UNFINISHED}{secrets.token_hex(4)}")
    try:
        with open(beside, "xb") as file:
            if path.is_file() and not path.is_symlink():
                os.chmod(beside, stat.S_IMODE(path.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = str(path)
        beside.unlink(missing_ok=True)
        raise
    # Where a system puts no folder on the disk, the old file may be there after a power
    # cut.
    with suppress(OSError):
        _put_on_disk(path.parent)


def _put_on_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
