"""The prepared measurement on an accelerator: it takes home complete files alone, and goes on with what was cut off."""

import json
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
#: Stands in for trigru: a first run is cut off and leaves a journal, a second one needs it; equality goes to stdout.
STAND_IN = """
import pathlib, sys, time

def main():
    given = sys.argv[1:]
    if given[0] == "verify":
        print('{"asked": "verify"}')
        sys.exit(1 if "--kernel=fused" in given else 0)
    (folder,) = (pathlib.Path(g.removeprefix("--output=")) for g in given if g.startswith("--output="))
    if "--dtype=bfloat16" in given:
        sys.exit("no such device")
    partial = folder / "results.partial.jsonl"
    if not partial.exists():
        partial.write_text("begun")
        time.sleep(60)
    (folder / "results.json").write_text('{"asked": "compare"}')
"""


@pytest.fixture
def accelerator(monkeypatch, tmp_path):
    """The script, where trigru is a stand-in that needs no wheels."""
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import accelerator

    def install(wheels, site):
        (site / "trigru" / "bench").mkdir(parents=True)
        for package in (site / "trigru", site / "trigru" / "bench"):
            (package / "__init__.py").touch()
        (site / "trigru" / "bench" / "cli.py").write_text(STAND_IN)

    monkeypatch.setattr(accelerator, "_install", install)
    step, least, timed = accelerator.Step, [], ["compare", "--workload=medium"]
    steps = (
        step("times", timed, 0.05, least),
        step("proof", ["verify", "--format=json"], 0.5, least),
        step("unequal", ["verify", "--format=json", "--kernel=fused"], 0.5, least),
        step("broken", [*timed, "--dtype=bfloat16"], 0.5, least),
    )
    monkeypatch.setattr(accelerator, "STEPS", steps)
    return accelerator


def taken(folder):
    return {file.stem: json.loads(file.read_text())["asked"] for file in folder.glob("*.json")}


def test_what_is_complete_is_taken_home_and_the_rest_is_gone_on_with(accelerator, tmp_path, capsys):
    proofs = {"proof": "verify", "unequal": "verify"}
    assert accelerator.run(tmp_path, tmp_path / "out", 25, rehearse=True) == 1
    assert taken(tmp_path / "out") == proofs, "a proof that failed is an answer"
    said = capsys.readouterr().out
    assert "ended after 3 s" in said
    assert "no such device" in said
    assert "left: times, broken" in said
    assert accelerator.run(tmp_path, tmp_path / "out", 25, rehearse=True) == 1
    assert taken(tmp_path / "out") == proofs | {"times": "compare"}
    again = capsys.readouterr().out
    assert "proof" not in again, "it is not taken twice"
    assert "left: broken" in again


def test_no_step_is_begun_that_has_no_time(accelerator, tmp_path, capsys):
    assert accelerator.run(tmp_path, tmp_path / "out", 0.1, rehearse=False) == 1
    assert capsys.readouterr().out == "left: times, proof, unequal, broken\n"


def test_steps_are_such_as_trigru_takes_and_fit_into_the_time(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    import accelerator
    from support.cli import invoke

    asked = []
    monkeypatch.chdir(tmp_path)
    for command in ("compare.compare", "verify.verify"):
        monkeypatch.setattr(f"trigru.bench.commands.{command}", lambda *given, **options: asked.append(given))
    for step in accelerator.STEPS:
        found = invoke(*step.command)
        assert found.exit_code == 0, (step.name, found.output)
        assert step.minutes < 9
    assert len(asked) == len(accelerator.STEPS)
    assert sum(step.minutes for step in accelerator.STEPS) <= 25


def test_what_such_a_machine_may_lack_is_carried(accelerator):
    """It has jax, flax, and so on, with what these need; torch is not counted on."""
    there, left = set(), [
        *("jax", "flax", "equinox", "optax", "rich", "typer", "safetensors", "matplotlib", "scipy", "pytest-benchmark")
    ]  # fmt: skip
    while left:
        name = left.pop()
        there.add(name)
        wanted = [Requirement(text) for text in requires(name) or ()]
        needed = {r.name.lower() for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})}
        left += needed - there
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {Requirement(text).name for text in own} - there == {*accelerator.CARRIED}


def test_a_step_is_ended_when_the_time_for_all_is_over(accelerator, monkeypatch, tmp_path, capsys):
    """Its own limit is 3 s, and 1.5 s are left."""
    monkeypatch.setattr(accelerator, "STEPS", accelerator.STEPS[:1])
    assert accelerator.run(tmp_path, tmp_path / "out", 0.025, rehearse=True) == 1
    assert "ended after 1 s" in capsys.readouterr().out
