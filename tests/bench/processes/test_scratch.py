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


KILLED = """
import os
from trigru.bench.processes.scratch import scratch
with scratch() as folder:
    print(folder, flush=True)
    os._exit(9)
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(place):
    environment = os.environ | {"TMPDIR": str(place)}
    dead = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, env=environment
    ).stdout.strip()
    assert Path(dead).parent == place
    (Path(dead) / "programs").mkdir()
    results = [place / name for name in ("trigru-2026-results", "trigru-scratch-results", "else")]
    for folder in results:
        folder.mkdir()
    with scratch() as used, scratch():
        assert Path(used).exists(), "of a process that lives"
        assert not Path(dead).exists()
        assert all(folder.exists() for folder in results)
