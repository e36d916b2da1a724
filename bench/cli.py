"""The command line. `trigru --help` answers without importing JAX."""

from .processes.interrupts import ignore, listen

if __name__ == "__main__":
    listen()  # before all other imports, which take a second

import atexit
import io
import os
import sys

from ..common.errors import TrigruError, UnjudgedError, what_to_install
from .commands.app import app
from .reporting.console import say


def main() -> None:
    """Run the command line. A user's mistake ends with a message and exit code 2."""
    listen()
    atexit.register(
        ignore
    )  # the exit code is settled: a signal during Python's own end changes nothing
    # a stream that the shell has closed leads nowhere, so that no other file gets its number
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout, sys.stderr = (
        stream or open(os.devnull, "w")  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr)
    )
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # what the terminal's encoding cannot show is replaced
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(prog_name="trigru")
    except (TrigruError, OSError, ModuleNotFoundError) as error:
        message = (
            what_to_install(error)
            if isinstance(error, ModuleNotFoundError)
            else str(error)
        )
        if message is None:
            raise
        is_of_stdout = (
            isinstance(error, OSError) and error.errno and error.filename is None
        )
        where = "stdout: " if is_of_stdout else ""  # other errors say what they are of
        say(f"error: {where}{message}")
        sys.exit(125 if isinstance(error, UnjudgedError) else 2)


if __name__ == "__main__":
    main()
