"""Child processes that work for this one: how they are started, read and ended. No child outlives its parent.

`answers_of` runs a function in a fresh interpreter, `python -P -m trigru.bench.processes.child MODULE:FUNCTION`. The
child decodes one request, of the type that the function's annotation says, calls the function with it and with what
sends an answer, and encodes each answer as a line of JSON.

The parent keeps the child's stdin open. Once it has its request, the child ends when its stdin closes, however the
parent ended, with all that it started. On Linux the kernel ends the child before that, at once, but not what the child
started. A child is a session of its own, so Ctrl-C reaches only the parent, which then decides.
"""

import ctypes
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from threading import Event, Thread
from typing import Any, NamedTuple, get_type_hints

from ...common.errors import TrigruError, brief
from .environment import PARENT, environment, interpreter
from .interrupts import ignore, raise_if_interrupted
from .pool import ChildDiedError

PR_SET_PDEATHSIG = 1  # of Linux's prctl
#: How long the parent listens before it looks at the child again, in seconds.
SLICE_S = 0.5

#: Seconds until a JAX that has not started is given up.
JAX_LIMIT_S = 120.0


def answers_of(
    target: str,
    request: Any,
    kind: Any,
    limit_s: float,
    variables: Mapping[str, str] = {},
    stop: Event | None = None,
) -> Generator[Any, None, None]:
    """Run a function in a fresh interpreter, and yield its answers. See `Child` and `Child.answers_to`."""
    with Child(target, variables) as child:
        yield from child.answers_to(request, kind, limit_s, stop)


class ProcessEnded(NamedTuple):
    """The end of a process's answers, and how it died, if it did."""

    error: ChildDiedError | None


class SideBySide(AbstractContextManager["SideBySide"]):
    """The answers of several processes, as they come: a thread reads those of each. On exit, all are stopped."""

    def __init__(self):
        self._answers, self._stop = queue.SimpleQueue[tuple[int, Any]](), Event()
        self._threads, self._reading = (
            ThreadPoolExecutor(64),
            0,
        )  # more than there ever are

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()

    def read(
        self, number: int, answers_until: Callable[[Event], Iterator[Any]]
    ) -> None:
        """Read the answers of a process that has this number, until an event is set."""

        def read() -> None:
            end: ProcessEnded | BaseException = ProcessEnded(None)
            try:
                for answer in answers_until(self._stop):
                    self._answers.put((number, answer))
            except BaseException as error:  # all but a death goes on in the main thread
                end = (
                    ProcessEnded(error) if isinstance(error, ChildDiedError) else error
                )
            self._answers.put((number, end))

        self._reading += 1
        self._threads.submit(read)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """The number of a process and an answer, or its `ProcessEnded`, until all have ended."""
        while self._reading:
            raise_if_interrupted()
            with suppress(queue.Empty):
                number, answer = self._answers.get(timeout=SLICE_S)
                if isinstance(answer, BaseException):
                    raise answer
                self._reading -= isinstance(answer, ProcessEnded)
                yield number, answer


class Child(AbstractContextManager["Child"]):
    """A fresh interpreter that runs MODULE:FUNCTION, with variables beside or instead of this process's.

    It ends with its context, and all that it started, too.
    """

    def __init__(self, target: str, variables: Mapping[str, str] = {}):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            interpreter("-m", __name__, target),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            env=environment() | dict(variables),
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        self._in, self._out, self._lines = (
            self._process.stdin,
            self._process.stdout,
            queue.SimpleQueue[bytes](),
        )
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._out:
            self._lines.put(line)
        self._lines.put(b"")  # the end

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(
                self._process.pid, signal.SIGKILL
            )  # with all processes that it started
        self._process.wait()
        self._listener.join(timeout=1.0)
        if (
            not self._listener.is_alive()
        ):  # else something that the child started still holds the pipe
            self._out.close()
        with suppress(BrokenPipeError):
            self._in.close()
        self._errors.close()

    def answers_to(
        self, request: Any, kind: Any, limit_s: float, stop: Event | None = None
    ) -> Iterator[Any]:
        """Send a request, and yield the answers, of the type `kind`.

        Raises a ChildDiedError, with its last line on stderr, if the child failed, was killed, was silent for longer
        than `limit_s` seconds, sent what is no answer, or is not needed any more, since another thread set `stop`.
        """
        import msgspec  # here, since not every command needs it

        decoder = msgspec.json.Decoder(kind)
        with suppress(BrokenPipeError):
            self._in.write(msgspec.json.encode(request) + b"\n")
            self._in.flush()  # stays open: when it closes, the child knows that its parent has ended
        while (line := self._next(limit_s, stop)).endswith(
            b"\n"
        ):  # else the child died while it wrote the line
            try:
                answer = decoder.decode(line)
            except ValueError as error:
                raise ChildDiedError(
                    f"the process sent what is no answer: {brief(error)}"
                ) from error
            yield answer
        try:
            code = self._process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ChildDiedError(
                f"the process did not end within {limit_s:g} s, and was ended"
            ) from None
        if code:
            self._errors.seek(0)
            last = (
                self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            )
            killed = (
                code < 0 and -code != signal.SIGABRT
            )  # a process that aborts gives the reason
            how = f"killed by signal {-code}" if killed else last
            raise ChildDiedError(f"the process died: {how or f'exit code {code}'}")

    def _next(self, limit_s: float, stop: Event | None) -> bytes:
        """The next line, or b"" at the end."""
        slices = math.ceil(
            limit_s / SLICE_S
        )  # time in which the whole run was stopped counts as one of them
        for _ in range(slices + 1):
            raise_if_interrupted()
            ended = self._process.poll() is not None
            if stop is not None and stop.is_set():
                raise ChildDiedError(
                    "the process was ended, since nobody needs it any more"
                )
            try:
                return self._lines.get(timeout=limit_s / slices)
            except queue.Empty:
                if ended:  # nothing more comes, whoever else holds the pipe
                    return b""
        raise ChildDiedError(
            f"the process said nothing for {limit_s:g} s, and was ended"
        )


def work(target: str) -> None:
    """Answer one request, as a child, by a function that takes a `request` and an `answer` to call."""
    ignore()  # only the parent decides
    parent = int(os.environ.pop(PARENT))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before prctl
            os._exit(1)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what frameworks print
    module, _, name = target.partition(":")
    function = getattr(
        import_module(module), name
    )  # the first, since a module may time its imports
    import msgspec

    line, encoder = sys.stdin.buffer.readline(), msgspec.json.Encoder()
    Thread(target=_end_with_stdin, daemon=True).start()

    def answer(message: Any) -> None:
        answers.write(encoder.encode(message) + b"\n")
        answers.flush()

    try:
        function(
            msgspec.json.decode(line, type=get_type_hints(function)["request"]), answer
        )
    except TrigruError as error:
        sys.exit(" ".join(str(error).split()))


def _end_with_stdin() -> None:
    os.read(
        0, 1
    )  # until it closes; sys.stdin would hold a lock when the interpreter ends
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with all processes that this one started
    os._exit(1)


if __name__ == "__main__":
    work(sys.argv[1])
