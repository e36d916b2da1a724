"""A state for each class."""

import jax.numpy as jnp
from support.arrays import assert_bits, assert_near

RECIPE = "conditional.md#A state for each class"


def test_each_sequence_starts_from_the_state_of_its_class(recipe):
    _, outputs = recipe.gru("gru.")(recipe.x, recipe.flat["initial_carry"][recipe.label])
    assert_near(recipe.outputs, outputs, 1e-6)
    assert_bits(recipe.carry, recipe.outputs[:, -1])


def test_the_classes_of_the_batch_learn_and_no_other(recipe):
    starts = recipe.starts(lambda model: (model(recipe.x, recipe.label)[1] ** 2).mean())
    assert starts[""].shape == (3, 8)
    assert starts[""][recipe.label].all()
    assert not starts[""][1].any()
    assert not starts["gru."].any(), "nothing starts there"


def test_another_class_gives_other_outputs_of_the_same_frames(recipe):
    _, (as_two, as_zero) = recipe(jnp.stack([recipe.x[0], recipe.x[0]]), recipe.label)
    assert not jnp.allclose(as_two, as_zero)
