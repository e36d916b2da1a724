"""Sequences of different lengths in one batch."""

import jax
import jax.numpy as jnp
import numpy as np
from support.arrays import assert_bits, assert_near
from trigru.common.parameters.layouts import flatten

RECIPE = "lengths.md"


def test_the_carry_is_that_of_the_last_valid_step(recipe):
    carry, outputs = recipe(recipe.x, lengths=recipe.lengths)
    alone, its_outputs = recipe.gru()(recipe.x[1, :2])
    assert_near(carry[1], alone, 1e-6)
    assert_near(outputs[1, :2], its_outputs, 1e-6)
    assert_bits(carry[2], recipe.flat["initial_carry"], "an empty sequence ends where it starts")


def test_padded_steps_give_zeros(recipe):
    _, outputs = recipe(recipe.x, lengths=recipe.lengths)
    assert not outputs[1, 2:].any()
    assert not outputs[2].any()


def test_the_loss_is_a_mean_over_valid_steps(recipe):
    outputs = [recipe.gru()(recipe.x[row, :length])[1] for row, length in ((0, 6), (1, 2))]
    assert_near(recipe.loss, ((jnp.concatenate(outputs) - 1) ** 2).mean(), 1e-6)


def test_nothing_in_the_padding_reaches_value_or_gradient(recipe):
    padded = recipe.x.at[1, 2:].set(jnp.nan).at[2].set(jnp.nan)
    found = recipe.loss_of(recipe.bound().whole, padded)
    assert_bits(found, recipe.loss_of(recipe.bound().whole, recipe.x))
    expected = recipe.gradients(lambda model: recipe.loss_of(model.whole, recipe.x))
    for name, gradient in recipe.gradients(lambda model: recipe.loss_of(model.whole, padded)).items():
        assert_bits(gradient, expected[name], name)
        assert np.isfinite(gradient).all()
    assert jax.tree.all(jax.tree.map(lambda g: bool(jnp.isfinite(g).all()), flatten(recipe.grads)))
    assert_near(flatten(recipe.grads)["initial_carry"], expected["initial_carry"], 1e-5)
