"""Child processes that work on tasks side by side: tasks go in, and messages come out.

A process is a fresh interpreter, `python -P -m trigru.bench.processes.child
MODULE:FUNCTION`. The function is called with a `child.Parent`, of which it takes
tasks and to which it sends messages. A process that dies, or is silent for too long,
is ended and replaced. The task that it had comes out as lost, with the reason.

No process outlives this one. On Linux the kernel ends it at once; elsewhere it ends
when its stdin closes, with all that it started. Each is a session of its own, so
Ctrl-C reaches only this process, which then decides.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

from ...common.errors import TrigruError, brief
from . import wire
from .environment import environment, interpreter
from .interrupts import raise_if_interrupted

CHILD = "trigru.bench.processes.child"
#: For how long the parent listens before it looks at its processes again, in seconds.
SLICE_S = 0.5
#: The same, while a process has closed its stdout and is about to end.
ENDING_SLICE_S = 0.02

Task = TypeVar("Task")
Message = TypeVar("Message")


class ChildDiedError(TrigruError):
    """A child process failed: it ended, had to be ended, or sent what is no message."""


@dataclass(frozen=True)
class TaskEnded:
    """The end of a task: no more messages come of it.

    Attributes:
        error: how the process died that had the task; None if it did not.
        was_begun: whether a process had taken the task before it died.
    """

    error: ChildDiedError | None = None
    was_begun: bool = True


class Pool(AbstractContextManager["Pool[Task, Message]"], Generic[Task, Message]):
    """Processes that take tasks, in the order in which they were submitted.

        with Pool("package.module:work", int, limit_s=60.0) as pool:
            pool.submit("a task")
            for task, message in pool.messages():
                print(task, message)

    All processes end with the context.

    Args:
        worker: MODULE:FUNCTION, which each process runs.
        message_type: that of the messages.
        limit_s: a process that is silent for longer is ended; in seconds. It can be
            changed while messages are read.
        processes: how many work side by side.
        variables: of the environment, beside those of this process or instead of them.
        reuse: whether a process takes one task after the other; else each task gets
            a process of its own, and ends only when that process has ended.
    """

    def __init__(
        self,
        worker: str,
        message_type: Any,
        *,
        limit_s: float,
        processes: int = 1,
        variables: Mapping[str, str] | None = None,
        reuse: bool = False,
    ):
        self._worker = worker
        self._decoder = wire.decoder(message_type)
        self.limit_s = limit_s
        self._most_processes = processes
        self._variables = dict(variables or {})
        self._reuse = reuse
        self._waiting: deque[Task] = deque()
        self._processes: list[_Process[Task]] = []
        #: Those that wait to work alone, or to work beside others again.
        self._turns: deque[_Process[Task]] = deque()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.kill()
        self._processes.clear()
        self._turns.clear()

    def submit(self, task: Task) -> None:
        """Add a task. That can be done while messages are read, too."""
        self._waiting.append(task)

    def start(self, processes: int | None = None) -> None:
        """Start so many processes now, before there are tasks; by default, all."""
        for _ in range(self._most_processes if processes is None else processes):
            self._processes.append(_Process(self._worker, self._variables))

    def messages(self) -> Iterator[tuple[Task, Message | TaskEnded]]:
        """Each message of each task, and its `TaskEnded`, until all tasks have ended.

        Of tasks that end, that of a process which died before it took one is the
        task that it would have taken. Raises an Interrupted at a signal.
        """
        while self._waiting or any(process.has_task for process in self._processes):
            raise_if_interrupted()
            self._give_tasks()
            self._start_missing()
            self._give_turns()
            has_ended = {process for process in self._processes if process.has_ended()}
            can_be_read = self._wait()
            for process in list(self._processes):
                if process in can_be_read:
                    yield from self._read(process)
                elif process in has_ended:
                    # nothing more comes, whoever else holds the pipe
                    yield from self._end(process, process.error())
                elif process.silent_s > self.limit_s:
                    yield from self._end(process, process.silence(self.limit_s))

    def _give_tasks(self) -> None:
        for process in self._processes:
            if process.state is _State.IDLE and self._waiting:
                process.take(self._waiting.popleft())

    def _start_missing(self) -> None:
        """Start processes for the tasks that no process is about to take.

        None is started while another one works alone, or waits to.
        """
        if self._turns or self._works_alone():
            return
        starting = [p for p in self._processes if p.state is _State.STARTING]
        free = self._most_processes - len(self._processes)
        self.start(min(free, len(self._waiting) - len(starting)))

    def _works_alone(self) -> bool:
        return any(process.state is _State.ALONE for process in self._processes)

    def _give_turns(self) -> None:
        """Let go on who waits for a turn, in the order in which they asked."""
        while self._turns:
            process = self._turns[0]
            others = [other for other in self._processes if other is not process]
            if process.state is _State.WAITS_ALONE:
                if any(other.state in _WORKING for other in others):
                    return
                process.go(_State.ALONE)
            else:
                if self._works_alone():
                    return
                process.go(_State.WORKING)
            self._turns.popleft()

    def _wait(self) -> "set[_Process[Task]]":
        """Wait for a while until something can be read; those of which it can."""
        open_pipes = {}
        for process in self._processes:
            if not process.lines.is_at_end:
                open_pipes[process.lines.descriptor] = process
        slice_s = min(SLICE_S, self.limit_s)
        if len(open_pipes) < len(self._processes):
            slice_s = ENDING_SLICE_S

        begun_s = time.monotonic()
        if open_pipes:
            readable = wait(list(open_pipes), slice_s)
        else:
            time.sleep(slice_s)
            readable = []
        # of the time in which this process was stopped, no more than a slice counts
        waited_s = min(time.monotonic() - begun_s, slice_s)

        for process in self._processes:
            if process.state in _HEARD:
                process.silent_s += waited_s
        return {open_pipes[descriptor] for descriptor in readable}

    def _read(
        self, process: "_Process[Task]"
    ) -> Iterator[tuple[Task, Message | TaskEnded]]:
        """What the lines say that have come from a process."""
        for word, value in process.lines.read():
            process.silent_s = 0.0
            if word == wire.NEXT:
                yield from self._next(process)
            elif word == wire.ALONE:
                process.state = _State.WAITS_ALONE
                self._turns.append(process)
            elif word == wire.TOGETHER:
                process.state = _State.WAITS_TOGETHER
                self._turns.append(process)
            else:
                try:
                    message = self._decoder.decode(value)
                except ValueError as error:
                    text = f"the process sent what is no answer: {brief(error)}"
                    yield from self._end(process, ChildDiedError(text))
                    return
                yield process.task, message

    def _next(
        self, process: "_Process[Task]"
    ) -> Iterator[tuple[Task, Message | TaskEnded]]:
        """A process has done its task, if it had one, and asks for another."""
        if not process.has_task:
            process.state = _State.IDLE
        elif self._reuse:
            process.state = _State.IDLE
            yield process.task, TaskEnded()
        else:
            process.end()

    def _end(
        self, process: "_Process[Task]", error: ChildDiedError | None
    ) -> Iterator[tuple[Task, Message | TaskEnded]]:
        """A process has ended, or has to be ended."""
        process.kill()
        self._processes.remove(process)
        with suppress(ValueError):
            self._turns.remove(process)
        if process.has_task:
            yield process.task, TaskEnded(error)
        elif self._waiting:
            reason = error or ChildDiedError("the process ended without a task")
            yield self._waiting.popleft(), TaskEnded(reason, was_begun=False)


class _State(Enum):
    """What a process does."""

    STARTING = "it imports what its function needs"
    IDLE = "it waits for a task"
    WORKING = "it works on a task, beside others"
    WAITS_ALONE = "it waits until no other process works"
    ALONE = "it works, and no other process does"
    WAITS_TOGETHER = "it waits until no other process works alone"
    ENDING = "it has done its only task, and ends"


#: While a process does this, no other one works alone.
_WORKING = (_State.STARTING, _State.WORKING, _State.ALONE, _State.ENDING)
#: While a process does this, it may not be silent for long.
_HEARD = _WORKING


class _Process(Generic[Task]):
    """One child process, as its parent sees it."""

    #: The task that it works on, or the last one.
    task: Task

    def __init__(self, worker: str, variables: Mapping[str, str]):
        self.state = _State.STARTING
        self.silent_s = 0.0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            interpreter("-m", CHILD, worker),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,
            env=environment() | dict(variables),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = self._process.stdin
        self._out = self._process.stdout
        self.lines = wire.Lines(self._out.fileno())

    @property
    def has_task(self) -> bool:
        """Whether it has a task that has not ended."""
        return self.state not in (_State.STARTING, _State.IDLE)

    def take(self, task: Task) -> None:
        """Send a task."""
        self.task = task
        self._send(_State.WORKING, wire.line_of(wire.TASK, task))

    def go(self, state: _State) -> None:
        """Let it go on."""
        self._send(state, wire.line_of(wire.GO))

    def end(self) -> None:
        """Let it end."""
        self._send(_State.ENDING, wire.line_of(wire.END))

    def _send(self, state: _State, line: bytes) -> None:
        self.state = state
        self.silent_s = 0.0
        left = memoryview(line)
        with suppress(BrokenPipeError):  # it died, which is noticed elsewhere
            while left:
                left = left[self._in.write(left) :]

    def has_ended(self) -> bool:
        """Whether the process has ended, and what it wrote may still be unread."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it, with all processes that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._in.close()
        self._out.close()
        self._errors.close()

    def error(self) -> ChildDiedError | None:
        """How the process ended; None if by itself, and well."""
        code = self._process.returncode
        if not code:
            return None
        # a process that aborts gives the reason on stderr
        if code < 0 and -code != signal.SIGABRT:
            return ChildDiedError(f"the process died: killed by signal {-code}")
        self._errors.seek(0)
        text = self._errors.read().decode(errors="replace").strip()
        last_line = text.rpartition("\n")[2]
        return ChildDiedError(f"the process died: {last_line or f'exit code {code}'}")

    def silence(self, limit_s: float) -> ChildDiedError:
        """What is said of a process that was silent for longer than the limit."""
        if self.lines.is_at_end:
            text = f"the process did not end within {limit_s:g} s, and was ended"
        else:
            text = f"the process said nothing for {limit_s:g} s, and was ended"
        return ChildDiedError(text)


def messages_of(
    worker: str,
    task: Any,
    message_type: Any,
    limit_s: float,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Any]:
    """Do one task in a process of its own, and yield its messages.

    Raises a ChildDiedError if the process died.
    """
    pool = Pool[Any, Any](worker, message_type, limit_s=limit_s, variables=variables)
    with pool:
        pool.submit(task)
        for _, message in pool.messages():
            if not isinstance(message, TaskEnded):
                yield message
            elif message.error is not None:
                raise message.error
