"""The check that generated parts are fresh can fail."""

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path):
    """Of the docs, with what generates them."""
    for folder in (".ci", "docs", "tests/example_port"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("mkdocs.yml", "README.md"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def load_script(path):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(copy):
    script = [sys.executable, str(copy / ".ci" / "generate_docs.py"), "--check"]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def test_a_stale_page_is_named(copy):
    """That all are fresh is checked beside the tests."""
    page = copy / "docs" / "equality.md"
    page.write_text(
        page.read_text(encoding="utf-8").replace("| swapped-gates |", "| swopped-gates |"), encoding="utf-8"
    )
    results = copy / "docs" / "results.md"
    results.write_text(results.read_text(encoding="utf-8") + "more", encoding="utf-8")
    recipe = copy / "docs" / "recipes" / "streaming.md"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("# Stream a", "# Stem a"), encoding="utf-8")
    keys = copy / "docs" / "results-json.md"
    keys.write_text(keys.read_text(encoding="utf-8").replace("| `schema` |", "| `scheme` |"), encoding="utf-8")
    found = check(copy)
    assert found.returncode == 1
    assert "docs/results-json.md is stale" in found.stderr
    assert "docs/equality.md is stale" in found.stderr
    assert "docs/results.md is stale" in found.stderr
    assert "docs/recipes/index.md is stale" in found.stderr


def test_a_key_of_which_a_docstring_says_nothing_stops_the_page():
    keys = load_script(ROOT / ".ci" / "keys.py")

    @dataclass
    class Told:
        """A record.

        Args:
            a, b: two numbers,
                or None.
        """

        a: Annotated[float, msgspec.Meta(gt=0)] | None
        b: Annotated[float, msgspec.Meta(gt=0)] | None

    assert keys.tables_of(Told).endswith("| `a`, `b` | number above 0 or null | two numbers, or null. |")
    Told.__doc__ = Told.__doc__.replace("a, b", "a")
    with pytest.raises(SystemExit, match="the docstring of Told says nothing of b."):
        keys.tables_of(Told)


def test_every_marker_has_a_generator(monkeypatch):
    markers = {
        name
        for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
        for name in re.findall(r"<!-- generated: (\S+) -->", page.read_text())
    }
    monkeypatch.syspath_prepend(ROOT / ".ci")
    assert markers == set(load_script(ROOT / ".ci" / "generate_docs.py").PARTS)
