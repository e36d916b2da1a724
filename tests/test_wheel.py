"""The wheel, installed in an environment of its own, without what the commands that time and prove need."""

import subprocess
import sys
from pathlib import Path

import pytest
from trigru.bench.upgrades.environments import _find_uv

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
PORT = """
import flax.linen as nn
import jax
from flax import nnx
from trigru.parity import Model

x = jax.random.normal(jax.random.key(1), (4, 8))
module = nn.LayerNorm()
reference = Model.linen(module, module.init(jax.random.key(0), x))
candidate = Model.nnx(nnx.LayerNorm(8, rngs=nnx.Rngs(0)))
"""
IS_SMALL = "from importlib.util import find_spec; assert not any(map(find_spec, ['equinox', 'msgspec', 'matplotlib']))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Runs a command in an environment that has the wheel with an extra."""
    folder, uv = tmp_path_factory.mktemp("wheel"), _find_uv()
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")

    def run(*command, cwd, extra="flax"):
        own = [uv, "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable]
        own += ["--with", f"trigru[{extra}] @ {wheel.as_uri()}", "--", *command]
        return subprocess.run(own, cwd=cwd, capture_output=True, text=True)

    return run


def test_the_small_size_compares_models_of_one_framework(installed, tmp_path):
    (tmp_path / "my_port.py").write_text(PORT)
    assert installed("python", "-c", IS_SMALL, cwd=tmp_path).returncode == 0
    done = installed("trigru", "port", "my_port.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nnx against linen: the same function.")


def test_what_the_small_size_lacks_is_said_in_a_sentence(installed, tmp_path):
    done = installed("trigru", "compare", "--quick", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: msgspec is not installed: pip install "trigru[bench]" brings it.\n'
    assert list(tmp_path.iterdir()) == []
