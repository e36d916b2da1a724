"""The wheel, installed in an environment of its own, without what the commands that time and prove need."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

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
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([_find_uv(), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def installed(wheel, tmp_path):
    """Runs a command in an environment that has the wheel with Flax alone."""
    own = [_find_uv(), "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable]
    own += ["--with", f"trigru[flax] @ {wheel.as_uri()}", "--"]
    return lambda *command: subprocess.run([*own, *command], cwd=tmp_path, capture_output=True, text=True)


def test_it_has_every_file_of_the_package(wheel):
    command = ["git", "ls-files", "common", "impls", "bench"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    names = {name.replace("impls/parity/public/", "parity/") for name in tracked}
    shipped = {name.removeprefix("trigru/") for name in ZipFile(wheel).namelist() if name.startswith("trigru/")}
    assert {name for name in names if not name.startswith("bench/studies/")} == shipped


def test_the_small_size_compares_models_of_one_framework(installed, tmp_path):
    (tmp_path / "my_port.py").write_text(PORT)
    assert installed("python", "-c", IS_SMALL).returncode == 0
    done = installed("trigru", "port", "my_port.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nnx against linen: the same function.")


def test_what_the_small_size_lacks_is_said_in_a_sentence(installed, tmp_path):
    done = installed("trigru", "compare", "--quick")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: msgspec is not installed: pip install "trigru[bench]" brings it.\n'
    assert list(tmp_path.iterdir()) == []
