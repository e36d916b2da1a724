"""Claims, temporary folders and private folders: nobody else has or writes them."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from trigru.bench.processes import scratch as folders
from trigru.bench.processes.scratch import (
    ScratchError,
    claimed,
    folder_claim,
    private_folder,
    scratch,
)

HOLDER = """
import sys, time
from trigru.bench.processes.scratch import claimed
with claimed("machine", "this machine", print):
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("readable", [True, False])
def test_who_has_a_claim_is_named_and_waited_for(monkeypatch, readable):
    monkeypatch.setattr(folders, "LOOK_EVERY_S", 0.01)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "claimed\n"
        if not readable:
            (folders._claims() / f"machine-{platform.node()}.txt").write_bytes(b"\xff")
        messages = []

        def waiting(sentence):
            messages.append(sentence)
            holder.kill()

        with claimed("machine", "this machine", waiting):
            (message,) = messages
    owner = f"process {holder.pid}, since 20" if readable else "just begun"
    assert f"this machine is in use by another trigru ({owner}" in message


def test_a_claim_is_free_again_after_a_failure_and_where_nothing_can_be_written(
    monkeypatch,
):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), claimed("machine", "it", pytest.fail):
            _ = 1 / 0
    with (
        claimed("machine", "it", pytest.fail),
        claimed("another", "the other", pytest.fail),
    ):
        pass
    monkeypatch.setattr(folders, "_claims", lambda: None)
    with claimed("machine", "it", pytest.fail), claimed("machine", "it", pytest.fail):
        pass


def test_a_folder_is_the_same_by_each_of_its_names(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    names = [
        Path("folder"),
        tmp_path / "folder",
        tmp_path / "link",
        Path("folder/../folder"),
    ]
    assert len({folder_claim(name) for name in names}) == 1
    assert folder_claim(tmp_path / "other") != folder_claim(tmp_path / "folder")


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path, monkeypatch):
    folder = private_folder(tmp_path / "trigru" / "claims")
    assert folder == tmp_path / "trigru" / "claims"
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(folders, "user_cache_path", tmp_path.joinpath)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert folders._claims() == folder
    for mode in (0o720, 0o702):  # by the group, by others
        folder.chmod(mode)
        assert private_folder(folder) is None
        assert folders._claims() == tmp_path / f"trigru-claims-{os.getuid()}"
    (tmp_path / "file").touch()
    assert private_folder(tmp_path / "file") is None


KILLED = """
import os
from trigru.bench.processes.scratch import scratch
with scratch() as folder:
    print(folder, flush=True)
    os._exit(9)
"""


def test_temporary_folders_go_and_those_of_killed_processes_too(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    variables = os.environ | {"TMPDIR": str(tmp_path)}
    dead = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, env=variables
    ).stdout.strip()
    others = [
        tmp_path / name
        for name in ("trigru-2026-results", "trigru-scratch-results", "else")
    ]
    for folder in (Path(dead) / "programs", *others):
        folder.mkdir()
    with scratch() as used, scratch() as another:
        (Path(used) / "file").write_text("of a process that lives")
        assert {*tmp_path.iterdir()} == {Path(used), Path(another), *others}
    assert {*tmp_path.iterdir()} == {*others}


def test_a_temporary_folder_where_others_can_exchange_files_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o777)
    with (
        pytest.raises(ScratchError, match="Set TMPDIR to a folder of your own"),
        scratch(),
    ):
        pass
    tmp_path.chmod(0o1777)
    with scratch():
        pass
