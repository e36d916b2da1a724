"""Runs that are ended at some moment, in some way: nothing that was there is lost, and what was said is true.

By default a few; `pytest -m long tests/fuzz` ends a hundred.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from trigru.bench.results.files import load
from trigru.bench.results.lines import read_lines
from trigru.bench.timing.journal import Journal
from trigru.bench.training.record import load_record

BENCH = ("bench", "--workload", "tiny", "--phase", "forward", "--phase", "step", "--port", "pure")
HOW = ("--processes", "2", "--rounds", "6", "--share")
TRAIN = ("train", "--quick", "--experiment", "sunspots-2", "--port", "linen")
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
    environment = os.environ | {"TMPDIR": str(folder.parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, env=environment)


def children_of(process):
    """The measuring processes of a command, which are sessions of their own."""
    found = subprocess.run(["ps", "-eo", "pid,ppid,stat"], capture_output=True, text=True).stdout.splitlines()[1:]
    rows = [row.split() for row in found]
    return [int(pid) for pid, parent, stat in rows if int(parent) == process.pid and not stat.startswith("Z")]


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


def check_bench(folder, process, way, err):
    results, partial = folder / "results.json", folder / "results.partial.jsonl"
    is_new = results.read_bytes() != FORMER
    if is_new:
        assert load(results).trigru.complete
    if process.returncode == 0:
        assert is_new
    if way != "SIGKILL" and process.returncode != 0:
        assert process.returncode == 128 + WAYS[way][0][0], err
        assert err.endswith("interrupted.\n")
        assert not list(folder.parent.glob("trigru-*")), "a temporary folder is left"
        kept = re.search(r"(\d+) of 4 parts are kept", err)
        assert bool(kept) == partial.exists()
        assert ("written: " in err) == is_new
        if kept:
            assert len(Journal.read(partial).groups_timed) == int(kept[1])
    assert "Traceback" not in err
    return partial


def check_train(folder, process, way, err):
    record, partial = folder / "training.json", folder / "training.partial.jsonl"
    is_new = record.read_bytes() != FORMER
    if is_new:
        assert load_record(record).complete
    if way != "SIGKILL" and process.returncode != 0:
        assert process.returncode == 128 + WAYS[way][0][0], err
        kept = re.search(r"(\d+) trainings are kept", err)
        assert bool(kept) == partial.exists()
    assert "Traceback" not in err
    return partial


SUBJECTS = {
    "bench": ((*BENCH, *HOW), "results.json", check_bench, 14.0),
    "train": (TRAIN, "training.json", check_train, 14.0),
}


def wait_for_a_part(partial, process):
    """Until something is kept."""
    while process.poll() is None and not (partial.exists() and len(partial.read_bytes().splitlines()) > 2):
        time.sleep(0.05)


def attempt(tmp_path, rng, subject, way, wait=False):
    """End a run at a moment, look at what is left, and go on with it; returns how many parts were kept."""
    arguments, name, check, longest_s = SUBJECTS[subject]
    folder = tmp_path / f"{subject}-{time.monotonic_ns()}" / "out"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(FORMER)
    process = start(arguments, folder)
    if wait:
        wait_for_a_part(folder / name.replace(".json", ".partial.jsonl"), process)
    else:
        time.sleep(rng.uniform(0.5, longest_s))
    children, _, err = end(process, way)
    time.sleep(1.0)
    assert not [child for child in children if lives(child)], "a process outlived the command"
    partial = check(folder, process, way, err)
    before = []
    if partial.exists():
        kind = dict
        before = [line for line in read_lines(partial, kind) if line["type"] in ("GroupTimed", "Trained")]
    again = start([*arguments, *(["--resume"] if partial.exists() else [])], folder)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert not partial.exists()
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(".")) == []
    assert not list(folder.parent.glob("trigru-*"))
    if subject == "bench":
        whole = load(folder / name)
        assert whole.trigru.complete
        for line in before:
            for timed in line["timed"]:
                (b,) = (b for b in whole.benchmarks if b.arm.id == timed["arm"])
                at = [p == line["process"] for p in b.facts.process]
                assert [t for t, here in zip(b.stats["data"], at, strict=True) if here] == timed["time_s"]
    else:
        runs = [line["run"] for line in before]
        known = {(r.start, r.seed): r.test_loss for r in load_record(folder / name).runs}
        assert all(known[run["start"], run["seed"]] == run["test_loss"] for run in runs)
    return len(before)


@pytest.mark.parametrize(
    ("subject", "way"), [("bench", "SIGKILL"), pytest.param("train", "SIGINT twice", marks=pytest.mark.long)]
)
def test_a_run_that_is_ended_loses_nothing(tmp_path, rng, subject, way):
    assert attempt(tmp_path, rng, subject, way, wait=True) > 0


def test_a_proof_is_interrupted_at_once(tmp_path):
    words = [sys.executable, "-c", HEARING, "verify", "--no-cache"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    time.sleep(9.0)
    children = children_of(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert "programs compiled" not in err, "it went on to the end"
    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted.")
    assert not [child for child in children if lives(child)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_hundred_runs_that_are_ended_lose_nothing(tmp_path, rng, say_at_end):
    kept = [attempt(tmp_path, rng, list(SUBJECTS)[n % 4 == 3], list(WAYS)[n % len(WAYS)]) for n in range(100)]
    say_at_end(f"{len(kept)} runs were ended; {sum(k > 0 for k in kept)} had something to go on with")
