"""Temporary folders go, also those of processes that were killed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from trigru.bench.processes.scratch import scratch


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_within_the_context_alone(place):
    with scratch() as folder:
        assert Path(folder).parent == place
        (Path(folder) / "file").write_text("")
    assert not any(place.iterdir())


def test_what_a_killed_process_left_is_removed_and_nothing_else(place):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, own = place / f"trigru-{ended.pid}-abc", place / f"trigru-{os.getpid()}-abc"
    others = [place / "trigru-claims-0", place / "trigru-x-y", place / "else", place / f"trigru-{10**30}-abc"]
    for folder in (dead, own, *others):
        folder.mkdir()
    (dead / "programs").mkdir()
    (dead / "programs" / "file").write_text("")
    victim = place / "victim"
    victim.mkdir()
    (victim / "file").write_text("")
    (place / f"trigru-{ended.pid}-link").symlink_to(victim)
    with scratch():
        pass
    assert not dead.exists()
    assert all(folder.exists() for folder in (own, *others))
    assert (victim / "file").exists()
