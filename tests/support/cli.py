"""The command line in this process, where things can be patched."""

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
from trigru.bench.cli import app, main
from typer.testing import CliRunner


def invoke(*arguments: str, **environment: str) -> Any:
    """Run a command; its mistakes are left as they were raised."""
    return CliRunner().invoke(app, list(arguments), env=environment)


def call(*arguments: str) -> tuple[Any, str, str]:
    """Run a command as its entry point does; returns the exit code and what went to stdout and to stderr."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", ["trigru", *arguments])
        patch.setattr(signal, "signal", lambda *_: None)
        with redirect_stderr(io.StringIO()) as err, pytest.raises(SystemExit) as left:
            main()
    return left.value.code, out.getvalue(), err.getvalue()
