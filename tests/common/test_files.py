"""Files that may be anybody's are read with care, and files are written whole or not at all."""

import errno
import os
import stat

import pytest
from trigru.common import files
from trigru.common.files import UNFINISHED, read_whole, write_whole

OPERATIONS = ("open", "chmod", "fsync", "replace")


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    write_whole(path, b"content")
    assert read_whole(path) == b"content"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_link_is_followed_to_be_read_and_replaced_to_be_written(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to(target)
    assert read_whole(link) == b"before"
    write_whole(link, b"after")
    assert (target.read_bytes(), link.read_bytes(), link.is_symlink()) == (b"before", b"after", False)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_waited_for(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(OSError, match="not a regular file|Is a directory"):
        read_whole(tmp_path / "it")


def test_what_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_whole(path, 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes") as raised:
        read_whole(path, 4)
    assert raised.value.errno == errno.EFBIG


def test_a_file_that_grows_while_it_is_read_is_bounded_too(tmp_path):
    path = tmp_path / "file"
    path.symlink_to("/proc/self/maps")  # whose size is said to be 0
    if not path.exists():
        pytest.skip("no /proc here")
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_whole(path, 10)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(mode)
    write_whole(path, b"after")
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (mode, b"after")


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("x" * 255)
    write_whole(path, b"content")
    write_whole(path, b"again")
    assert path.read_bytes() == b"again"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("operation", [*OPERATIONS, "write"])
def test_where_something_fails_the_old_file_is_there_and_nothing_else(tmp_path, monkeypatch, operation, error):
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail(*_, **__):
        raise error

    if operation == "write":
        real = open

        class Full:
            def __init__(self, file):
                self.file = file

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            def write(self, content):
                self.file.write(content[:3])
                raise error

        monkeypatch.setattr(files, "open", lambda *arguments: Full(real(*arguments)), raising=False)
    elif operation == "open":
        monkeypatch.setattr(files, "open", fail, raising=False)
    else:
        monkeypatch.setattr(files.os, operation, fail)
    with pytest.raises(type(error)):
        write_whole(path, b"after")
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(UNFINISHED)] == []


def test_it_is_on_the_disk_before_it_has_its_name_and_then_its_name_is(tmp_path, monkeypatch):
    done = []
    for operation in ("fsync", "replace"):
        real = getattr(os, operation)
        monkeypatch.setattr(files.os, operation, lambda *a, real=real, name=operation: (done.append(name), real(*a))[1])
    folders = []
    real = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda n: (folders.append(stat.S_ISDIR(os.fstat(n).st_mode)), real(n))[1])
    write_whole(tmp_path / "file", b"content")
    assert done == ["fsync", "replace", "fsync"]
    assert folders == [False, True]


def test_a_folder_that_cannot_be_put_on_the_disk_is_no_failure(tmp_path, monkeypatch):
    real = os.open

    def open_no_folder(path, *rest):
        if os.path.isdir(path):
            raise PermissionError("no")
        return real(path, *rest)

    monkeypatch.setattr(files.os, "open", open_no_folder)
    write_whole(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
