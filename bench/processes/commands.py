"""Other programs that work for this process, and end with it, whatever ends it."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO

from ...common.errors import brief
from .child import Parent, outlive_parent
from .interrupts import SIGNALS
from .pool import messages_of

RUNNER = "trigru.bench.processes.commands:run_for_parent"
#: How often the runner says that it lives, in seconds.
SAY_EVERY_S = 1.0
#: The longest silence after which the runner is taken for dead, in seconds.
SILENCE_S = 60.0
#: Exit codes as of a shell: the command took too long, or could not be started.
TOOK_TOO_LONG = 124
NOT_STARTED = 127

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
    """Run a command, and end it after so many seconds with the exit code 124.

    A process between this one and the command ends it, with all that it started: the
    command alone would not notice that this process was killed.

    Args:
        command: its words.
        variables: its whole environment.
        limit_s: the longest that it may take, in seconds.
        still: called about every second while it runs.

    Returns:
        The exit code, and its last line on stderr if that is not 0.

    Raises:
        ChildDiedError: the process between died, or was silent for a minute.
    """
    code, last_line = 1, ""
    task: Command = (list(command), dict(variables), limit_s)
    for message in messages_of(RUNNER, task, Exit, SILENCE_S):
        if message is not None:
            code, last_line = message
        still()
    if code == 0:
        return 0, ""
    return code, brief(last_line or f"exit code {code}")


def run_for_parent(parent: Parent[Command]) -> None:
    """Run commands in a process of its own, to whose group they belong."""
    # the kernel would end this process with its parent before it has ended the command
    outlive_parent()
    for number in SIGNALS:  # a child ignores them, but a command does not
        signal.signal(number, signal.SIG_DFL)
    for command, variables, limit_s in parent.tasks():
        with tempfile.TemporaryFile() as errors:
            parent.send(_run(command, variables, limit_s, errors, parent))


def _run(
    command: list[str],
    variables: dict[str, str],
    limit_s: float,
    errors: BinaryIO,
    parent: Parent[Command],
) -> Exit:
    """Run a command, and tell the parent again and again that it still runs."""
    try:
        process = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    except OSError as error:
        return NOT_STARTED, f"{command[0]}: {os.strerror(error.errno or 0)}"
    until_s = time.monotonic() + limit_s
    while process.poll() is None:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return TOOK_TOO_LONG, f"it took longer than {limit_s:g} s"
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(SAY_EVERY_S, left_s))
        parent.send(None)
    errors.seek(0)
    lines = errors.read().decode(errors="replace").splitlines()
    lines = [line for line in lines if line.strip()]
    return process.returncode, lines[-1] if lines else ""
