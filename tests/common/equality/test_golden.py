"""The golden vectors are those of the oracle, and can be made again."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from safetensors import safe_open
from trigru.common.equality import golden

WRITER = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[3] / ".ci" / "golden.py")))


def test_they_hide_nothing():
    data, (B, T, D, _) = golden.golden_data(), WRITER.SHAPE
    assert data.x.shape == (1, B, T, D)
    assert data.lengths is not None
    assert {0, T} <= set(data.lengths[0].tolist())
    assert data.resets is not None
    assert data.resets.any()
    assert all(np.abs(p).min() > 0 for p in data.params)
    assert all(np.abs(a).max() > 1e-3 for a in golden.golden_answers().values())


def test_the_oracle_still_gives_them_and_the_file_can_be_made_again(tmp_path):
    path = tmp_path / "again.safetensors"
    WRITER.write(path)
    again = golden.load(path.read_bytes())
    assert set(again) == set(golden._stored())
    for name, kept in golden._stored().items():
        np.testing.assert_allclose(again[name], kept, rtol=0, atol=1e-14 * np.abs(kept).max(), err_msg=name)
    with safe_open(path, "numpy") as opened:
        assert opened.metadata()["seed"] == str(WRITER.SEED)
