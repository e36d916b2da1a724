"""What depends on the versions, in the tables that the docs show side by side."""

import gzip
import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import versions
from trigru.bench.analysis.answer import WAYS
from trigru.common.files import read_whole

ROOT = Path(__file__).parents[2]


def test_versions_beside_each_other(tmp_path):
    shutil.copy(ROOT / "docs" / "results" / "cpu.json.gz", tmp_path / "cpu.json.gz")
    assert versions.version_tables(tmp_path).startswith("One set of versions was measured: python ")
    shutil.copy(tmp_path / "cpu.json.gz", tmp_path / "cpu-py311.json.gz")
    same = versions.version_tables(tmp_path)
    assert "**The answer depends on your versions** in 0 of 36 ratios" in same
    assert "**no**" not in same
    assert "in part" not in same


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [(["nnx"], ["nnx"], "yes"), (["nnx", "linen"], ["linen"], "in part"), (["nnx"], ["linen"], "**no**")],
)
def test_whether_two_sets_give_the_same_answer(before, after, said):
    old, new = (
        SimpleNamespace(row=lambda *_, names=names: SimpleNamespace(fastest=dict.fromkeys(WAYS, names)))
        for names in (before, after)
    )
    assert versions._winners(old, new, "a step", "tiny", "step")[-1] == said


def test_versions_that_disagree(tmp_path, monkeypatch):
    content = read_whole(ROOT / "docs" / "results" / "cpu.json.gz").decode()
    (date,) = set(re.findall(r'"datetime": ?"(2\d{3}-[^"]+)"', content))
    (tmp_path / "cpu.json.gz").write_bytes(gzip.compress(content.encode()))
    older = (datetime.fromisoformat(date) - timedelta(days=1)).isoformat()
    (tmp_path / "cpu-py311.json.gz").write_bytes(gzip.compress(content.replace(date[:10], older[:10]).encode()))
    measured = versions.Measured.effect

    def doubled(self, workload, phase, way, port):
        """With the older versions, linen's train step of one workload takes twice as long."""
        effect, floor = measured(self, workload, phase, way, port)
        more = np.log(2) * ((workload, phase, port) == ("question", "train_step", "linen"))
        more *= self.run.datetime.startswith(older[:10])
        return replace(effect, log_ratio=effect.log_ratio + more), floor

    monkeypatch.setattr(versions.Measured, "effect", doubled)
    said = versions.version_tables(tmp_path).replace("\u00a0", " ")
    assert "**The answer depends on your versions** in 2 of 36 ratios" in said
    of_both = [line for line in said.splitlines() if "**faster**: 0.50 [0.4" in line]
    assert len(of_both) == 2
    assert all(line.split(" | ")[1] == "linen" for line in of_both)
