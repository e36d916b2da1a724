"""`trigru train`, as a user calls it."""

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file
from support.cli import call
from support.cli import invoke as invoke_command
from trigru.bench.commands import train as command
from trigru.bench.training import study
from trigru.bench.training.fit import DivergedError
from trigru.bench.training.record import load_record, save_record
from trigru.common.errors import InputError


def invoke(*arguments):
    return invoke_command("train", *arguments)


def test_a_quick_training_leaves_numbers_a_picture_and_parameters(tmp_path):
    done = invoke("--quick", "--experiment", "sunspots-8", "--port", "linen", "--port", "equinox", "-o", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "One epoch in float64 from one start" in done.output
    assert "10 × the rate" in done.output
    record = load_record(tmp_path / "training.json")
    assert record.quick
    assert {run.experiment for run in record.runs} == {"sunspots-8"}
    assert record.machine.versions["jax"]
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    fitted = load_file(tmp_path / "params" / "sunspots-8-equinox-learned.safetensors")
    assert fitted["initial_carry"].shape == (16,)
    (first,) = (r for r in record.runs if (r.framework, r.start, r.seed) == ("equinox", "learned", 0))
    np.testing.assert_allclose(np.linalg.norm(fitted["initial_carry"]), first.carry_norm, rtol=1e-5)
    assert first.carry_norm > 0
    assert fitted["readout.weight"].shape == (1, 16)


def test_gradients_are_measured_instead(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "QUICK_LENGTHS", (1, 8))
    done = invoke("--vanishing", "--quick", "--port", "nnx", "-o", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert load_record(tmp_path / "vanishing.json").vanishing.of("last-step", "gradient")[0] == [1, 8]
    assert (tmp_path / "vanishing.png").read_bytes().startswith(b"\x89PNG")


def test_a_framework_that_is_not_the_same_is_not_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "agreement", lambda experiment, names: [
        study.Agreement(experiment.name, "pure", [2.0]), study.Agreement(experiment.name, "linen", [2.0 + 1e-8])
    ])  # fmt: skip
    done = invoke("--quick", "--experiment", "sunspots-2", "--port", "linen", "-o", str(tmp_path))
    assert done.exit_code == 1
    assert "FAILED" in done.output
    assert "nothing was trained" in done.output
    assert not list(tmp_path.iterdir())


def test_one_framework_alone_is_held_to_plain_jax(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(command, "curves_agree", lambda curves: seen.extend(c.framework for c in curves))
    assert invoke("--quick", "--experiment", "sunspots-2", "--port", "equinox", "-o", str(tmp_path)).exit_code == 1
    assert seen == ["pure", "equinox"]


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [(KeyboardInterrupt, 130, "interrupted"), (DivergedError("vowels: no epoch of 3"), 1, "vowels: no epoch of 3")],
    ids=["Ctrl-C", "diverged"],
)
def test_a_training_that_ends_early_keeps_what_was_trained(tmp_path, monkeypatch, raised, code, said):
    def interrupted(experiments, frameworks, seeds, *, keep, **options):
        params = study.start_params(experiments[0], 0)
        keep(study.Run("sunspots-2", "linen", "zero", 0, [1.0], [1.0], 0, True, 1.0, 0.5, 0.0), params)
        raise raised

    monkeypatch.setattr(command, "study", interrupted)
    monkeypatch.setattr(command, "agreement", lambda experiment, names: [])
    done = invoke("--quick", "--experiment", "sunspots-2", "--port", "linen", "-o", str(tmp_path))
    assert done.exit_code == code
    assert "INTERRUPTED" in done.output
    assert f"{said}: 1 trainings are there, not all" in done.output
    record = load_record(tmp_path / "training.json")
    assert (record.complete, len(record.runs)) == (False, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "pure"], "unknown framework with a training loop 'pure'"),
        (["--experiment", "mnist"], "unknown experiment 'mnist'"),
    ],
)
def test_a_name_that_is_none_exits_2(arguments, said, tmp_path):
    code, _, err = call("train", *arguments, "-o", str(tmp_path))
    assert code == 2
    assert said in err


def test_a_file_that_is_none_is_said(tmp_path):
    with pytest.raises(InputError, match="Write it with `trigru train`"):
        load_record(tmp_path / "training.json")
    (tmp_path / "training.json").write_text('{"schema": 1}')
    with pytest.raises(InputError, match="not written by this version"):
        load_record(tmp_path / "training.json")
    save_record(tmp_path / "training.json", msgspec.structs.replace(command._record(True, True), schema=0))
    with pytest.raises(InputError, match="schema 0, expected 1. Run `trigru train` again"):
        load_record(tmp_path / "training.json")
