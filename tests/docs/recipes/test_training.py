"""A whole training loop on real sequences."""

import jax.numpy as jnp
from support.arrays import assert_near

RECIPE = "training.md"


def test_it_learns(recipe):
    """Of nine speakers, chance names one in nine."""
    assert recipe.accuracy > 0.9
    whole = recipe.bound().whole
    assert recipe.loss_of(whole, *recipe.train) < 0.3


def test_it_was_tested_on_utterances_that_it_was_not_trained_on(recipe):
    """All of them, by the parameters of the last epoch."""
    assert len(recipe.test.labels) == 370
    assert len(recipe.train.labels) == 270
    logits = recipe(recipe.test.inputs, recipe.test.lengths)
    assert logits.shape == (370, 9)
    assert_near(recipe.accuracy, (logits.argmax(axis=-1) == recipe.test.labels).mean(), 1e-6)


def test_padding_changes_nothing(recipe):
    x, lengths = recipe.test.inputs[:5], recipe.test.lengths[:5]
    past = jnp.arange(x.shape[1])[None] >= lengths[:, None]
    assert past.any()
    assert_near(recipe(jnp.where(past[..., None], 7.0, x), lengths), recipe(x, lengths), 1e-6)


def test_the_last_valid_frame_is_heard(recipe):
    x, lengths = recipe.test.inputs[:5], recipe.test.lengths[:5]
    last = jnp.arange(x.shape[1])[None] == lengths[:, None] - 1
    assert (recipe(jnp.where(last[..., None], 7.0, x), lengths) != recipe(x, lengths)).all()


def test_the_initial_state_was_trained(recipe):
    (start,) = [array for name, array in recipe.flat.items() if name.endswith("initial_carry")]
    assert start.all(), "it started as zeros"
