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
    # the exit code is settled: a signal during Python's own end changes nothing
    atexit.register(ignore)
    _prepare_streams()
    try:
        app(prog_name="trigru")
    except UnjudgedError as error:
        _end(str(error), code=125)
    except TrigruError as error:
        _end(str(error))
    except ModuleNotFoundError as error:
        message = what_to_install(error)
        if message is None:
            raise
        _end(message)
    except OSError as error:
        # all other errors of the system say what they are of
        is_of_stdout = error.errno and error.filename is None
        _end(f"stdout: {error}" if is_of_stdout else str(error))


def _prepare_streams() -> None:
    """Make stdout and stderr safe to write to.

    A stream that the shell has closed leads nowhere. What the encoding of the terminal
    cannot show is replaced.
    """
    # files that are opened later do not get the numbers of closed streams
    number = os.open(os.devnull, os.O_RDWR)
    while number <= 2:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)

    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _end(message: str, code: int = 2) -> None:
    say(f"error: {message}")
    sys.exit(code)


if __name__ == "__main__":
    main()
