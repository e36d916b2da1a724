"""Other programs that work for this process, and end with it, however it ends, with all that they start."""

import ctypes
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress

from ...common.errors import brief
from .child import answers_of
from .interrupts import SIGNALS

RUNNER = "trigru.bench.processes.commands:answer_request"
#: How often the runner reports that it lives, and the longest silence after which it is taken for dead, in seconds.
SAY_EVERY_S, SILENCE_S = 1.0, 60.0
#: A command, its whole environment, and the longest that it may take, in seconds.
Command = tuple[list[str], dict[str, str], float]
#: The exit code of a command, and its last line on stderr; None while it runs.
Exit = tuple[int, str] | None


def run_command(
    command: Sequence[str],
    variables: Mapping[str, str],
    limit_s: float,
    still: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Run a command in an environment; its exit code, and, if that is not 0, its last line on stderr.

    After `limit_s` seconds it is ended, and its exit code is 124. A process between this one and the command ends it:
    the command alone would not notice that this one was killed. Raises a ChildDiedError if that process died, or was
    silent for a minute.
    """
    code, last = 1, ""
    request: Command = list(command), dict(variables), limit_s
    with closing(answers_of(RUNNER, request, Exit, SILENCE_S)) as answers:
        for answer in answers:
            code, last = answer or (code, last)
            still()
    return code, brief(last or f"exit code {code}") if code else ""


def answer_request(request: Command, answer: Callable[[Exit], None]) -> None:
    """Run a command in a process of its own, whose group it belongs to."""
    command, variables, limit_s = request
    if (
        sys.platform == "linux"
    ):  # the kernel would end this process with its parent before it has ended the command
        ctypes.CDLL(None).prctl(1, 0)
    for number in SIGNALS:  # which a child ignores, but a command does not
        signal.signal(number, signal.SIG_DFL)
    with tempfile.TemporaryFile() as errors:
        pipes = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": errors,
        }
        try:
            running = subprocess.Popen(command, env=variables, **pipes)
        except OSError as error:
            return answer((127, f"{command[0]}: {error.strerror}"))
        until = time.monotonic() + limit_s
        while running.poll() is None:
            if (left_s := until - time.monotonic()) <= 0:
                return answer((124, f"it took longer than {limit_s:g} s"))
            with suppress(subprocess.TimeoutExpired):
                running.wait(min(SAY_EVERY_S, left_s))
            answer(None)
        errors.seek(0)
        lines = [
            line
            for line in errors.read().decode(errors="replace").splitlines()
            if line.strip()
        ]
        answer((running.returncode, lines[-1] if lines else ""))
