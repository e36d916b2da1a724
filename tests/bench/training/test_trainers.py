"""The training loops: in every framework the same one, and one that learns."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
from trigru.bench.training import FRAMEWORKS, REFERENCE, get_trainer
from trigru.bench.training.experiments import get_experiment
from trigru.bench.training.study import SAME_CURVE, agreement, start_params
from trigru.common.equality import oracle
from trigru.common.errors import UnknownNameError
from trigru.common.gru.optimizers import carry_learning_rate
from trigru.common.parameters.record import leaves

VOWELS, WINDOWS = get_experiment("vowels"), get_experiment("sunspots-8")


def make(name, experiment, tx):
    return get_trainer(name)(experiment.config, tx, experiment.loss, every_step=experiment.every_step)


def a_batch(experiment):
    data = experiment.split(0).train
    return jax.tree.map(lambda array: array[:8], data)


@pytest.mark.parametrize("experiment", [VOWELS, WINDOWS], ids=lambda experiment: experiment.name)
def test_float64_curves_of_an_epoch_agree(experiment):
    first, *others = agreement(experiment, FRAMEWORKS)
    assert [curve.framework for curve in (first, *others)] == [REFERENCE, *FRAMEWORKS]
    assert len(first.losses) == len(experiment.split(0).train.x) // experiment.batch_size
    for other in others:
        assert other.differs(first) <= SAME_CURVE


@pytest.mark.parametrize("name", [REFERENCE, *FRAMEWORKS])
@pytest.mark.parametrize("experiment", [VOWELS, WINDOWS], ids=lambda experiment: experiment.name)
def test_predictions_are_the_oracles(name, experiment):
    params, batch = start_params(experiment, 3), a_batch(experiment)
    trainer = make(name, experiment, optax.sgd(0.1))
    trainer.start(params)
    tape = oracle.forward(params.gru, batch.x, lengths=batch.lengths)
    read = tape.outputs if experiment.every_step else tape.carry
    want = read @ params.readout.weight.T + params.readout.bias
    np.testing.assert_allclose(trainer.predict(batch.x, batch.lengths), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_step_lowers_the_loss_moves_every_parameter_and_can_start_anew(name):
    trainer, batch = make(name, VOWELS, optax.adam(1e-2)), a_batch(VOWELS)
    params = start_params(VOWELS, 0)
    trainer.start(params)
    losses = [float(trainer.step(batch)) for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    before, after = leaves(params), leaves(trainer.params())
    assert [n for n in before if np.array_equal(before[n], after[n])] == []
    trainer.start(params)
    assert [float(trainer.step(batch)) for _ in range(2)] == losses[:2]  # the second tells a stale optimiser
    trainer.start(params)
    for name, array in leaves(trainer.params()).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_frozen_start_stays(name):
    trainer = make(name, WINDOWS, carry_learning_rate(optax.adam(1e-2), scale=0.0))
    trainer.start(start_params(WINDOWS, 0))
    trainer.step(a_batch(WINDOWS))
    assert not trainer.params().gru.initial_carry.any()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_was_compiled_is_used_for_the_next_seed(name):
    batch, count = a_batch(WINDOWS), []

    def counting(predictions, targets):
        count.append(None)
        return WINDOWS.loss(predictions, targets)

    trainer = get_trainer(name)(WINDOWS.config, optax.sgd(0.1), counting, every_step=True)
    for seed in range(3):
        trainer.start(start_params(WINDOWS, seed))
        trainer.step(batch)
        trainer.step(batch)
        if seed == 0:
            traced = len(count)
    assert len(count) == traced


def test_float64_parameters_after_a_few_steps_agree_and_all_have_moved():
    """Of the steps that the losses do not see: the last, too."""
    moved = []
    with jax.enable_x64(True):
        config = replace(WINDOWS.config, param_dtype="float64")
        params = start_params(replace(WINDOWS, config=config), 1)
        batch = jax.tree.map(lambda array: array.astype("f8"), a_batch(WINDOWS))
        for name in (REFERENCE, *FRAMEWORKS):
            trainer = get_trainer(name)(
                config, carry_learning_rate(optax.adam(1e-2), scale=3.0), WINDOWS.loss, every_step=True
            )
            trainer.start(params)
            for _ in range(3):
                trainer.step(batch)
            before, after = leaves(params), leaves(trainer.params())
            moved.append({name: after[name] - before[name] for name in before})
    for other in moved[1:]:
        for name, move in moved[0].items():
            assert move.all(), name
            np.testing.assert_allclose(other[name], move, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_framework_without_a_loop_is_named():
    with pytest.raises(UnknownNameError, match="unknown framework with a training loop 'keras'"):
        get_trainer("keras")
