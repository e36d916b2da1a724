"""`trigru port`: two models in a file, and the candidate saved with the reference's parameters."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from support.cli import call

MODELS = """
import jax.numpy as jnp
import numpy as np
from trigru.parity import Model

x = np.arange(6, dtype="float32").reshape(2, 3) / 6
reference = Model({"kernel": np.arange(12.0).reshape(3, 4)}, lambda params, x: jnp.tanh(x @ params["kernel"]), name="a")
candidate = Model({"weight": jnp.ones((4, 3))}, lambda params, x: jnp.tanh(x @ params["weight"].T), name="b")
"""


def test_the_candidate_is_saved(tmp_path):
    file, saved = tmp_path / "models.py", tmp_path / "model.safetensors"
    file.write_text(MODELS, encoding="utf-8")
    code, out, err = call("port", str(file), "--save", str(saved))
    assert code == 0, out + err
    assert err.endswith(f"b is saved to {saved}, with the parameters of a.\n")
    np.testing.assert_array_equal(load_file(saved)["weight"], np.arange(12, dtype="float32").reshape(3, 4).T)


def test_a_suffix_is_refused_before_anything_is_compared(tmp_path):
    file = tmp_path / "models.py"
    file.write_text(MODELS, encoding="utf-8")
    code, out, err = call("port", str(file), "--save", str(tmp_path / "model.eqx"))
    assert (code, out) == (2, "")
    assert "expected .safetensors" in err
    assert [path.name for path in Path(tmp_path).glob("model.*")] == []
