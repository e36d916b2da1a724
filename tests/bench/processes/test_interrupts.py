"""A signal is raised once, at the next step, but never within a write.

What it ends loses nothing.
"""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.processes import ends_within
from trigru.bench.analysis.merge import load
from trigru.bench.processes.interrupts import (
    Interrupted,
    listening,
    raise_if_interrupted,
    shielded,
)
from trigru.bench.results.files import Journal
from trigru.bench.results.run import Run

TRIGRU = (sys.executable, "-m", "trigru.bench.cli")
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Longer than anything takes here, also on a machine that does much else.
PATIENCE_S = 300.0


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def default_handlers():
    """As in a process that neither nohup nor a shell's background job started."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    yield
    for number, handler in before.items():
        assert signal.signal(number, handler) is signal.SIG_DFL


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_raised_at_the_next_step(number):
    with listening():
        raise_if_interrupted()
        send(number)
        send()
        with pytest.raises(Interrupted) as raised:
            raise_if_interrupted()
    assert raised.value.code == 128 + number


def test_no_other_signal_is_raised_after_it():
    with listening():
        send()
        with pytest.raises(Interrupted):
            raise_if_interrupted()
        send()
        raise_if_interrupted()
        with shielded():
            pass


def test_a_write_is_finished_first():
    done = []

    def write():
        with shielded():
            with shielded():
                send()
                done.append("inner")
            raise_if_interrupted()
            done.append("outer")
        done.append("never")

    with listening(), pytest.raises(Interrupted):
        write()
    assert done == ["inner", "outer"]


def test_a_failure_within_a_write_is_what_is_raised():
    def fail():
        with shielded():
            send()
            _ = 1 / 0

    with listening(), pytest.raises(ZeroDivisionError):
        fail()


def test_each_run_hears_its_own_signals():
    with listening():
        send()
    with listening():
        raise_if_interrupted()
        with listening():
            send()
        with pytest.raises(Interrupted):
            raise_if_interrupted()


IMPORTS = "import os, signal\nfrom trigru.bench.processes.interrupts import *\n"
SEND = "os.kill(os.getpid(), signal.SIGTERM)\n"
IGNORES = f"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listen()
{SEND}
raise_if_interrupted()
print("on")
"""
THREE_WITHIN_A_WRITE = f"""
listen()
with shielded():
    {SEND}
    {SEND}
    {SEND}
    print("on", flush=True)
print("never")
"""
PROCESSES = {
    "nohup": (IGNORES, "on", 0),
    "two": (f"listen()\n{2 * SEND}print('on')", "on", 0),
    "three": (f"listen()\n{3 * SEND}print('on')", "", 143),
    "three within a write": (THREE_WITHIN_A_WRITE, "on", 1),
}


@pytest.mark.parametrize(
    ("code", "output", "exit_code"), PROCESSES.values(), ids=PROCESSES
)
def test_what_a_process_does_about_signals(code, output, exit_code):
    command = [sys.executable, "-c", IMPORTS + code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == (output, exit_code)


#: A process whose last object sends a signal when Python has put back its own handlers.
LATE = """
import builtins, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
from trigru.bench.cli import main
class Late:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, 2)
builtins.late = Late()
sys.argv = ["trigru", "--version"]
main()
"""


def test_a_signal_during_the_end_of_python_changes_no_exit_code():
    done = subprocess.run([sys.executable, "-c", LATE], stdout=subprocess.DEVNULL)
    assert done.returncode == 0


def start(folder, *words):
    """Start trigru so that it hears all signals.

    What a shell starts in the background ignores SIGINT.
    """
    variables = {
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder.parent),
        "TRIGRU_NO_CACHE": "1",
    }
    return subprocess.Popen(
        ["env", "--default-signal=INT,TERM,HUP", *TRIGRU, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )


def start_run(folder):
    words = ["compare", "--no-proof", "--workload", "tiny", "--port", "pure"]
    words += ["--phase", "forward", "--phase", "step", "--processes", "2"]
    return start(folder.parent, *words, "-o", str(folder))


ENDS = {
    "killed": [signal.SIGKILL],
    "Ctrl-C twice": [signal.SIGINT, signal.SIGINT],
    "terminated": [signal.SIGTERM],
    "hung up": [signal.SIGHUP],
}
FORMER = b"a former result"


@dataclass(frozen=True)
class EndedRun:
    """A run that got signals when something was measured.

    Attributes:
        numbers: the signals.
        folder: that of its results, in which there was a former one.
        exit_code: its own.
        err: what it wrote to stderr.
        children: the ids of its processes.
        kept: what its journal has.
        temporary: folders that it left.
    """

    numbers: list[int]
    folder: Path
    exit_code: int
    err: str
    children: list[str]
    kept: Run
    temporary: list[Path]


@pytest.fixture(scope="module", params=ENDS.values(), ids=ENDS)
def ended(request, tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    folder = tmp_path_factory.mktemp("ended") / "here" / "out"
    folder.mkdir(parents=True)
    (folder / "results.json").write_bytes(FORMER)
    partial = folder / "results.partial.jsonl"

    process = start_run(folder)
    until_s = time.monotonic() + PATIENCE_S
    while not (partial.exists() and b"Measured" in partial.read_bytes()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    file = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    children = file.read_text(encoding="utf-8").split()
    for number in request.param:
        process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)
    return EndedRun(
        request.param,
        folder,
        process.returncode,
        err,
        children,
        kept=Journal.read(partial).run,
        temporary=list(folder.parent.glob("trigru-*")),
    )


def test_a_run_that_is_ended_leaves_no_process_alive(ended):
    assert ended.children
    for pid in ended.children:
        assert ends_within(pid, PATIENCE_S)


def test_a_run_that_is_ended_by_a_signal_says_what_it_keeps(ended):
    assert "Traceback" not in ended.err
    if ended.numbers == [signal.SIGKILL]:
        assert ended.exit_code == -signal.SIGKILL
        return
    assert ended.exit_code == 128 + ended.numbers[0]
    assert ended.err.endswith("interrupted.\n")
    parts = re.search(r"(\d+) of 4 parts are kept", ended.err)[1]
    assert parts == str(len(ended.kept.measured))
    assert ended.temporary == []


def test_a_run_that_is_ended_is_continued_by_the_same_command(ended):
    results = ended.folder / "results.json"
    assert results.read_bytes() == FORMER
    again = start_run(ended.folder)
    _, err = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, err
    whole = load(results).trigru
    assert whole.complete
    assert set(ended.kept.samples) <= set(whole.samples)
    names = {path.name for path in ended.folder.iterdir()}
    assert names == {"report.html", "results.json"}
    assert not list(ended.folder.parent.glob("trigru-*")), "a temporary folder is left"
