"""Runs that are ended at some moment, in some way: nothing that was there is lost, and what was said is true.

By default a few; `pytest -m long tests/fuzz` ends a hundred.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trigru.bench.analysis.merge import load
from trigru.bench.timing.journal import Journal

PLAN = ("--workload", "tiny", "--phase", "forward", "--phase", "step", "--port", "pure")
HOW = ("--processes", "2")
FORMER = b"a former result"
#: How a run is ended: the signals, with the seconds between them.
WAYS = {
    "SIGKILL": [(signal.SIGKILL, 0)],
    "SIGTERM": [(signal.SIGTERM, 0)],
    "SIGINT": [(signal.SIGINT, 0)],
    "SIGINT twice": [(signal.SIGINT, 0), (signal.SIGINT, 0.05)],
    "SIGHUP": [(signal.SIGHUP, 0)],
}


#: Runs trigru so that it hears all signals: a shell's job in the background ignores SIGINT, one of nohup SIGHUP.
HEARING = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "trigru.bench.cli", *sys.argv[1:]])
"""


def start(arguments, folder):
    command = [sys.executable, "-c", HEARING, *arguments, "-o", str(folder)]
    home = str(folder.parent.parent / "cache")  # what else is timed on this machine has other claims
    environment = os.environ | {"TMPDIR": str(folder.parent), "XDG_CACHE_HOME": home}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, env=environment)


def children_of(process):
    """The processes that a command has started, with their commands: those that measure or prove, git and others."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,stat,args"], capture_output=True, text=True).stdout.splitlines()[1:]
    rows = [row.split(maxsplit=3) for row in found]
    return {int(pid): args for pid, of, stat, args in rows if int(of) == process.pid and not stat.startswith("Z")}


def lives(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def end(process, way):
    """End a command, and return its children and what it said."""
    children = children_of(process)
    for number, later_s in WAYS[way]:
        time.sleep(later_s)
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return children, out, err


def check_said(process, way, err):
    """The exit code and the last word of a command that was ended."""
    assert "Traceback" not in err
    if way != "SIGKILL" and process.returncode != 0:
        assert process.returncode == 128 + WAYS[way][0][0], err
        assert err.endswith("interrupted.\n")


def check_bench(folder, process, way, err):
    results, partial = folder / "results.json", folder / "results.partial.jsonl"
    check_said(process, way, err)
    is_new = results.read_bytes() != FORMER
    if is_new:
        assert load(results).trigru.complete
    if way != "SIGKILL":
        assert (process.returncode == 0) <= is_new
        assert ("written: " in err) == is_new
        if kept := re.search(r"(\d+) of 4 parts are kept", err):
            assert len(Journal.read(partial).groups_timed) == int(kept[1])
        elif "nothing was measured" in err:
            assert not partial.exists()
    return is_new


SUBJECTS = {
    "compare --no-proof": (("compare", "--no-proof", *PLAN, *HOW), "results.json", check_bench, 12.0),
    "compare": (("compare", *PLAN, *HOW), "results.json", check_bench, 20.0),
}


def parts_of(partial):
    """The groups in a file."""
    if not partial.exists():
        return []
    lines = [json.loads(line) for line in partial.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [line for line in lines if line["type"] == "GroupTimed"]


def check_whole(path, parts):
    """A complete result has these parts, unchanged."""
    results = load(path)
    assert results.trigru.complete
    for part in parts:
        for timed in part["timed"]:
            (b,) = (b for b in results.benchmarks if b.arm.id == timed["arm"])
            assert b.timed[part["process"]].time_s == timed["time_s"]


def wait_for_a_part(partial, process, more):
    """Until something more is kept."""
    while process.poll() is None and len(parts_of(partial)) <= more:
        time.sleep(0.05)


def attempt(tmp_path, rng, subject, ways, wait=False):
    """End a run in each of these ways, going on with what is there each time, and then let it go to its end.

    Returns how many of them were ended before they had, and how many parts were kept.
    """
    arguments, name, check, longest_s = SUBJECTS[subject]
    folder = tmp_path / f"{subject}-{time.monotonic_ns()}" / "out"
    folder.mkdir(parents=True)
    result, partial = folder / name, folder / name.replace(".json", ".partial.jsonl")
    result.write_bytes(FORMER)
    parts, ended, kept, left = [], 0, 0, set()
    for way in ways:
        process = start(arguments, folder)
        patient = wait or rng.random() < 0.6
        if patient:
            wait_for_a_part(partial, process, len(parts))
        if not wait:
            time.sleep(rng.uniform(0.0, 4.0) if patient else rng.uniform(1.0, longest_s))
        children, _, err = end(process, way)
        time.sleep(1.0)
        assert not [args for pid, args in children.items() if lives(pid)], f"outlived the command that had {way}"
        ended += process.returncode != 0
        before, left = left, set(folder.parent.glob("trigru-*"))
        assert way == "SIGKILL" or left <= before, "a temporary folder is left"
        if check(folder, process, way, err):
            check_whole(result, parts)
            if not partial.exists():  # else it was killed while it wrote what follows the result
                parts = []
            result.write_bytes(FORMER)
        now = parts_of(partial)
        assert now[: len(parts)] == parts, "something was lost"
        parts, kept = now, kept + len(now) - len(parts)
    again = start(arguments, folder)
    _, said = again.communicate(timeout=200)
    assert again.returncode == 0, said
    assert not partial.exists()
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(".")) == []
    assert not list(folder.parent.glob("trigru-*"))
    check_whole(result, parts)
    return ended, kept


@pytest.mark.parametrize("way", ["SIGKILL", "SIGINT twice"])
def test_a_run_that_is_ended_loses_nothing(tmp_path, rng, way):
    assert attempt(tmp_path, rng, "compare --no-proof", [way], wait=True) == (1, 1)


def test_a_proof_is_interrupted_at_once(tmp_path):
    words = [sys.executable, "-c", HEARING, "verify"]
    environment = os.environ | {"TRIGRU_NO_CACHE": "1", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    time.sleep(9.0)
    children = children_of(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert "programs compiled" not in err, "it went on to the end"
    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted.")
    assert not [child for child in children if lives(child)]
    assert list(tmp_path.iterdir()) == []
