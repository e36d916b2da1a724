"""What the training loops are given, and what is kept of them, with loops that are made up: nothing is compiled."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from support.runs import MACHINE
from trigru.bench.training import REFERENCE, study
from trigru.bench.training.experiments import EXPERIMENTS, get_experiment
from trigru.bench.training.fit import Fit, minibatches
from trigru.bench.training.journal import from_bytes, to_bytes
from trigru.bench.training.record import SCHEMA, TrainingRecord, load_record, save_record
from trigru.bench.training.study import STARTS, Agreement, Gain, Run, agreement, start_params
from trigru.common.errors import InputError
from trigru.common.parameters.record import leaves

WINDOWS, VOWELS = get_experiment("sunspots-8"), get_experiment("vowels")


@pytest.fixture
def made(monkeypatch):
    """Trainers that write down what they are made with and fed."""
    found = []

    class Trainer:
        def __init__(self, config, tx, loss, *, every_step):
            self.made, self.started, self.fed = (config, tx, loss, every_step), [], []
            found.append(self)

        def start(self, params):
            self.started.append(params)

        def step(self, batch):
            self.fed.append(batch)
            return jnp.float32(len(self.fed))

    def get_trainer(name):
        return type(name, (Trainer,), {})

    monkeypatch.setattr(study, "get_trainer", get_trainer)
    return found


def moved(tx):
    """By how much a unit gradient moves a weight and the initial state at first."""
    params = {"weight": jnp.zeros(()), "initial_carry": jnp.zeros(())}
    updates, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    return [pytest.approx(float(updates[name]), rel=1e-4) for name in params]


def test_each_training_has_the_rate_the_loss_and_the_steps_of_its_experiment_and_start(monkeypatch, made):
    monkeypatch.setattr(
        study, "fit", lambda trainer, *_, **__: Fit([1.0], [1.0], 0, 1.0, 1.0, start_params(WINDOWS, 0))
    )
    study.study([VOWELS, WINDOWS], ["nnx", "linen"], 1)
    expected = [(e, name, start) for e in (VOWELS, WINDOWS) for name in ("nnx", "linen") for start in STARTS]
    for trainer, (experiment, name, start) in zip(made, expected, strict=True):
        config, tx, loss, every_step = trainer.made
        assert type(trainer).__name__ == name
        assert (config, loss, every_step) == (experiment.config, experiment.loss, experiment.every_step)
        scale = {"zero": 0, "learned": 1, "learned-10": 10}[start.name]
        rate = experiment.learning_rate
        assert [-rate, -rate * scale] == moved(tx)


def test_what_is_known_is_taken_and_not_trained_again(monkeypatch, made):
    def fit(trainer, experiment, split, params, *, seed, **_):
        return Fit([1.23456789], [2.3456789], 0, 3.45678912, 4.56789123, params)

    monkeypatch.setattr(study, "fit", fit)
    first = study.study([WINDOWS], ["linen"], 2)
    known = [msgspec.structs.replace(first[3], test_score=9.0)]
    others = [
        msgspec.structs.replace(known[0], **change)
        for change in ({"framework": "nnx"}, {"experiment": "vowels"}, {"seed": 7})
    ]
    kept = []
    found = study.study([WINDOWS], ["linen"], 2, known=known + others, keep=lambda run, params: kept.append(run))
    assert found == [*first[:3], known[0], *first[4:]]
    assert kept == [*first[:3], *first[4:]]
    run = first[0]
    assert (run.train_loss, run.validation_loss) == ([1.235], [2.346])
    assert (run.test_loss, run.test_score) == (3.45679, 4.56789)


@pytest.mark.parametrize("experiment", [VOWELS, WINDOWS], ids=lambda experiment: experiment.name)
def test_all_loops_are_compared_in_float64_from_one_start_that_is_not_zero(made, experiment):
    curves = agreement(experiment, ["nnx", "linen"])
    names = [REFERENCE, "nnx", "linen"]
    assert [type(trainer).__name__ for trainer in made] == names
    steps = len(experiment.split(0).train.x) // experiment.batch_size
    assert curves == [Agreement(experiment.name, name, [float(n + 1) for n in range(steps)]) for name in names]
    batches = minibatches(experiment.split(0).train, experiment.batch_size, np.random.default_rng(0))
    for trainer in made:
        config, tx, loss, every_step = trainer.made
        assert (config, every_step) == (replace(experiment.config, param_dtype="float64"), experiment.every_step)
        assert loss is experiment.loss
        (params,) = trainer.started
        assert {array.dtype.name for array in leaves(params).values()} == {"float64"}
        assert params.gru.initial_carry.all()
        assert params is made[0].started[0]
        for batch, plain in zip(trainer.fed, batches, strict=True):
            assert batch.x.dtype == np.float64
            np.testing.assert_array_equal(batch.x, plain.x)
            np.testing.assert_array_equal(batch.targets, plain.targets)
            assert batch.targets.dtype == (np.float64 if experiment.every_step else plain.targets.dtype)
        rate = experiment.learning_rate
        assert [-rate, -10 * rate * (experiment.length or 1)] == moved(tx)


@pytest.mark.parametrize(("low", "high", "verdict"), [(0.1, 0.3, "better"), (-0.3, -0.1, "worse"), (0.0, 0.2, None),
                                                      (-0.2, 0.0, None), (-0.1, 0.1, None)])  # fmt: skip
def test_an_interval_that_reaches_zero_tells_nothing(low, high, verdict):
    assert Gain((low + high) / 2, low, high).verdict == (verdict or "indistinguishable")


def test_a_loss_is_of_the_score_where_both_are_errors():
    for experiment in EXPERIMENTS[1:]:
        predictions, targets = np.array([3.0, -1.0], "f4"), np.zeros(2, "f4")
        assert float(experiment.loss(predictions, targets)) == 5.0
        assert float(experiment.score(predictions, targets)) == pytest.approx(5.0**0.5)


def test_parameters_come_back_as_they_were_kept():
    params = start_params(VOWELS, 1)
    jax.tree.map(np.testing.assert_array_equal, from_bytes(to_bytes(params)), params)


# Records --------------------------------------------------------------------------------------------------------------


def run(**changes):
    one = Run("vowels", "linen", "learned", 0, [1.0, 1.0], [1.0, 0.5], 1, True, 1.0, 0.5, 0.1)
    return msgspec.structs.replace(one, **changes)


def record(runs, curves=(), *, complete=False):
    return TrainingRecord(SCHEMA, "2026-01-01T00:00:00+00:00", [], MACHINE, False, complete, list(runs), list(curves))


def curve(framework, losses=(2.0, 1.0), experiment="vowels"):
    return Agreement(experiment, framework, list(losses))


WHOLE = [
    run(framework=framework, start=start, seed=seed, carry_norm=0.0)
    for framework in ("linen", "nnx")
    for start in ("zero", "learned")
    for seed in (0, 1)
]
SAME = [curve("pure"), curve("linen"), curve("nnx")]


@pytest.mark.parametrize(
    ("runs", "curves", "complete", "said"),
    [
        (WHOLE, SAME, True, None),
        (WHOLE[:-1], SAME, False, None),
        (WHOLE[:-1], SAME, True, "complete is true, but some experiment, framework or start lacks a seed"),
        (WHOLE[:-2], SAME, True, "lacks a seed"),
        (WHOLE[1:], SAME, True, "lacks a seed"),
        ([run(), run()], [], False, "the training vowels linen learned seed 0 is there twice"),
        ([], [curve("linen"), curve("linen")], False, "agreement has vowels linen twice"),
        ([], [curve("pure"), curve("linen", [2.0])], False, "losses of linen has 1 items, expected 2"),
        ([], [curve("pure"), curve("linen", [2.0, 1.1])], False, None),
        ([], [curve("pure"), curve("linen", [5.0, 6.0, 7.0], "sunspots-2")], False, None),
        ([run()], [curve("pure"), curve("linen", [2.0, 1.1])], False, "the losses of vowels linen differ"),
        ([run()], [curve("pure"), curve("nnx")], False, "agreement lacks vowels linen"),
        ([run()], [curve("linen")], False, "agreement lacks vowels linen"),
        ([run(best_epoch=0)], [], False, "best_epoch of vowels linen learned seed 0 has not the least"),
        ([run(validation_loss=[1.0, None], best_epoch=1)], [], False, "has not the least"),
        ([run(validation_loss=[None, 0.5])], [], False, None),
        ([run(capped=False)], [], False, "capped of vowels linen learned seed 0 does not fit"),
        ([run(start="zero")], [], False, "carry_norm of vowels linen zero seed 0 is not 0"),
        ([run(validation_loss=[0.5] + [1.0] * 40, train_loss=[1.0] * 41, best_epoch=0, capped=False)], [], False, None),
        ([run(validation_loss=[0.5] + [1.0] * 39, train_loss=[1.0] * 40, best_epoch=0)], [], False, None),
    ],
)
def test_trainings_that_cannot_be_of_one_run_are_refused(tmp_path, runs, curves, complete, said):
    path = tmp_path / "training.json"
    content = msgspec.json.decode(msgspec.json.encode(record([])))
    parts = {"runs": runs, "agreement": curves, "complete": complete}
    path.write_bytes(msgspec.json.encode(content | msgspec.to_builtins(parts)))
    if said is None:
        found = load_record(path)
        assert (found.runs, found.agreement, found.complete) == (runs, curves, complete)
        save_record(path, found)
        assert load_record(path) == found
    else:
        with pytest.raises(InputError, match=said):
            load_record(path)


@pytest.mark.parametrize(
    "change", [{"experiment": "mnist"}, {"framework": "pure"}, {"start": "cold"}, {"train_loss": [1.0]}]
)
def test_a_training_of_a_name_or_length_that_is_none_is_refused(change):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(run()) | change, Run)
