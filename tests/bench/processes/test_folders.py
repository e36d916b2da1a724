"""Claims, temporary folders and private folders: nobody else has or writes them."""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from trigru.bench.processes import scratch as module
from trigru.bench.processes.scratch import (
    ScratchError,
    claimed,
    folder_claim,
    private_folder,
    scratch,
)

# Claims

HOLDER = """
import sys, time
from trigru.bench.processes.scratch import claimed
with claimed("machine", "this machine", print):
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def claims(tmp_path, monkeypatch):
    """The folder of this user's claims."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    return tmp_path / "trigru" / "claims"


@pytest.fixture
def holder(claims):
    """A process that has a claim."""
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def message_until_killed(holder):
    """What is said before a claim is waited for, whose holder is killed then."""
    messages = []

    def waiting(sentence):
        messages.append(sentence)
        holder.kill()

    with claimed("machine", "this machine", waiting):
        (message,) = messages
    return message


def test_who_has_a_claim_is_named_and_waited_for(holder):
    message = message_until_killed(holder)
    owner = f"process {holder.pid}, since 20"
    assert message.startswith(f"this machine is in use by another trigru ({owner}")


def test_who_has_a_claim_is_waited_for_if_its_name_cannot_be_read(claims, holder):
    (claims / f"machine-{platform.node()}.txt").write_bytes(b"\xff")
    message = message_until_killed(holder)
    assert message == "this machine is in use by another trigru (just begun)."


@pytest.mark.usefixtures("claims")
def test_a_claim_is_free_again_after_a_failure():
    with pytest.raises(ZeroDivisionError), claimed("machine", "it", pytest.fail):
        _ = 1 / 0
    with claimed("machine", "it", pytest.fail):
        pass


@pytest.mark.usefixtures("claims")
def test_claims_of_other_names_are_other_claims():
    with claimed("machine", "it", pytest.fail), claimed("other", "it", pytest.fail):
        pass


def test_where_nothing_can_be_written_there_are_no_claims(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    monkeypatch.setattr(tempfile, "tempdir", str(file))
    with claimed("machine", "it", pytest.fail), claimed("machine", "it", pytest.fail):
        pass


def test_a_folder_is_the_same_by_each_of_its_names(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    claim = folder_claim(tmp_path / "folder")
    assert folder_claim(Path("folder")) == claim
    assert folder_claim(tmp_path / "link") == claim
    assert folder_claim(Path("folder/../folder")) == claim
    assert folder_claim(tmp_path / "other") != claim


# Private folders


def test_a_private_folder_is_made_for_its_user_alone(tmp_path):
    folder = private_folder(tmp_path / "trigru" / "programs")
    assert folder == tmp_path / "trigru" / "programs"
    assert folder.stat().st_mode & 0o777 == 0o700


#: By the group, by others.
WRITABLE = [0o720, 0o702]


@pytest.mark.parametrize("mode", WRITABLE)
def test_a_folder_that_others_can_write_to_is_not_private(tmp_path, mode):
    folder = private_folder(tmp_path / "programs")
    folder.chmod(mode)
    assert private_folder(folder) is None


def test_a_file_is_no_private_folder(tmp_path):
    (tmp_path / "file").touch()
    assert private_folder(tmp_path / "file") is None


@pytest.mark.parametrize("mode", WRITABLE)
def test_claims_are_elsewhere_if_others_can_write_to_their_folder(
    claims, tmp_path, monkeypatch, mode
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    claims.mkdir(parents=True)
    claims.chmod(mode)
    with claimed("machine", "it", pytest.fail):
        assert list(claims.iterdir()) == []
        assert list((tmp_path / f"trigru-claims-{os.getuid()}").iterdir())


# Temporary folders

KILLED = """
import os
from trigru.bench.processes.scratch import scratch
with scratch() as folder:
    print(folder, flush=True)
    os._exit(9)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary folders are made."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_temporary_folder_lives_as_long_as_its_context(temporary):
    with scratch() as first, scratch() as second:
        (Path(first) / "file").touch()
        assert {*temporary.iterdir()} == {Path(first), Path(second)}
    assert list(temporary.iterdir()) == []


def test_a_temporary_folder_of_a_killed_process_is_removed(temporary):
    command = [sys.executable, "-c", KILLED]
    killed = subprocess.run(command, capture_output=True, text=True)
    folder = Path(killed.stdout.strip())
    (folder / "programs").mkdir()
    with scratch():
        assert not folder.exists()


@pytest.mark.parametrize("name", ["trigru-2026-results", "trigru-scratch-results"])
def test_a_folder_that_trigru_did_not_make_stays(temporary, name):
    (temporary / name).mkdir()
    with scratch():
        pass
    assert (temporary / name).exists()


def test_a_temporary_folder_where_others_can_exchange_files_is_refused(temporary):
    temporary.chmod(0o777)
    with pytest.raises(ScratchError, match="Set TMPDIR to a folder"), scratch():
        pass


def test_a_temporary_folder_where_others_can_only_add_files_is_made(temporary):
    temporary.chmod(0o1777)
    with scratch() as folder:
        assert Path(folder).exists()
