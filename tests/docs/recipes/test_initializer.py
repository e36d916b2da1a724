"""Draw the initial state with an initializer of your own."""

import jax
import jax.numpy as jnp
from support.arrays import assert_bits

RECIPE = "initializer.md"


def start_of(recipe, model):
    if recipe.framework == "linen":
        return model.init(jax.random.key(0), recipe.x)["params"]["initial_carry"]
    return model.initial_carry[...]


def test_an_initializer_of_jax_draws(recipe):
    start = start_of(recipe, recipe.normal)
    assert start.shape == (8,)
    assert 0 < abs(start).max() < 1


def test_an_existing_state_is_taken(recipe):
    assert_bits(start_of(recipe, recipe.given), recipe.known)


def test_a_function_of_ones_own_draws_what_it_says(recipe):
    assert recipe.start.shape == (8,)
    assert (abs(recipe.start) == 0.5).all()
    assert len({*recipe.start.tolist()}) == 2


def test_that_is_where_a_sequence_starts(recipe):
    """Where no step is valid, the carry is where it starts."""
    carry, _ = recipe(jnp.ones((1, 5, 4)), lengths=jnp.zeros(1, int))
    assert_bits(carry[0], recipe.start)
