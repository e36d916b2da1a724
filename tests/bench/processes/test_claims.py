"""Nobody else has what is claimed, and whoever wants it is told who has it."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from trigru.bench.processes import claims
from trigru.bench.processes.claims import claimed, folder_claim

HOLDER = """
import sys, time
from trigru.bench.processes.claims import claimed
with claimed(sys.argv[1], "this machine", print):
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder():
    """Another process that has a claim."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, "machine"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("readable", [True, False])
def test_who_has_it_is_waited_for(holder, monkeypatch, readable):
    messages = []
    monkeypatch.setattr(claims, "LOOK_EVERY_S", 0.01)
    if not readable:
        (claims._folder() / f"machine-{platform.node()}.json").write_bytes(b"{}")

    def waiting(sentence):
        messages.append(sentence)
        holder.kill()

    with claimed("machine", "this machine", waiting):
        (message,) = messages
    owner = f"process {holder.pid}, since 20" if readable else "just begun"
    assert f"this machine is in use by another trigru ({owner}" in message
    assert ("UTC: -c machine)." in message) == readable


def free(sentence):
    pytest.fail(sentence)


def test_it_is_free_again_afterwards_also_after_a_failure():
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), claimed("machine", "this machine", free):
            _ = 1 / 0
    with claimed("machine", "this machine", free), claimed("another", "the other", free):
        pass


def test_a_folder_is_the_same_by_each_of_its_names(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    monkeypatch.chdir(tmp_path)
    names = [Path("folder"), tmp_path / "folder", tmp_path / "link", Path("folder/../folder")]
    assert len({folder_claim(name) for name in names}) == 1
    assert folder_claim(tmp_path / "other") != folder_claim(tmp_path / "folder")


def test_where_nothing_can_be_written_there_are_no_claims(monkeypatch):
    monkeypatch.setattr(claims, "_folder", lambda: None)
    with claimed("machine", "it", free), claimed("machine", "it", free):
        pass


@pytest.mark.parametrize("mode", [0o720, 0o702], ids=["group", "others"])
def test_a_folder_that_others_can_write_to_is_not_trusted(monkeypatch, tmp_path, mode):
    monkeypatch.setattr(claims, "user_cache_path", lambda name: tmp_path / "cache")
    monkeypatch.setattr(claims.tempfile, "gettempdir", lambda: str(tmp_path))
    assert claims._folder() == tmp_path / "cache" / "claims"
    (tmp_path / "cache" / "claims").chmod(mode)
    assert claims._folder() == tmp_path / f"trigru-claims-{os.getuid()}"
    (tmp_path / f"trigru-claims-{os.getuid()}").chmod(mode)
    assert claims._folder() is None
