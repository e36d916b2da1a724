"""Files that may be anybody's are read with care, and files are written whole or not at
all.
"""

import errno
import gzip
import io
import os
import stat
from pathlib import Path
from unittest.mock import Mock

import pytest
from trigru.common import files
from trigru.common.files import UNFINISHED, read_whole, write_whole


def test_a_link_is_followed_to_be_read_and_replaced_to_be_written(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to(target)
    assert read_whole(link) == b"before"
    write_whole(link, b"after")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (
        b"before",
        b"after",
        False,
    )


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)]
)
def test_what_is_no_file_is_not_waited_for(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(OSError, match="not a regular file|Is a directory"):
        read_whole(tmp_path / "it")


def test_what_is_too_large_is_not_read_nor_what_grows_meanwhile(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_whole(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes") as raised:
        read_whole(path, 4)
    assert raised.value.errno == errno.EFBIG
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_whole(Path("/proc/self/maps"), 10)  # whose size is said to be 0


def test_no_more_is_unfolded_of_a_gzip_file_than_is_read(tmp_path):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(bytes(10**6)))
    assert read_whole(path, 10**6) == bytes(10**6)
    with pytest.raises(OSError, match="has more than 999999 bytes") as raised:
        read_whole(path, 10**6 - 1)
    assert raised.value.errno == errno.EFBIG

    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(OSError, match="is no whole gzip file"):
        read_whole(path, 10**6)


@pytest.mark.parametrize("mode", [0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode_with_the_longest_name(tmp_path, mode):
    path = tmp_path / "new" / ("x" * 255)
    write_whole(path, b"before")
    path.chmod(mode)
    write_whole(path, b"after")
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (mode, b"after")
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("operation", ["open", "write", "chmod", "fsync", "replace"])
def test_where_something_fails_the_old_file_is_there_and_nothing_else(
    tmp_path, monkeypatch, operation, error
):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    fail = Mock(side_effect=error)

    class Full(io.FileIO):
        def write(self, content):
            super().write(content[:3])
            raise error

    if operation in ("open", "write"):
        monkeypatch.setattr(
            files, "open", fail if operation == "open" else Full, raising=False
        )
    else:
        monkeypatch.setattr(files.os, operation, fail)
    with pytest.raises(type(error)):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert [
        entry.name for entry in tmp_path.iterdir() if entry.name.startswith(UNFINISHED)
    ] == []


def test_it_is_on_the_disk_before_it_has_its_name_and_then_its_name_is(
    tmp_path, monkeypatch
):
    done, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        if done[-1] == "folder":
            raise OSError(errno.EINVAL, "a system that puts no folder on the disk")
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", synced)
    monkeypatch.setattr(
        files.os, "replace", lambda *paths: (done.append("name"), replace(*paths))
    )
    write_whole(tmp_path / "file", b"content")
    assert done == ["file", "name", "folder"]
