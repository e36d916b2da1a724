"""The burn-in of a replayed sequence, and what a reset within it does to the gradient of the initial state."""

import re

import jax
import jax.numpy as jnp
import pytest
from recipes import FOLDER
from support.arrays import assert_bits, assert_near
from trigru.common.parameters.layouts import flatten

RECIPE = "reinforcement.md#Burn in from a stored state"
CUT = "jax.lax.stop_gradient(carry)"


@pytest.fixture
def start(recipe):
    """The initial state's gradient of the recipe's loss on one of its sequences."""

    def gradient(row, recipe=recipe):
        one = slice(row, row + 1)
        arrays = recipe.x[one], recipe.stored[one], recipe.resets[one]
        return recipe.starts(lambda model: recipe.loss_of(model.whole, *arrays))[""]

    return gradient


def test_a_reset_within_the_burn_in_sends_the_start_no_gradient_and_one_after_it_does(start):
    assert not start(0).any()
    assert start(1).all()


def test_the_gradient_is_that_of_the_recipe(recipe):
    expected = recipe.gradients(lambda model: recipe.loss_of(model.whole, recipe.x, recipe.stored, recipe.resets))
    for name, gradient in flatten(recipe.grads).items():
        assert_near(gradient, expected[name], 1e-5, name)


def test_the_trained_steps_follow_from_the_burn_in(recipe):
    _, outputs = recipe.gru()(recipe.x, recipe.stored, resets=recipe.resets)
    assert_near(recipe.loss, (outputs[:, recipe.BURN_IN :] ** 2).mean(), 1e-6)


def test_a_reset_makes_the_stored_state_irrelevant(recipe):
    whole = recipe.bound().whole
    losses = [
        [recipe.loss_of(whole, recipe.x[row], stored[row], recipe.resets[row]) for row in (slice(0, 1), slice(1, 2))]
        for stored in (recipe.stored, recipe.stored + 1)
    ]
    assert_bits(losses[0][0], losses[1][0])
    assert losses[0][1] != losses[1][1]


def test_no_gradient_reaches_what_was_burned_in(recipe):
    """The weights' gradient is that of the trained steps alone, from the state that the burn-in left."""
    gru, burn = recipe.bound(), recipe.BURN_IN
    state, _ = gru(recipe.x[:, :burn], recipe.stored, resets=recipe.resets[:, :burn])

    def loss(model):
        return (model(recipe.x[:, burn:], state, resets=recipe.resets[:, burn:])[1] ** 2).mean()

    found = flatten(recipe.grads)
    for name, gradient in recipe.gradients(loss).items():
        assert_near(found[name], gradient, 1e-5, name)


def test_cut_where_no_episode_has_started_the_start_learns_from_both(recipe, start):
    (cut,) = re.findall(
        r"`(jnp\.where\(.*stop_gradient.*)`\.", (FOLDER / "reinforcement.md").read_text(encoding="utf-8")
    )
    mended = recipe.edited(f"carry = {CUT}", f"carry = {cut}")
    assert start(0, mended).all()
    assert_near(mended.loss, recipe.loss, 1e-6)

    def whole(model):
        outputs = model(recipe.x[:1], recipe.stored[:1], resets=recipe.resets[:1])[1]
        return (outputs[:, recipe.BURN_IN :] ** 2).mean()

    assert_near(start(0, mended), recipe.starts(whole)[""], 1e-5)
    arrays = recipe.x[1:], recipe.stored[1:], recipe.resets[1:]
    of_one = lambda r: r.gradients(lambda model: r.loss_of(model.whole, *arrays))  # noqa: E731
    for name, gradient in of_one(recipe).items():
        assert_near(of_one(mended)[name], gradient, 1e-5, name)
    of_stored = jax.grad(lambda stored: mended.loss_of(mended.bound().whole, recipe.x, stored, recipe.resets))
    assert not jnp.any(of_stored(recipe.stored)[0])
