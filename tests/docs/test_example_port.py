"""The package that docs/ports.md shows is installed as a stranger would install it, then found and checked."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import jax
import pytest
from trigru.common.equality.checks import CHECKS

EXAMPLE = Path(__file__).parents[1] / "example_port"


@pytest.fixture
def python(tmp_path):
    """Runs a module in a process of its own, beside a copy of the package that pip has installed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir

    def run(*command, **own):
        command = [sys.executable, "-m", *command]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=env | own)

    copytree(EXAMPLE, tmp_path / "source", ignore=ignore_patterns("__pycache__", "build", "*.egg-info"))
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--target", "packages"]
    done = run("pip", "--isolated", "--disable-pip-version-check", "install", *options, "./source")
    assert done.returncode == 0, done.stdout + done.stderr
    return lambda *command: run(*command, PYTHONPATH=str(tmp_path / "packages"))


def test_the_example_is_found_and_checked(python):
    command = ("trigru.bench.cli", "verify", "--port", "by-hand", "--dtype", "float64", "--format", "json")
    done = python(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(done.stdout)
    assert (data["passed"], data["unavailable"]) == (True, {})
    assert {m["port"] for m in data["measurements"]} == {"by-hand"}
    assert {m["check"] for m in data["measurements"]} == {check.name for check in CHECKS} - {"class"}
