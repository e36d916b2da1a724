"""A signal is raised at the next step, but never within a write, and once alone."""

import os
import signal
import subprocess
import sys

import pytest
from trigru.bench.processes.interrupts import Interrupted, check, listening, shielded

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def default_handlers():
    """As in a process that neither nohup nor a shell's background job started."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    yield
    assert {signal.signal(number, handler) for number, handler in before.items()} == {signal.SIG_DFL}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("again", ["at once", "afterwards"])
def test_the_first_signal_is_raised_once_at_the_next_step(number, again):
    with listening():
        check()
        send(number)
        if again == "at once":
            send()
        with pytest.raises(Interrupted) as raised:
            check()
        if again == "afterwards":
            send()
        check()
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
            check()
            done.append("outer")
        done.append("never")

    with listening(), pytest.raises(Interrupted):
        write()
    assert done == ["inner", "outer"]


def test_each_run_hears_its_own_signals():
    with listening():
        send()
    with listening():
        check()
        with listening():
            send()
        with pytest.raises(Interrupted):
            check()


def test_a_failure_within_a_write_is_the_failure():
    with listening(), pytest.raises(ZeroDivisionError), shielded():
        _ = send() or 1 / 0


IMPORTS = "import os, signal\nfrom trigru.bench.processes.interrupts import *\n"
SEND = "os.kill(os.getpid(), signal.SIGTERM)\n"


@pytest.mark.parametrize(
    ("code", "said", "exit_code"),
    [
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nlisten()\n" + SEND + "check()\nprint('on')", "on", 0),
        ("listen()\n" + 2 * SEND + "print('on')", "on", 0),
        ("listen()\n" + 3 * SEND + "print('on')", "", 143),
        ("listen()\nwith shielded():\n " + " ".join(3 * [SEND]) + " print('on', flush=True)\nprint('never')", "on", 1),
    ],
    ids=["nohup", "two", "three", "three within a write"],
)
def test_what_a_process_does_about_signals(code, said, exit_code):
    done = subprocess.run([sys.executable, "-c", IMPORTS + code], capture_output=True, text=True)
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
    assert subprocess.run([sys.executable, "-c", LATE], stdout=subprocess.DEVNULL).returncode == 0
