"""Ctrl-C, SIGTERM and SIGHUP are one thing: an Interrupted exception, which never falls into a write.

A signal is only noted. `raise_if_interrupted` raises it: whatever takes long calls it twice a second, or at each of its
steps. An exception raised where the signal happens to arrive would be lost in one of JAX's callbacks. A second signal
changes nothing; a third one ends the process at once, unless it writes.
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


class _State:
    shields = count = 0
    number: int | None = None
    was_raised = False


def listen() -> dict[signal.Signals, Any]:
    """From now on, signals are noted, unless they are ignored, as with nohup; returns the handlers that were there."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _notice)
    return before


def ignore() -> None:
    """Ignore the signals from now on: Python's own handlers are gone before the process is."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def listening() -> Iterator[None]:
    """Within this context, signals are noted."""
    before = listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if _notice not in before.values():
            _State.number, _State.count, _State.was_raised = None, 0, False


def raise_if_interrupted() -> None:
    """Raise an Interrupted, in the main thread, if there was a signal and it was not raised before."""
    is_main = threading.current_thread() is threading.main_thread()
    if (
        is_main
        and _State.number is not None
        and not _State.shields
        and not _State.was_raised
    ):
        _State.was_raised = True
        raise Interrupted(_State.number)


@contextmanager
def shielded() -> Iterator[None]:
    """Finish the block, and raise a signal that came meanwhile at its end."""
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
    raise_if_interrupted()


def _notice(number: int, _: object) -> None:
    _State.number, _State.count = _State.number or number, _State.count + 1
    if _State.count >= SIGNALS_TO_LEAVE and not _State.shields:
        os._exit(128 + _State.number)
