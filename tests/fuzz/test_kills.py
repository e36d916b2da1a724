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
from trigru.common.errors import TrigruError

RUN = ("compare", "--no-proof", "--workload", "tiny", "--phase", "forward", "--phase", "step", "--port", "pure",
       "--processes", "2")  # fmt: skip
FORMER = b"a former result"
#: Runs trigru so that it hears all signals: a shell's job in the background ignores SIGINT, one of nohup SIGHUP.
HEARING = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "trigru.bench.cli", *sys.argv[1:]])
"""


def start(folder, *words):
    environment = os.environ | {"TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder.parent), "TRIGRU_NO_CACHE": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", HEARING, *words], **pipes, env=environment)


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


def parts_of(partial):
    """The groups in a file."""
    try:
        return Journal.read(partial).groups_timed
    except TrigruError:  # nothing is there yet
        return []


@pytest.mark.parametrize("numbers", [[signal.SIGKILL], [signal.SIGINT] * 2, [signal.SIGTERM], [signal.SIGHUP]], ids=str)
def test_a_run_that_is_ended_loses_nothing(tmp_path, numbers):
    folder = tmp_path / "here" / "out"
    folder.mkdir(parents=True)
    results, partial = folder / "results.json", folder / "results.partial.jsonl"
    results.write_bytes(FORMER)
    process = start(tmp_path / "here", *RUN, "-o", str(folder))
    while process.poll() is None and not parts_of(partial):
        time.sleep(0.05)
    err = end(process, numbers)
    parts = parts_of(partial)
    assert results.read_bytes() == FORMER
    if numbers != [signal.SIGKILL]:
        assert process.returncode == 128 + numbers[0]
        assert err.endswith("interrupted.\n")
        assert len(Journal.read(partial).groups_timed) == int(re.search(r"(\d+) of 4 parts are kept", err)[1])
        assert not list((tmp_path / "here").glob("trigru-*")), "a temporary folder is left"
    again = start(tmp_path / "here", *RUN, "-o", str(folder))
    _, message = again.communicate(timeout=200)
    assert again.returncode == 0, message
    assert not partial.exists()
    assert not list((tmp_path / "here").glob("trigru-*"))
    run = load(results)
    assert run.trigru.complete
    for part in parts:
        for timed in part.timed:
            (b,) = (b for b in run.benchmarks if b.arm.id == timed.arm)
            assert b.timed[part.process].time_s == timed.time_s


def test_a_proof_is_interrupted_at_once(tmp_path):
    process = start(tmp_path, "verify")
    time.sleep(9.0)
    err = end(process, [signal.SIGINT])
    assert "programs compiled" not in err, "it went on to the end"
    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted.")
