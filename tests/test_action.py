"""The composite action, as the workflows of `docs/upgrading.md` use it, run by a stand-in for GitHub's runner."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import equinox
import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = [
    yaml.safe_load(block)
    for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/upgrading.md").read_text(), flags=re.DOTALL)
]
PROJECT = '[project]\nname = "equinox"\nversion = "{version}"\n[tool.setuptools]\npackages = ["equinox"]\n'


def run(steps, checkout, inputs=None, action=None):
    """Runs the steps of a job in a clone up to the first that fails; returns its exit code and all that they printed.

    Steps of composite actions, which are in the folder `action` and have inputs, run too, and none of GitHub's own.
    """

    def filled(text):
        text = text.replace("${{ github.action_path }}", str(action))
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], text)

    temp, printed, code = checkout.parent, "", 0
    for step in steps:
        used = step.get("uses", "")
        if used.startswith("actions/") or ("if" in step and inputs["snapshot"]):
            continue
        if used:
            inner = yaml.safe_load((checkout / used / "action.yml").read_text())
            given = {name: of.get("default", "") for name, of in inner["inputs"].items()} | step["with"]
            code, out = run(inner["runs"]["steps"], checkout, given, checkout / used)
        else:
            env = os.environ | {"RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(temp / "summary.md")}
            env |= {name: filled(value) for name, value in step.get("env", {}).items()}
            command = ["bash", "-eo", "pipefail", "-c", filled(step["run"])]
            done = subprocess.run(command, env=env, cwd=checkout, capture_output=True, text=True, check=False)
            code, out = done.returncode, done.stdout + done.stderr
        printed += out
        if code:
            break
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
    """The first workflow takes a snapshot of the base, which the second one is given."""
    for workflow, snapshot in zip(WORKFLOWS, ("", str(checkout.parent / "base")), strict=True):
        (job,) = workflow["jobs"].values()
        (step,) = (step for step in job["steps"] if step.get("uses") == "./trigru")
        base = {"base": f"equinox=={equinox.__version__}", "snapshot": snapshot}
        step["with"] |= {"candidate": "./", "ports": "equinox"} | base
        code, printed = run(job["steps"], checkout)
        assert code == 1, printed
        assert "::error file=equinox/nn/_rnn.py,line=" in printed, printed
        summary = checkout.parent / "summary.md"
        assert "function" in summary.read_text()
        summary.unlink()


def test_workflows_name_inputs_that_the_action_has():
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    used = [step for w in WORKFLOWS for job in w["jobs"].values() for step in job["steps"] if "with" in step]
    ours = [step["with"] for step in used if step["uses"] == "./trigru"]
    assert ours
    assert all(given.keys() <= inputs.keys() for given in ours)
