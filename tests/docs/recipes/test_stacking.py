"""Layers with a state each."""

import jax.numpy as jnp
from support.arrays import assert_near

RECIPE = "stacking.md"


def layers(recipe):
    return [f"{name}{i}." for name in ("layer_" if recipe.framework == "linen" else "layers.",) for i in range(2)]


def test_each_layer_has_a_state_that_was_drawn_apart(recipe):
    first, second = (recipe.flat[f"{layer}initial_carry"] for layer in layers(recipe))
    assert (first != second).all()


def test_a_stack_is_one_gru_after_the_other(recipe):
    first, second = (recipe.gru(layer) for layer in layers(recipe))
    carries, outputs = recipe(recipe.x)
    lower, between = first(recipe.x)
    upper, expected = second(between)
    assert_near(outputs, expected, 1e-6)
    assert_near(jnp.stack(carries), jnp.stack([lower, upper]), 1e-6)


def test_chunks_give_the_outputs_of_the_whole(recipe):
    carries, whole = recipe(recipe.x)
    assert_near(jnp.concatenate([recipe.first, recipe.second], axis=1), whole, 1e-6)
    assert_near(jnp.stack(recipe.carries), jnp.stack(carries), 1e-6)


def test_every_layers_state_learns(recipe):
    starts = recipe.starts(lambda model: (model(recipe.x)[1] ** 2).mean())
    assert sorted(starts) == layers(recipe)
    assert all(start.all() for start in starts.values())
