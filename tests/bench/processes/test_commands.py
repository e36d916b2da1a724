"""Commands that run in a process between: how they end."""

import os

import pytest
from trigru.bench.processes.commands import run_command

PATIENCE_S = 60.0


@pytest.mark.parametrize(
    ("script", "end"),
    [
        ("exit 0", (0, "")),
        ("echo a >&2; echo b >&2; exit 3", (3, "b")),
        ("kill $$", (-15, "exit code -15")),
    ],
)
def test_a_command_says_how_it_ended(script, end):
    assert run_command(["sh", "-c", script], os.environ, PATIENCE_S) == end


def test_a_command_that_takes_too_long_is_ended():
    end = run_command(["sleep", "600"], os.environ, 0.1)
    assert end == (124, "it took longer than 0.1 s")


def test_a_command_that_is_not_there_says_so():
    end = run_command(["there-is-none"], os.environ, PATIENCE_S)
    assert end == (127, "there-is-none: No such file or directory")


def test_who_waits_for_a_command_is_called_while_it_runs():
    calls = []
    run_command(["sleep", "0.1"], os.environ, PATIENCE_S, lambda: calls.append("still"))
    assert calls
