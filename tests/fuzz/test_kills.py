"""Runs that are ended at some moment, in some way: nothing that was there is lost, and what was said is true."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from trigru.bench.analysis.merge import load
from trigru.bench.timing.journal import Journal

RUN = ("compare", "--no-proof", "--workload", "tiny", "--phase", "forward", "--phase", "step", "--port", "pure",
       "--processes", "2")  # fmt: skip


def start(folder, *words):
    """Start trigru so that it hears all signals: what a shell starts in the background ignores SIGINT."""
    environment = os.environ | {"TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder.parent), "TRIGRU_NO_CACHE": "1"}
    command = ["env", "--default-signal=INT,TERM,HUP", sys.executable, "-m", "trigru.bench.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def living(column, pid):
    """The processes whose number, or whose parent's, is this one, but for zombies."""
    out = subprocess.run(["ps", "-eo", "pid,ppid,stat"], capture_output=True, text=True).stdout.splitlines()[1:]
    return [int(row.split()[0]) for row in out if int(row.split()[column]) == pid and "Z" not in row]


def end(process, numbers):
    """End a command; returns what it said. None of its children outlives it by a second."""
    children = living(1, process.pid)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)
    _, err = process.communicate(timeout=60)
    time.sleep(1.0)
    assert not [pid for pid in children if living(0, pid)]
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("numbers", [[signal.SIGKILL], [signal.SIGINT] * 2, [signal.SIGTERM], [signal.SIGHUP]], ids=str)
def test_a_run_that_is_ended_loses_nothing(tmp_path, numbers):
    folder = tmp_path / "here" / "out"
    folder.mkdir(parents=True)
    results, partial = folder / "results.json", folder / "results.partial.jsonl"
    results.write_bytes(b"a former result")
    process = start(folder.parent, *RUN, "-o", str(folder))
    while process.poll() is None and not (partial.exists() and b"GroupTimed" in partial.read_bytes()):
        time.sleep(0.05)
    err = end(process, numbers)
    assert results.read_bytes() == b"a former result"
    parts = Journal.read(partial).groups_timed
    if numbers != [signal.SIGKILL]:
        assert (process.returncode, err.endswith("interrupted.\n")) == (128 + numbers[0], True)
        assert len(parts) == int(re.search(r"(\d+) of 4 parts are kept", err)[1])
        assert not list(folder.parent.glob("trigru-*")), "a temporary folder is left"
    again = start(folder.parent, *RUN, "-o", str(folder))
    _, message = again.communicate(timeout=200)
    assert again.returncode == 0, message
    assert not [*folder.glob("*.partial.jsonl"), *folder.parent.glob("trigru-*")]
    run = load(results)
    assert run.trigru.complete
    times = {(b.arm.id, process): timed.time_s for b in run.benchmarks for process, timed in b.timed.items()}
    assert all(times[timed.arm, part.process] == timed.time_s for part in parts for timed in part.timed)


def test_a_proof_is_interrupted_at_once(tmp_path):
    process = start(tmp_path, "verify")
    time.sleep(9.0)
    err = end(process, [signal.SIGINT])
    assert "programs compiled" not in err, "it went on to the end"
    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted.")
