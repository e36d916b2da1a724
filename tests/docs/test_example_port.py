"""The package that docs/ports.md shows is installed as a stranger would install it, then found, checked and caught."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
from trigru.common.equality.checks import CHECKS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "example_port"
B_HN = " + self.b_hn"


def run(*arguments, cwd, path=None):
    """A Python module in a process of its own, with a folder of packages or none."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    environment |= {"PYTHONPATH": str(path)} if path else {}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


def install(folder, edit):
    """Install a copy of the package, its module edited, and return the folder that it is in."""
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    module = folder / "source" / "gru_by_hand.py"
    module.write_text(edit(module.read_text(encoding="utf-8")), encoding="utf-8")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--no-cache-dir", "--target", "packages"]
    found = run("pip", "--isolated", "--disable-pip-version-check", "install", *options, "./source", cwd=folder)
    assert found.returncode == 0, found.stdout + found.stderr
    return folder / "packages"


def verify(*arguments, folder, edit=lambda source: source):
    """Run the command in a folder where the package was installed."""
    return run("trigru.bench.cli", "verify", "--port", "by-hand", *arguments, cwd=folder, path=install(folder, edit))


def test_the_example_is_found_and_passes_every_check(tmp_path):
    found = verify("--dtype", "float64", "--format", "json", folder=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    data = json.loads(found.stdout)
    assert data["passed"]
    assert data["unavailable"] == {}
    assert {m["port"] for m in data["measurements"]} == {"by-hand"}
    assert {m["check"] for m in data["measurements"]} == {check.name for check in CHECKS} - {"class"}


def test_a_fault_in_the_package_is_noticed_and_its_port_named(tmp_path):
    def without_b_hn(source):
        assert source.count(B_HN) == 1
        return source.replace(B_HN, "")

    found = verify("--check", "closed", folder=tmp_path, edit=without_b_hn)
    assert found.returncode == 1, found.stderr
    assert "FAILED by-hand: sequence: " in found.stdout
