"""Ctrl-C, SIGTERM and SIGHUP are one exception, which never falls into a write.

A signal is only noted. `raise_if_interrupted` raises it: whatever takes long calls it
twice a second, or at each of its steps. An exception raised where the signal happens to
arrive would be lost in one of JAX's callbacks. A second signal changes nothing; a third
one ends the process at once, unless it writes.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Who sends so many does not want to wait for anything but a write.
SIGNALS_TO_LEAVE = 3


class Interrupted(KeyboardInterrupt):
    """A signal for this process to end, by its number."""

    def __init__(self, number: int):
        super().__init__(f"signal {number}")
        self.code = 128 + number


class _Heard:
    """The signals that this process has had. Python's handlers are those of a process,
    and so are these.
    """

    def __init__(self) -> None:
        self.writes = 0  # how many blocks are within `shielded` now
        self.forget()

    def forget(self) -> None:
        self.number: int | None = None  # that of the first signal
        self.count = 0
        self.was_raised = False

    def notice(self, number: int, _: object) -> None:
        """The handler of signals."""
        if self.number is None:
            self.number = number
        self.count += 1
        if self.count >= SIGNALS_TO_LEAVE and not self.writes:
            os._exit(128 + self.number)


_heard = _Heard()
_handler = _heard.notice


def listen() -> dict[signal.Signals, Any]:
    """From now on, signals are noted, unless they are ignored, as with nohup.

    Returns the handlers that were there.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _handler)
    return handlers


def ignore() -> None:
    """Ignore the signals from now on.

    Python's own handlers are gone before the process is.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def listening() -> Iterator[None]:
    """Within this context, signals are noted."""
    handlers = listen()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is None:  # it was not set by Python
                handler = signal.SIG_DFL
            signal.signal(number, handler)
        if _handler not in handlers.values():
            _heard.forget()


def raise_if_interrupted() -> None:
    """Raise an Interrupted if there was a signal: once, and never within `shielded`.

    Only the main thread raises it.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if _heard.number is None or _heard.was_raised or _heard.writes:
        return
    _heard.was_raised = True
    raise Interrupted(_heard.number)


@contextmanager
def shielded() -> Iterator[None]:
    """Finish the block, and raise a signal that came meanwhile at its end."""
    _heard.writes += 1
    try:
        yield
    finally:
        _heard.writes -= 1
    raise_if_interrupted()


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within this context, the first signal ends the process, unless it writes.

    It is for work that leaves nothing behind, and that may spend minutes in the
    compiler, where Python runs no handlers of signals: another thread waits for them.
    """
    raise_if_interrupted()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    writer_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_leave_at_signal, args=(reader,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(writer_before)
        os.close(writer)  # which ends the thread
    raise_if_interrupted()


def _leave_at_signal(reader: int) -> None:
    """End the process at the first signal that is read.

    One that comes during a write is raised at its end.
    """
    with os.fdopen(reader, "rb", buffering=0) as signals:
        while received := signals.read(1):
            number = received[0]
            if number in SIGNALS and not _heard.writes:
                os.write(2, b"interrupted.\n")
                os._exit(128 + number)
