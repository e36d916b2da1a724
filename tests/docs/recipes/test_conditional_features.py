"""A state from features."""

import jax.numpy as jnp
from support.arrays import assert_bits

RECIPE = "conditional.md#A state from features"


def test_the_network_learns_and_the_grus_own_start_does_not(recipe):
    gradients = recipe.gradients(lambda model: (model(recipe.x, recipe.context)[1] ** 2).mean())
    weights = [a for name, a in gradients.items() if not name.startswith("gru.") and a.ndim == 2]
    assert len(weights) == 2
    assert all(weight.all() for weight in weights)
    assert not gradients["gru.initial_carry"].any(), "nothing starts there"


def test_another_context_gives_other_outputs_of_the_same_frames(recipe):
    _, (first, second) = recipe(jnp.stack([recipe.x[0], recipe.x[0]]), recipe.context)
    assert not jnp.allclose(first, second)
    assert_bits(recipe.carry, recipe.outputs[:, -1])


def test_the_state_is_within_one(recipe):
    """However large the features are, so are outputs: each is a weighted mean of the last state and a tanh."""
    _, outputs = recipe(recipe.x, 1e3 * recipe.context)
    assert abs(outputs).max() <= 1
