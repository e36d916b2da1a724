"""Data, fitting and statistics of the training experiments."""

import itertools
from dataclasses import replace

import jax
import msgspec
import numpy as np
import pytest
from support.cli import shown
from trigru.bench.training.experiments import EXPERIMENTS, get_experiment
from trigru.bench.training.fit import PATIENCE, DivergedError, Fit, fit, minibatches
from trigru.bench.training.plots import curves_picture, gains_picture
from trigru.bench.training.study import STARTS, Agreement, Run, gain, start_params, study
from trigru.bench.training.tables import agreement_table, curves_agree, gain_table
from trigru.bench.training.trainer import Minibatch
from trigru.common.datasets import japanese_vowels, sunspots
from trigru.common.parameters.record import random_params


def test_vowels_keep_a_fifth_of_each_speaker_to_stop_by_and_never_the_test_utterances():
    experiment = get_experiment("vowels")
    split = experiment.split(4)
    assert np.bincount(split.train.targets).tolist() == [24] * 9
    assert np.bincount(split.validation.targets).tolist() == [6] * 9
    data, test = japanese_vowels("train"), japanese_vowels("test")
    np.testing.assert_array_equal(split.test.x, test.inputs)
    rows = {x.tobytes() for part in (split.train, split.validation) for x in part.x}
    assert rows == {x.tobytes() for x in data.inputs}
    assert not np.array_equal(split.train.lengths, experiment.split(5).train.lengths)


def test_an_utterance_keeps_its_label_and_its_length():
    known = {}
    for data in (japanese_vowels("train"), japanese_vowels("test")):
        known |= {x.tobytes(): said for x, *said in zip(data.inputs, data.labels, data.lengths, strict=True)}
    split = get_experiment("vowels").split(4)
    for part in (split.train, split.validation, split.test):
        for x, *said in zip(part.x, part.targets, part.lengths, strict=True):
            assert said == known[x.tobytes()]


def test_windows_stay_within_their_years_and_targets_are_one_year_later():
    split = get_experiment("sunspots-8").split(0)
    numbers = np.sqrt(sunspots())
    standardised = ((numbers - numbers[:200].mean()) / numbers[:200].std()).astype("f4")
    for part, (first, last) in {"train": (0, 200), "validation": (200, 250), "test": (250, 309)}.items():
        windows = getattr(split, part)
        assert windows.x.shape == windows.targets.shape == (last - first - 8, 8, 1)
        np.testing.assert_array_equal(windows.x[0, :, 0], standardised[first : first + 8])
        np.testing.assert_array_equal(windows.targets[-1, :, 0], standardised[last - 8 : last])


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_an_experiments_sizes_fit_its_data(experiment):
    split = experiment.split(0)
    assert split.train.x.shape[-1] == experiment.config.input_size
    assert len(split.train.x) >= experiment.batch_size
    assert split.train.x.dtype == np.float32
    assert experiment.length == (split.train.x.shape[1] if experiment.every_step else None)


def test_scores_are_what_their_names_say():
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], "f4")
    assert get_experiment("vowels").score(logits, np.array([0, 1, 1, 0])) == 0.75
    assert get_experiment("sunspots-8").score(np.array([3.0, -3.0], "f4"), np.zeros(2, "f4")) == 3


def test_minibatches_are_whole_different_each_epoch_and_keep_rows_together():
    data = Minibatch(np.arange(10)[:, None, None], np.arange(10), np.arange(10))
    rng = np.random.default_rng(0)
    epochs = [minibatches(data, 4, rng) for _ in range(2)]
    for epoch in epochs:
        assert [len(batch.x) for batch in epoch] == [4, 4]
        assert len({int(row) for batch in epoch for row in batch.targets}) == 8
        for batch in epoch:
            np.testing.assert_array_equal(batch.x[:, 0, 0], batch.targets)
            np.testing.assert_array_equal(batch.lengths, batch.targets)
    assert not np.array_equal(epochs[0][0].targets, epochs[1][0].targets)


class Scripted:
    """Its parameters say how many steps it took; the loss is a function of that."""

    def start(self, params):
        self.steps = int(params.gru.bias_n[0])

    def step(self, batch):
        self.steps += 1
        return np.float32(self.steps)

    def predict(self, x, lengths=None):
        return np.full(len(x), self.steps)

    def params(self):
        params = random_params(get_experiment("vowels").config)
        return params._replace(gru=params.gru._replace(bias_n=np.array([self.steps])))


def fitted(loss, *, epochs):
    """Of scripted losses: three steps are an epoch, and predictions are the number of steps."""
    experiment = replace(
        get_experiment("vowels"),
        loss=lambda predictions, targets: loss(predictions.mean()),
        score=lambda predictions, targets: predictions.mean(),
        batch_size=72,
    )
    start = random_params(experiment.config)
    start = start._replace(gru=start.gru._replace(bias_n=np.zeros(1)))
    told = []
    found = fit(Scripted(), experiment, experiment.split(0), start, epochs=epochs, seed=0,
                progress=lambda epoch, loss: told.append((epoch, loss)))  # fmt: skip
    return found, told


def test_the_epoch_that_validates_best_is_judged():
    found, told = fitted(lambda steps: abs(steps - 6.2), epochs=3)
    np.testing.assert_allclose(found.validation_loss, [3.2, 0.2, 2.8])
    assert (found.best_epoch, found.test_score) == (1, 6.0)
    np.testing.assert_allclose(found.test_loss, 0.2)
    assert found.train_loss == [2, 5, 8]
    assert told == [(0, 2), (1, 5), (2, 8)]
    assert found.params.gru.bias_n[0] == 6


def test_of_equal_epochs_the_first_is_judged():
    found, _ = fitted(lambda steps: 5 if steps == 3 else 4, epochs=4)
    assert (found.best_epoch, found.test_score) == (1, 6.0)


def test_an_epoch_without_a_number_is_not_the_best_and_none_with_one_is_an_error():
    found, _ = fitted(lambda steps: np.nan if steps == 3 else steps, epochs=3)
    assert (found.best_epoch, found.test_score) == (1, 6.0)
    with pytest.raises(DivergedError, match="vowels: no epoch of 3 had a finite validation loss, seed 0"):
        fitted(lambda steps: np.nan, epochs=3)
    with pytest.raises(DivergedError, match=f"no epoch of {PATIENCE} had"):
        fitted(lambda steps: np.nan, epochs=10 * PATIENCE)


def test_a_test_without_a_number_is_an_error():
    losses = iter([1.0, np.nan])  # of validation, and of the test
    with pytest.raises(DivergedError, match=r"vowels: the test of epoch 1 is not finite, seed 0\."):
        fitted(lambda steps: next(losses), epochs=1)


def test_an_epoch_without_a_number_is_kept_as_none(monkeypatch, tmp_path):
    def fake(trainer, experiment, split, params, **options):
        return Fit([1.0, np.nan, 1.0], [np.inf, 0.5, 0.7], 1, 1.0, 1.0, params)

    monkeypatch.setattr("trigru.bench.training.study.fit", fake)
    runs = study([get_experiment("vowels")], ["linen"], 1)
    assert {(*run.train_loss, *run.validation_loss) for run in runs} == {(1.0, None, 1.0, None, 0.5, 0.7)}
    assert msgspec.json.decode(msgspec.json.encode(runs), type=list[Run]) == runs
    assert (len(curves_picture(runs).write(tmp_path)), gains_picture(runs)) == (2, None), "one seed has no interval"


def test_training_ends_when_validation_has_stopped_improving():
    found, _ = fitted(lambda steps: max(steps, 9) + 1 / steps, epochs=10 * PATIENCE)
    assert found.best_epoch == 2
    assert len(found.validation_loss) == 3 + PATIENCE


class Witness(Scripted):
    """Writes down what it is asked to predict and what it is fed."""

    def __init__(self):
        self.asked, self.fed = [], []

    def step(self, batch):
        self.fed.append(batch.targets.tobytes() + batch.lengths.tobytes())
        return super().step(batch)

    def predict(self, x, lengths=None):
        self.asked.append((x, lengths))
        return super().predict(x, lengths)


def test_validation_sequences_choose_the_epoch_and_test_sequences_judge_it():
    compared = []

    def measure(predictions, targets):
        compared.append(targets)
        return 0.0

    experiment, trainer = replace(get_experiment("vowels"), loss=measure, score=measure), Witness()
    split = experiment.split(0)
    fit(trainer, experiment, split, random_params(experiment.config), epochs=1, seed=0)
    parts = [split.validation, split.test, split.test]
    for part, (x, lengths), targets in zip(parts, trainer.asked, compared, strict=True):
        assert x is part.x
        assert lengths is part.lengths
        assert targets is part.targets


def test_the_seed_orders_the_sequences_anew_each_epoch():
    experiment = replace(get_experiment("vowels"), loss=lambda predictions, targets: 0.0, batch_size=216)

    def order(seed):
        trainer = Witness()
        fit(trainer, experiment, experiment.split(0), random_params(experiment.config), epochs=2, seed=seed)
        return trainer.fed

    assert order(0) == order(0)
    assert len({*order(0), *order(1)}) == 4


def run(start, seed, score, experiment="vowels"):
    return Run(experiment, "linen", start, seed, [1.0], [1.0], 0, False, 1.0, score, 0.0)


def runs_of(zero, learned, experiment="vowels"):
    scores = {"zero": zero, "learned": learned}
    return [run(start, seed, x, experiment) for start, xs in scores.items() for seed, x in enumerate(xs)]


def test_a_gain_is_paired_by_seed_and_has_students_interval():
    found = gain(runs_of([0.5, 0.7, 0.9], [0.6, 0.9, 0.9])[::-1], "learned")
    # mean 0.1, standard deviation 0.1, t(0.975, 2) = 4.3027
    np.testing.assert_allclose([found.mean, found.low, found.high], [0.1, 0.1 - 0.24842, 0.1 + 0.24842], atol=1e-4)
    assert found.verdict == "indistinguishable"


@pytest.mark.parametrize(
    ("experiment", "shift", "verdict"),
    [
        ("vowels", 0.1, "better"),
        ("vowels", -0.1, "worse"),
        ("sunspots-8", 0.1, "worse"),
        ("sunspots-8", -0.1, "better"),
    ],
)
def test_a_verdict_knows_which_way_the_score_runs(experiment, shift, verdict):
    scores = [0.5, 0.6, 0.55, 0.52]
    shifted = [x + shift + 0.001 * s for s, x in enumerate(scores)]
    assert gain(runs_of(scores, shifted, experiment), "learned").verdict == verdict


@pytest.mark.parametrize(
    ("zero", "learned"),
    [([0.5], [0.9]), ([0.5, 0.5], [0.75, 0.76]), ([0.5] * 3, [0.5] * 3), ([0.5, 0.6, 0.7], [0.6, 0.7, 0.8])],
)
def test_few_seeds_and_no_spread_bear_out_nothing(zero, learned):
    found = gain(runs_of(zero, learned), "learned")
    assert (found.low, found.high, found.verdict) == (-np.inf, np.inf, "indistinguishable")


def test_a_seed_that_one_start_lacks_is_left_out():
    runs = runs_of([0.5, 0.6, 0.55], [0.7, 0.81, 0.74, 0.1])
    np.testing.assert_allclose(gain(runs, "learned").mean, 0.2)


def test_a_study_pairs_seeds_over_starts_and_frameworks():
    experiment = replace(get_experiment("sunspots-8"), epochs=5)
    kept, told = [], []
    runs = study(
        [experiment], ["linen", "equinox"], 2,
        keep=lambda run, params: kept.append((run, params)), progress=lambda *said: told.append(said),
    )  # fmt: skip
    assert [(r.framework, r.start, r.seed) for r in runs] == [
        (f, s.name, seed) for f in ("linen", "equinox") for s in STARTS for seed in (0, 1)
    ]
    by = {(r.framework, r.start, r.seed): r for r in runs}
    for start, seed in itertools.product(STARTS, (0, 1)):
        one, other = by["linen", start.name, seed], by["equinox", start.name, seed]
        np.testing.assert_allclose(one.validation_loss, other.validation_loss, rtol=1e-3)
    assert by["linen", "zero", 0].validation_loss != by["linen", "zero", 1].validation_loss
    norms = [r.carry_norm for r in runs if r.framework == "linen"]
    assert norms[:2] == [0, 0]
    assert min(norms[4:]) > max(norms[2:4]) > 0  # at ten times the rate it goes further
    assert len(runs[0].validation_loss) == 5
    assert kept[0][0] is runs[0]
    assert (told[0][0], told[-1][0], told[0][1][:43]) == (0, 11 / 12, "sunspots-8 linen zero seed 0 epoch 1: loss ")


def test_a_seed_decides_parameters_split_and_order_alike_for_every_start(monkeypatch):
    experiment, given = get_experiment("vowels"), []

    def fake(trainer, experiment, split, params, *, epochs, seed, progress):
        assert epochs == experiment.epochs
        given.append((seed, split.train.x.tobytes(), params.gru.weight_hh.tobytes()))
        return Fit([1.0], [1.0], 0, 1.0, 1.0, params)

    monkeypatch.setattr("trigru.bench.training.study.fit", fake)
    study([experiment], ["linen"], 2)
    first, second = given[:2]
    assert given == [first, second] * len(STARTS)
    assert all(one != other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(("after", "capped"), [(PATIENCE, False), (PATIENCE - 1, True)])
def test_a_training_that_ended_before_its_patience_did_is_counted(after, capped, monkeypatch):
    def fake(trainer, experiment, split, params, **options):
        return Fit([1.0] * (3 + after), [1.0] * (3 + after), 2, 1.0, 1.0, params)

    monkeypatch.setattr("trigru.bench.training.study.fit", fake)
    assert {run.capped for run in study([get_experiment("vowels")], ["linen"], 1)} == {capped}


def test_first_parameters_depend_on_the_seed_alone():
    experiment = get_experiment("vowels")
    one, same, other = (start_params(experiment, seed) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.array_equal(one.gru.weight_hh, other.gru.weight_hh)
    assert not one.gru.initial_carry.any()


def test_curves_that_part_are_said():
    one = Agreement("vowels", "linen", [2.0, 1.0])
    other = Agreement("vowels", "nnx", [2.0, 1.0 + 4e-9])
    assert curves_agree([one, Agreement("vowels", "nnx", [2.0, 1.0 + 1e-9])])
    assert not curves_agree([one, other])
    assert not curves_agree([one, Agreement("vowels", "nnx", [2.0 + 4e-9, 1.0])])
    assert agreement_table([one, other]).rows[1][-1] == "2.0e-09 FAILED"
    assert curves_agree([one, Agreement("sunspots-8", "linen", [5.0, 1.0])])  # another experiment is another curve


def test_a_table_of_gains_says_what_the_seeds_bear_out():
    table = gain_table(runs_of([0.5, 0.51, 0.52, 0.53], [0.7, 0.713, 0.726, 0.739]))
    assert table.rows[0] == ("vowels", "linen", "fixed at zero", "0.515", "", "")
    assert (table.rows[1][-1], table.rows[1][4][:9]) == ("better", "+0.2045 [")
    assert "4 seeds" in table.notes[0]
    assert "Parameters and computation are float32; matrix products have JAX's default precision." in table.notes
    single = gain_table(runs_of([0.5], [0.9]))
    assert single.rows[1][-1] == "too few seeds"
    assert "1 seed cannot give a verdict: an interval takes at least 3 seeds." in single.notes


def test_frameworks_that_agree_share_a_row():
    runs = runs_of([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    other = [msgspec.structs.replace(r, framework="nnx") for r in runs]
    assert [row[1] for row in gain_table([*runs, *other]).rows] == ["all"] * 2
    other[-1] = msgspec.structs.replace(other[-1], test_score=0.75)
    assert [row[1] for row in gain_table([*runs, *other]).rows] == ["linen", "linen", "nnx", "nnx"]


def test_a_table_of_gains_loses_no_digit_on_a_terminal_of_100_columns():
    frameworks = ("linen", "nnx", "equinox")
    runs = [
        msgspec.structs.replace(
            run(start.name, s, 0.5 + 0.1 * k * (n > 1) + 0.011 * s * k, "sunspots-32"), framework=framework
        )
        for n, framework in enumerate(frameworks)
        for k, start in enumerate(STARTS)
        for s in range(3)
    ]
    table = gain_table(runs)
    text = shown([table])
    assert {row[1] for row in table.rows} == {"linen, nnx", "equinox"}
    assert any("[" in row[4] for row in table.rows)
    assert all(cell in text for row in table.rows for cell in row)
