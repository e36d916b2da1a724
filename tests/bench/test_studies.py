"""The scripts beside the package."""

import runpy

import pytest
from support.golden import ROOT


@pytest.mark.parametrize("path", sorted((ROOT / "bench" / "studies").rglob("*.py")), ids=lambda path: path.stem)
def test_a_study_can_be_imported(path, monkeypatch):
    monkeypatch.syspath_prepend(str(path.parent))
    assert runpy.run_path(str(path), run_name="study")["__doc__"]
