"""Both directions, with a state for each."""

import jax.numpy as jnp
from support.arrays import assert_bits, assert_near

RECIPE = "bidirectional.md"


def halves(outputs):
    return jnp.split(outputs, 2, axis=-1)


def test_each_direction_ends_where_it_has_seen_all(recipe):
    ahead, back = halves(recipe.outputs)
    assert_bits(ahead[:, -1], recipe.end)
    assert_bits(back[:, 0], recipe.start)


def test_the_backward_gru_reads_the_flipped_sequence(recipe):
    ahead, back = halves(recipe.outputs)
    _, flipped = recipe.gru("backward.")(recipe.x[:, ::-1])
    assert_near(back, flipped[:, ::-1], 1e-6)
    assert_near(ahead, recipe.gru("forward.")(recipe.x)[1], 1e-6)


def test_with_lengths_it_starts_at_the_last_valid_step(recipe):
    _, shorter = recipe(recipe.x, lengths=jnp.array([6, 2]))
    _, alone = recipe(recipe.x[1:, :2])
    assert_near(shorter[1, :2], alone[0], 1e-6)


def test_both_states_learn(recipe):
    starts = recipe.starts(lambda model: (model(recipe.x)[1] ** 2).mean())
    assert sorted(starts) == ["backward.", "forward."]
    assert all(start.all() for start in starts.values())
