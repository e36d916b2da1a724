"""The lines that a child process and its parent write to each other.

A line is a word and, for some words, a value in JSON.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import msgspec

#: How many bytes are read at a time.
CHUNK_BYTES = 2**16

# from a child to its parent
NEXT = b"next"  # it has done its task, if it had one, and waits for another
MESSAGE = b"message"  # about its task, with a value
ALONE = b"alone"  # it waits to be the only one that works
TOGETHER = b"together"  # it waits to work beside others again

# from the parent to a child
TASK = b"task"  # with a value
END = b"end"  # there are no more tasks
GO = b"go"  # the answer to ALONE and TOGETHER


def line_of(word: bytes, *values: object) -> bytes:
    """A line that says a word, and a value where one is passed."""
    import msgspec  # here, since commands without children run without it

    texts = [msgspec.json.encode(value) for value in values]
    return b" ".join([word, *texts]) + b"\n"


class Lines:
    """The whole lines that come out of a pipe.

    What stands behind the last end of a line is no line.
    """

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self.is_at_end = False
        self._rest = b""

    def read(self) -> Iterator[tuple[bytes, bytes]]:
        """Wait until something comes, and yield the word and the value of each line."""
        chunk = os.read(self.descriptor, CHUNK_BYTES)
        if not chunk:
            self.is_at_end = True
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            word, _, value = line.partition(b" ")
            yield word, value


def decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    """Reads values of a type."""
    import msgspec

    return msgspec.json.Decoder(kind)
