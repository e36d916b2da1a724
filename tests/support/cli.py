"""The command line in this process, where things can be patched, and what a terminal or
a fresh process shows.
"""

import io
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest
from rich.console import Console
from trigru.bench.cli import app, main
from trigru.bench.reporting.console import Section, terminal
from typer.testing import CliRunner


def invoke(*arguments: str, **environment: str) -> Any:
    """Run a command; its mistakes are left as they were raised."""
    return CliRunner().invoke(app, list(arguments), env=environment)


def call(*arguments: str) -> tuple[Any, str, str]:
    """Run a command as its entry point does; returns the exit code and what went to
    stdout and to stderr.
    """
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", ["trigru", *arguments])
        patch.setattr("trigru.bench.cli.listen", lambda: None)
        with redirect_stderr(io.StringIO()) as err, pytest.raises(SystemExit) as left:
            main()
    return left.value.code, out.getvalue(), err.getvalue()


def shown(sections: Iterable[Section]) -> str:
    """What a terminal of 100 columns shows of tables; that they fit is checked."""
    text = io.StringIO()
    Console(width=100, file=text).print(terminal(sections))
    found = text.getvalue()
    assert max(len(line.rstrip()) for line in found.splitlines()) <= 100
    assert "…" not in found
    return found


def run_code(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
