"""The scripts beside the package."""

import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "bench" / "studies"


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_a_study_can_be_imported(path, monkeypatch):
    monkeypatch.syspath_prepend(str(path.parent))
    assert runpy.run_path(str(path), run_name="study")["__doc__"]
