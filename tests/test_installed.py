"""What users install: the wheel, without what times and proves, and the composite
action of `docs/upgrading.md`.

The action is run by a stand-in for GitHub's runner.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import equinox
import pytest
import yaml
from trigru.bench.upgrades.environments import find_uv

ROOT = Path(__file__).parents[1]
WORKFLOWS = [
    yaml.safe_load(block)
    for block in re.findall(
        r"```yaml\n(.*?)```", (ROOT / "docs/upgrading.md").read_text(), flags=re.DOTALL
    )
]
PROJECT = (
    '[project]\nname = "equinox"\nversion = '
    '"{version}"\n[tool.setuptools]\npackages = ["equinox"]\n'
)


def run_action(step, checkout):
    """Runs the action for a step of a workflow, up to its first own step that fails:
    exit code and output.
    """
    action, temp, printed, code = checkout / step["uses"], checkout.parent, "", 0
    described = yaml.safe_load((action / "action.yml").read_text())
    inputs = {
        name: of.get("default", "") for name, of in described["inputs"].items()
    } | step["with"]

    def filled(text):
        text = text.replace("${{ github.action_path }}", str(action))
        return re.sub(
            r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], text
        )

    for own in described["runs"]["steps"]:
        if code or ("if" in own and inputs["snapshot"]):
            continue
        env = os.environ | {
            "RUNNER_TEMP": str(temp),
            "GITHUB_STEP_SUMMARY": str(temp / "summary.md"),
        }
        env |= {name: filled(value) for name, value in own.get("env", {}).items()}
        command = ["bash", "-eo", "pipefail", "-c", filled(own["run"])]
        done = subprocess.run(
            command, env=env, cwd=checkout, capture_output=True, text=True, check=False
        )
        code, printed = done.returncode, printed + done.stdout + done.stderr
    return code, printed


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A clone of a framework, at its last release, with a change."""
    folder = tmp_path_factory.mktemp("action") / "checkout"
    shutil.copytree(Path(equinox.__file__).parent, folder / "equinox")
    (folder / "pyproject.toml").write_text(PROJECT.format(version=equinox.__version__))
    (folder / "trigru").symlink_to(ROOT)
    file = folder / "equinox/nn/_rnn.py"
    was = file.read_text()
    file.write_text(was.replace("jnn.tanh(", "1.01 * jnn.tanh("))
    assert file.read_text() != was
    return folder


@pytest.mark.long
def test_a_change_of_a_candidate_is_annotated_in_its_file(checkout):
    """The first workflow takes a snapshot of the base, which the second one is
    given.
    """
    for workflow, snapshot in zip(
        WORKFLOWS, ("", str(checkout.parent / "base")), strict=True
    ):
        (job,) = workflow["jobs"].values()
        (step,) = (step for step in job["steps"] if step.get("uses") == "./trigru")
        base = {"base": f"equinox=={equinox.__version__}", "snapshot": snapshot}
        step["with"] |= {"candidate": "./", "ports": "equinox"} | base
        code, printed = run_action(step, checkout)
        assert code == 1, printed
        assert "::error file=equinox/nn/_rnn.py,line=" in printed, printed
        summary = checkout.parent / "summary.md"
        assert "function" in summary.read_text()
        summary.unlink()


def test_workflows_name_inputs_that_the_action_has():
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    used = [
        step
        for w in WORKFLOWS
        for job in w["jobs"].values()
        for step in job["steps"]
        if "with" in step
    ]
    ours = [step["with"] for step in used if step["uses"] == "./trigru"]
    assert ours
    assert all(given.keys() <= inputs.keys() for given in ours)


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
IS_SMALL = (
    "from importlib.util import find_spec; assert not any(map(find_spec, "
    "['equinox', 'msgspec', 'matplotlib']))"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [find_uv(), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT],
        check=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def installed(wheel, tmp_path):
    """Runs a command in an environment that has the wheel with Flax alone."""
    own = [
        find_uv(),
        "run",
        "--quiet",
        "--isolated",
        "--no-project",
        "--python",
        sys.executable,
    ]
    own += ["--with", f"trigru[flax] @ {wheel.as_uri()}", "--"]
    return lambda *command: subprocess.run(
        [*own, *command], cwd=tmp_path, capture_output=True, text=True
    )


@pytest.mark.long
def test_it_has_every_file_of_the_package(wheel):
    command = ["git", "ls-files", "common", "impls", "bench"]
    tracked = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    names = {name.replace("impls/parity/public/", "parity/") for name in tracked}
    shipped = {
        name.removeprefix("trigru/")
        for name in ZipFile(wheel).namelist()
        if name.startswith("trigru/")
    }
    assert {name for name in names if not name.startswith("bench/studies/")} == shipped


@pytest.mark.long
def test_the_small_size_compares_models_of_one_framework(installed, tmp_path):
    (tmp_path / "my_port.py").write_text(PORT)
    assert installed("python", "-c", IS_SMALL).returncode == 0
    done = installed("trigru", "port", "my_port.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nnx against linen: the same function.")
