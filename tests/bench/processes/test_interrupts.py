"""A signal is raised at the next step, but never within a write, and once alone; what it ends loses nothing."""

import os
import re
import signal
import subprocess
import sys
import time
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

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def default_handlers():
    """As in a process that neither nohup nor a shell's background job started."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    yield
    assert {signal.signal(number, handler) for number, handler in before.items()} == {
        signal.SIG_DFL
    }


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("again", ["at once", "afterwards"])
def test_the_first_signal_is_raised_once_at_the_next_step(number, again):
    with listening():
        raise_if_interrupted()
        send(number)
        if again == "at once":
            send()
        with pytest.raises(Interrupted) as raised:
            raise_if_interrupted()
        if again == "afterwards":
            send()
        raise_if_interrupted()
        with shielded():
            pass
    assert raised.value.code == 128 + number


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
    with (
        listening(),
        pytest.raises(ZeroDivisionError),
        shielded(),
    ):  # a failure within is the failure
        _ = send() or 1 / 0


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


@pytest.mark.parametrize(
    ("code", "said", "exit_code"),
    [
        (
            "signal.signal(15, signal.SIG_IGN)\nlisten()\n"
            + SEND
            + "raise_if_interrupted()\nprint('on')",
            "on",
            0,
        ),
        ("listen()\n" + 2 * SEND + "print('on')", "on", 0),
        ("listen()\n" + 3 * SEND + "print('on')", "", 143),
        (
            "listen()\nwith shielded():\n "
            + " ".join(3 * [SEND])
            + " print('on', flush=True)\nprint('never')",
            "on",
            1,
        ),
    ],
    ids=["nohup", "two", "three", "three within a write"],
)
def test_what_a_process_does_about_signals(code, said, exit_code):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS + code], capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == (said, exit_code)


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
    assert (
        subprocess.run(
            [sys.executable, "-c", LATE], stdout=subprocess.DEVNULL
        ).returncode
        == 0
    )


def start(folder, *words):
    """Start trigru so that it hears all signals: what a shell starts in the background ignores SIGINT."""
    environment = os.environ | {
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder.parent),
        "TRIGRU_NO_CACHE": "1",
    }
    command = [
        "env",
        "--default-signal=INT,TERM,HUP",
        sys.executable,
        "-m",
        "trigru.bench.cli",
        *words,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGKILL], [signal.SIGINT] * 2, [signal.SIGTERM], [signal.SIGHUP]],
    ids=str,
)
def test_a_run_that_is_ended_loses_nothing(tmp_path, numbers):
    folder = tmp_path / "here" / "out"
    folder.mkdir(parents=True)
    results, partial = folder / "results.json", folder / "results.partial.jsonl"
    results.write_bytes(b"a former result")
    run = (
        "compare",
        "--no-proof",
        "--workload",
        "tiny",
        "--phase",
        "forward",
        "--phase",
        "step",
        "--port",
        "pure",
        "--processes",
        "2",
        "-o",
        str(folder),
    )
    process = start(folder.parent, *run)
    while process.poll() is None and not (
        partial.exists() and b"Measured" in partial.read_bytes()
    ):
        time.sleep(0.05)
    children = (
        Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    )
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)
    _, err = process.communicate(timeout=60)
    assert all(ends_within(pid, 1.0) for pid in children)
    assert "Traceback" not in err
    assert results.read_bytes() == b"a former result"
    half = Journal.read(partial).run
    if numbers != [signal.SIGKILL]:
        assert (process.returncode, err.endswith("interrupted.\n")) == (
            128 + numbers[0],
            True,
        )
        assert len(half.measured) == int(
            re.search(r"(\d+) of 4 parts are kept", err)[1]
        )
        assert not list(folder.parent.glob("trigru-*")), "a temporary folder is left"
    again = start(folder.parent, *run)
    _, message = again.communicate(timeout=200)
    assert again.returncode == 0, message
    assert not [*folder.glob("*.partial.jsonl"), *folder.parent.glob("trigru-*")]
    whole = load(results)
    assert whole.trigru.complete
    assert set(half.samples) <= set(whole.trigru.samples)
