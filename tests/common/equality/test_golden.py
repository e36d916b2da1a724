"""The golden vectors are those of the oracle, and can be made again."""

import subprocess
import sys

import numpy as np
from safetensors import safe_open
from trigru.common.equality import golden
from trigru.common.equality.cases import Case
from trigru.common.equality.checks import get_checks
from trigru.common.equality.golden import SEED, SHAPE, golden_answers, golden_case, oracle_answers, write


def test_the_oracle_still_gives_them():
    found = oracle_answers(golden_case())
    assert set(found) == set(golden_answers())
    for name, kept in golden_answers().items():
        np.testing.assert_allclose(found[name], kept, rtol=0, atol=1e-14 * np.abs(kept).max(), err_msg=name)


def test_they_hide_nothing():
    case = golden_case()
    assert case.x.shape[0] == len(case.lengths) == SHAPE[0]
    assert {0, SHAPE[1]} <= set(case.lengths.tolist())
    assert case.resets.any()
    assert all(np.abs(p).min() > 0 for p in case.params.gru)
    assert case.x.dtype == case.params.gru.bias.dtype == np.float64
    assert all(np.abs(a).max() > 1e-3 for a in golden_answers().values())


def test_the_script_makes_the_file_again(tmp_path):
    path = tmp_path / "again.safetensors"
    subprocess.run([sys.executable, "-m", "trigru.common.equality.golden", str(path)], check=True)
    again = golden.load(path.read_bytes())
    assert set(again) == set(golden._stored())
    for name, kept in golden._stored().items():
        np.testing.assert_allclose(again[name], kept, rtol=0, atol=1e-14 * max(1, np.abs(kept).max()), err_msg=name)
    with safe_open(path, "numpy") as opened:
        assert opened.metadata()["seed"] == str(SEED)


def test_the_script_asks_the_oracle_as_it_is(tmp_path, monkeypatch):
    forward = golden.oracle.forward
    monkeypatch.setattr(golden.oracle, "forward", lambda *a, **o: forward(*a, **o)._replace(carry=np.zeros(1)))
    write(tmp_path / "other.safetensors")
    assert golden.load((tmp_path / "other.safetensors").read_bytes())["answer carry"].shape == (1,)


def test_its_check_does_not_ask_the_oracle(monkeypatch):
    monkeypatch.setattr(golden.oracle, "forward", None)
    (check,) = get_checks("golden")
    assert set(check.expect(Case.random(1, 1, 1, 1))) == set(golden_answers())
