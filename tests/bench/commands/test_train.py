"""`trigru train`, as a user calls it."""

import re
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file
from support.cli import call
from support.cli import invoke as invoke_command
from trigru.bench.commands import train as command
from trigru.bench.commands.claims import claim_folder
from trigru.bench.training import study
from trigru.bench.training.experiments import get_experiment
from trigru.bench.training.fit import DivergedError, Fit
from trigru.bench.training.journal import Begun, Trained, to_bytes
from trigru.bench.training.record import load_record, save_record
from trigru.common.errors import InputError


def invoke(*arguments):
    return invoke_command("train", *arguments)


def test_a_quick_training_leaves_numbers_a_picture_and_parameters(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "get_experiment", lambda name: replace(get_experiment(name), epochs=5))
    monkeypatch.setattr(command, "QUICK_SEEDS", 2)
    done = invoke("--quick", "--experiment", "sunspots-8", "--port", "linen", "--port", "equinox", "-o", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "One epoch in float64 from one start" in done.output
    assert "10 × the rate" in done.output
    record = load_record(tmp_path / "training.json")
    assert record.quick
    assert {run.experiment for run in record.runs} == {"sunspots-8"}
    assert record.machine.versions["jax"]
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert "Learned against fixed initial state" in (tmp_path / "training.html").read_text()
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
    lengths, drawn = load_record(tmp_path / "vanishing.json").vanishing.of("last-step", "gradient")
    assert (lengths, np.shape(drawn)) == ([1, 8], (2, 1)), "one draw of each, for a first look"
    assert (tmp_path / "vanishing.png").read_bytes().startswith(b"\x89PNG")
    assert 'role="img"' in (tmp_path / "vanishing.svg").read_text()
    assert "Gradient that reaches the initial state" in (tmp_path / "vanishing.html").read_text()


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


QUICKLY = ("--quick", "--seeds", "2", "--port", "linen", "-o")


@pytest.fixture
def counted(monkeypatch):
    """Trainings are counted, not done; `counted.after` of them raise `counted.error`."""
    counted = SimpleNamespace(done=[], after=None, error=None)

    def fit(trainer, experiment, split, params, *, seed, **_):
        if counted.after == len(counted.done):
            raise counted.error
        counted.done.append(seed)
        return Fit([1.0], [1.0], 0, 1.0, len(counted.done) / 8, params)

    monkeypatch.setattr(study, "fit", fit)
    monkeypatch.setattr(command, "agreement", lambda experiment, names: [])
    return counted


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (DivergedError("vowels: no epoch of 3"), 2)],
    ids=["Ctrl-C", "diverged"],
)
def test_a_training_that_ends_early_keeps_what_was_trained_and_goes_on(tmp_path, counted, error, code):
    (tmp_path / "training.json").write_bytes(b"a former result")
    counted.after, counted.error = 0, error
    left, _, err = call("train", *QUICKLY, str(tmp_path))
    assert (left, [p.name for p in tmp_path.iterdir()]) == (code, ["training.json"])
    assert "nothing was trained, and nothing written" in err
    counted.after = 4
    left, out, err = call("train", *QUICKLY, str(tmp_path))
    assert left == code
    assert "INTERRUPTED" in out
    assert f"4 trainings are kept in {tmp_path}/training.partial.jsonl" in err
    assert ("goes on from there" in err) == (code == 130), "what diverges would diverge again"
    assert ("It would diverge again with --resume" in err) == (code == 2)
    assert (tmp_path / "training.json").read_bytes() == b"a former result"

    left, _, err = call("train", *QUICKLY, str(tmp_path))
    assert left == 2
    assert "has 4 trainings of an unfinished run, begun 20" in err
    assert "is of other trainings" in call("train", *QUICKLY, str(tmp_path), "--seeds", "3", "--resume")[2]
    counted.after = None
    done = invoke(*QUICKLY, str(tmp_path), "--resume")
    assert done.exit_code == 0, done.output
    record = load_record(tmp_path / "training.json")
    assert [run.test_score for run in record.runs] == [number / 8 for number in range(1, 7)], "each once"
    assert counted.done == [0, 1] * 3
    assert len(list((tmp_path / "params").iterdir())) == 3, "also of those trained before the interruption"
    assert not (tmp_path / "training.partial.jsonl").exists()


def test_a_training_that_was_half_written_is_done_again(tmp_path, counted):
    counted.after, counted.error = 4, KeyboardInterrupt()
    assert call("train", *QUICKLY, str(tmp_path))[0] == 130
    path = tmp_path / "training.partial.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    for counted.after, code in ((5, 130), (None, 0)):
        assert call("train", *QUICKLY, str(tmp_path), "--resume")[0] == code
    record = load_record(tmp_path / "training.json")
    assert [run.test_score for run in record.runs] == [number / 8 for number in (1, 2, 3, 5, 6, 7)]


def test_trainings_time_nothing_so_that_they_may_run_beside_a_run(tmp_path, counted):
    with claim_folder(tmp_path / "bench"):
        done = invoke(*QUICKLY, str(tmp_path / "train"))
    assert done.exit_code == 0, done.output


def test_a_first_look_at_named_experiments_is_not_called_that_of_another(tmp_path, counted):
    _, _, err = call("train", "--quick", "--experiment", "sunspots-8", "--port", "linen", "-o", str(tmp_path))
    assert "A first look" not in err
    assert "sunspots-8 (it takes" in err


def test_a_first_look_has_seeds_enough_for_one_experiment_and_says_so(tmp_path, counted):
    _, _, err = call("train", "--quick", "--port", "linen", "-o", str(tmp_path))
    assert err.startswith(
        "A first look: sunspots-2 alone, with 10 seeds, which answer whether learning the initial state pays there. It "
        "says nothing about the other experiments: train without --quick for these.\nFirst, one epoch"
    )
    assert counted.done == [*range(10)] * 3
    assert (get_experiment(command.QUICK_EXPERIMENT).enough_seeds or np.inf) <= command.QUICK_SEEDS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--quick", "--seeds", "2"), "2 seeds cannot give a verdict"),
        (("--quick", "--experiment", "vowels"), "10 seeds are few for vowels (it takes 54)"),
        (("--experiment", "sunspots-32"), "20 seeds are few for sunspots-32 (it takes more than 100)"),
    ],
)
def test_what_cannot_be_answered_is_said_before_and_after(tmp_path, counted, arguments, said):
    _, out, err = call("train", *arguments, "--port", "linen", "-o", str(tmp_path))
    assert said in err.partition("First, one epoch")[0]
    assert said in " ".join(out.split())


def test_trainings_of_another_machine_or_commit_are_not_gone_on_with(tmp_path, counted, monkeypatch):
    counted.after, counted.error = 2, KeyboardInterrupt()
    assert call("train", *QUICKLY, str(tmp_path))[0] == 130
    real, counted.after = command.describe_machine, None
    for change, said in (
        ({"threads": 999}, "was begun elsewhere: threads 999, was"),
        ({"commit": "def"}, "was begun elsewhere: commit def, was"),
        ({"versions": {}}, "jax not set, was"),
    ):
        monkeypatch.setattr(command, "describe_machine", lambda c=change: msgspec.structs.replace(real(), **c))
        left, _, err = call("train", *QUICKLY, str(tmp_path), "--resume")
        assert (left, said in err) == (2, True), err
    assert len(counted.done) == 2


def test_parameters_of_earlier_trainings_do_not_stay(tmp_path, counted):
    params = tmp_path / "params"
    params.mkdir()
    for name in ("vowels-nnx-learned.safetensors", "sunspots-2-linen-zero.safetensors", "mine.safetensors"):
        (params / name).write_bytes(b"of an earlier run")
    assert invoke(*QUICKLY, str(tmp_path)).exit_code == 0
    starts = ("zero", "learned", "learned-10")
    written = {f"sunspots-2-linen-{start}.safetensors" for start in starts}
    assert {p.name for p in params.iterdir()} == {*written, "mine.safetensors"}
    assert load_file(params / "sunspots-2-linen-zero.safetensors")


def test_gradients_that_cannot_be_written_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "QUICK_LENGTHS", (1,))
    monkeypatch.setattr(
        command, "save_record", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    left, out, err = call("train", "--vanishing", "--quick", "--port", "nnx", "-o", str(tmp_path))
    assert left == 2
    assert "Gradient that reaches the initial state" in out
    assert "No space left on device" in err
    assert "Wrote" not in err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"framework": "/../../escaped"}, "framework is '/../../escaped', expected one of linen, nnx, equinox"),
        ({"framework": "nnx"}, "has a training that was not asked for"),
        ({"experiment": "vowels"}, "has a training that was not asked for"),
        ({"seed": 9}, "has a training that was not asked for"),
        ({"seed": 1}, "is there twice"),
        ({"best_epoch": 1}, "best_epoch is none of the epochs"),
        ({"capped": False}, "capped of .* does not fit its epochs"),
        ({"carry_norm": 1.0}, "carry_norm of .* is not 0"),
        ({"train_loss": [1.0, 2.0], "validation_loss": [1.0, 0.5]}, "best_epoch of .* has not the least"),
        ({"test_loss": -1.0}, "float` >= 0.0"),
    ],
)
def test_a_journal_with_trainings_that_cannot_be_writes_nothing(tmp_path, counted, change, said):
    counted.after, counted.error = 2, KeyboardInterrupt()
    path = tmp_path / "in" / "training.partial.jsonl"
    assert call("train", *QUICKLY, str(path.parent))[0] == 130
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    lines[1]["run"] |= change
    path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    counted.after = None
    left, _, err = call("train", *QUICKLY, str(path.parent), "--resume")
    assert left == 2
    assert re.search(said, err), err
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "training.partial.jsonl"]


def test_fitted_parameters_of_another_size_or_none_of_the_first_seed_are_refused(tmp_path, counted):
    counted.after, counted.error = 2, KeyboardInterrupt()
    path = tmp_path / "training.partial.jsonl"
    assert call("train", *QUICKLY, str(tmp_path))[0] == 130
    lines = [msgspec.json.decode(line, type=Begun | Trained) for line in path.read_bytes().splitlines()]
    other = to_bytes(study.start_params(get_experiment("vowels"), 0))
    for fitted, said in ((None, "seed 0 alone"), (other, "weight_ih has shape"), (b"damaged", "are damaged")):
        spoilt = [lines[0], msgspec.structs.replace(lines[1], fitted=fitted), *lines[2:]]
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in spoilt))
        left, _, err = call("train", *QUICKLY, str(tmp_path), "--resume")
        assert (left, said in err) == (2, True), err


def test_unfinished_trainings_are_discarded_if_that_is_asked_for(tmp_path, counted):
    (tmp_path / "training.partial.jsonl").write_bytes(b"hours")
    assert "is in the way" in call("train", *QUICKLY, str(tmp_path))[2]
    assert invoke(*QUICKLY, str(tmp_path), "--discard").exit_code == 0
    assert load_record(tmp_path / "training.json").complete


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
    save_record(tmp_path / "training.json", msgspec.structs.replace(command._record(True), schema=0))
    with pytest.raises(InputError, match="schema 0, expected 1. Run `trigru train` again"):
        load_record(tmp_path / "training.json")
