"""The process that a pool starts: it takes tasks from its parent, and sends messages.

A worker is a function of one argument, its parent:

    def work(parent: Parent[str]) -> None:
        for task in parent.tasks():
            parent.send(len(task))

The annotation says of which type the tasks are.
"""

import ctypes
import gc
import os
import queue
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import Thread
from typing import Any, BinaryIO, Generic, TypeVar, get_args, get_type_hints

from ...common.errors import TrigruError
from . import interrupts, wire
from .environment import PARENT

#: Of Linux's prctl: the signal that a process gets when its parent ends.
PR_SET_PDEATHSIG = 1

Task = TypeVar("Task")
#: What a process runs.
Worker = Callable[["Parent[Any]"], None]


class Parent(Generic[Task]):
    """The process that started this one, and how to talk with it."""

    def __init__(self, task_type: Any, output: BinaryIO):
        self._decoder = wire.decoder(task_type)
        self._output = output
        self._received: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
        Thread(target=self._listen, daemon=True).start()

    def tasks(self) -> Iterator[Task]:
        """The tasks, as the parent gives them: the one before has then been done."""
        while True:
            self._write(wire.line_of(wire.NEXT))
            word, value = self._received.get()
            if word == wire.END:
                return
            yield self._decoder.decode(value)

    def send(self, message: object) -> None:
        """Send a message about the task."""
        self._write(wire.line_of(wire.MESSAGE, message))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within this context, no other process of the pool works or is started.

        It is waited for, also at the end: other processes that asked before come first.
        """
        self._wait_for(wire.ALONE)
        try:
            yield
        finally:
            self._wait_for(wire.TOGETHER)

    def _wait_for(self, word: bytes) -> None:
        self._write(wire.line_of(word))
        self._received.get()

    def _write(self, line: bytes) -> None:
        self._output.write(line)
        self._output.flush()

    def _listen(self) -> None:
        """Hear the parent. When it has ended, end this process and all it started."""
        # not by sys.stdin, which would hold a lock when the interpreter ends
        lines = wire.Lines(0)
        while not lines.is_at_end:
            for word, value in lines.read():
                self._received.put((word, value))
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


def run_worker(target: str) -> None:
    """Call MODULE:FUNCTION with this process's parent."""
    interrupts.ignore()  # only the parent decides
    end_with_parent(int(os.environ.pop(PARENT)))

    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what frameworks print goes to stderr

    module_name, _, name = target.partition(":")
    worker = getattr(import_module(module_name), name)
    try:
        worker(Parent(task_type_of(worker), output))
    except TrigruError as error:
        sys.exit(" ".join(str(error).split()))


def task_type_of(worker: Worker) -> Any:
    """The type of the tasks that a worker takes, as its annotation says."""
    (task_type,) = get_args(get_type_hints(worker)["parent"])
    return task_type


def end_with_parent(parent_id: int) -> None:
    """Let the kernel end this process when its parent ends, where it can: on Linux."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_id:  # it ended before
        os._exit(1)


def outlive_parent() -> None:
    """Let the kernel leave this process when its parent ends.

    It still ends when its stdin closes, and so has the time to end what it started.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)


def collect_less_garbage() -> None:
    """Leave what is imported alone, and collect rarely.

    With Python's usual thresholds, collecting takes a tenth of the time of a trace.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


if __name__ == "__main__":
    run_worker(sys.argv[1])
