"""Child processes that measure: how they are started, read and ended. No child outlives its parent.

The parent keeps the child's stdin open. The child ends when its stdin closes, however the parent ended, with all that
it started. On Linux the kernel ends the child before that, at once, but not what the child started. A child is a
session of its own, so Ctrl-C reaches only the parent, which then decides.
"""

import ctypes
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from typing import BinaryIO, NamedTuple

from ...common.errors import TrigruError

_PARENT = "TRIGRU_PARENT"
_PR_SET_PDEATHSIG = 1
#: How long the parent listens before it looks at the child again, in seconds.
SLICE_S = 1.0


class ChildDiedError(TrigruError):
    """A child process ended without an answer, or had to be ended."""


def lines_of(module: str, request: bytes, limit_s: float) -> Iterator[bytes]:
    """Run a module of this package in a fresh interpreter, and yield the lines that it writes to stdout.

    Args:
        module: its name within `trigru.bench.timing`. It calls `adopt` before anything else.
        request: the line to send, without its end of line.
        limit_s: the longest that it may say nothing, in seconds.

    Raises:
        ChildDiedError: it failed, was killed, or wrote nothing for too long. Then it has been ended, with all processes
            that it started. The message has its last line on stderr.
    """
    command = [sys.executable, "-m", f"{__package__}.{module}"]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            env=os.environ | {_PARENT: str(os.getpid())},
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        out = child.stdout

        def listen() -> None:
            for line in out:
                said.put(line)
            said.put(b"")  # the end

        listener = Thread(target=listen, daemon=True)
        listener.start()
        try:
            with suppress(BrokenPipeError):
                child.stdin.write(request + b"\n")
                child.stdin.flush()  # stays open: when it closes, the child knows that its parent has ended
            while line := _next(said, child, limit_s):
                if line.endswith(b"\n"):  # else the child died while it wrote the line
                    yield line
            if _exit_code(child, limit_s):
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
                how = f"killed by signal {-child.returncode}" if child.returncode < 0 else last
                raise ChildDiedError(f"the measuring process died: {how or f'exit code {child.returncode}'}")
        finally:
            _kill(child)
            child.wait()
            listener.join(timeout=1.0)
            if not listener.is_alive():  # else something that the child started still holds the pipe
                child.stdout.close()
            with suppress(BrokenPipeError):
                child.stdin.close()


class Parent(NamedTuple):
    """A child's connection to its parent: the line that it sent, and where the answers are written, one a line."""

    request: bytes
    answers: BinaryIO

    def answer(self, line: bytes) -> None:
        """Send a line."""
        self.answers.write(line + b"\n")
        self.answers.flush()


def adopt() -> Parent:
    """Connect to the parent. A child calls this before its heavy imports.

    From then on it ends with its parent, ignores Ctrl-C, and sends to stderr what frameworks print to stdout.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.environ.pop(_PARENT, None)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent is not None and os.getppid() != int(parent):  # the parent ended before prctl
            os._exit(1)
    request = sys.stdin.buffer.readline()
    Thread(target=_end_with_stdin, daemon=True).start()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return Parent(request, answers)


def _end_with_stdin() -> None:
    os.read(0, 1)  # until it closes; sys.stdin would hold a lock when the interpreter ends
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with all processes that this one started
    os._exit(1)


def _next(said: "queue.SimpleQueue[bytes]", child: subprocess.Popen[bytes], limit_s: float) -> bytes:
    """The next line, or b"" at the end.

    The wait is cut into slices, so that time in which the whole run was stopped counts as one of them.
    """
    slices = math.ceil(limit_s / SLICE_S)
    for _ in range(slices + 1):
        ended = child.poll() is not None
        try:
            return said.get(timeout=limit_s / slices)
        except queue.Empty:
            if ended:  # nothing more comes, whoever else holds the pipe
                return b""
    raise ChildDiedError(f"the measuring process said nothing for {limit_s:g} s, and was ended")


def _exit_code(child: subprocess.Popen[bytes], limit_s: float) -> int:
    try:
        return child.wait(limit_s)
    except subprocess.TimeoutExpired:
        raise ChildDiedError(f"the measuring process did not end within {limit_s:g} s, and was ended") from None


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child, with all processes that it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
