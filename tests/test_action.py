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


class Runner:
    """Runs the steps of a job: those of composite actions too, and none of the actions that GitHub brings.

    Args:
        checkout: the folder of the repository whose workflow it is, with trigru's clone in it.
        temp: the runner's own folder.
    """

    def __init__(self, checkout: Path, temp: Path):
        self.checkout, self.output = checkout, ""
        self.summary = temp / "summary.md"
        self._env = os.environ | {"RUNNER_TEMP": str(temp), "GITHUB_STEP_SUMMARY": str(self.summary)}

    def run(self, steps: list[dict], inputs: dict[str, str], action: Path | None = None) -> bool:
        """Whether all steps end well; it stops at the first that does not."""

        def filled(text: str) -> str:
            text = text.replace("${{ github.action_path }}", str(action))
            return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: inputs[match[1]], text)

        for step in steps:
            used, condition = step.get("uses", ""), step.get("if")
            if used.startswith("actions/") or (condition and inputs["snapshot"]):
                continue
            if used:
                inner = yaml.safe_load((self.checkout / used / "action.yml").read_text())
                given = {name: of.get("default", "") for name, of in inner["inputs"].items()} | step["with"]
                if not self.run(inner["runs"]["steps"], given, self.checkout / used):
                    return False
                continue
            env = self._env | {name: filled(value) for name, value in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", filled(step["run"])],
                **{"env": env, "cwd": self.checkout, "capture_output": True, "text": True, "check": False},
            )
            self.output += done.stdout + done.stderr
            if done.returncode:
                return False
        return True


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
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow["name"])
def test_a_change_of_a_candidate_is_annotated_in_its_file(checkout, workflow):
    runner = Runner(checkout, checkout.parent)
    (job,) = workflow["jobs"].values()
    (step,) = (step for step in job["steps"] if step.get("uses") == "./trigru")
    step["with"] |= {"candidate": "./", "base": f"equinox=={equinox.__version__}", "ports": "equinox"}
    runner.summary.unlink(missing_ok=True)
    assert not runner.run(job["steps"], {}), runner.output
    assert "::error file=equinox/nn/_rnn.py,line=" in runner.output, runner.output
    assert "function" in runner.summary.read_text()


def test_workflows_name_inputs_that_the_action_has():
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    used = [step for w in WORKFLOWS for job in w["jobs"].values() for step in job["steps"] if "with" in step]
    ours = [step["with"] for step in used if step["uses"] == "./trigru"]
    assert ours
    assert all(given.keys() <= inputs.keys() for given in ours)
