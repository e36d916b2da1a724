"""Episodes that end within a rollout, or with the one before."""

import jax
import jax.numpy as jnp
from support.arrays import assert_near

RECIPE = "resets.md"


def test_an_episode_starts_from_the_initial_state(recipe):
    gru, x = recipe.gru(), recipe.x
    _, ending = gru(x[0, :4], recipe.carry[0])
    start, starting = gru(x[0, 4:])
    assert_near(recipe.outputs[0], jnp.concatenate([ending, starting]), 1e-6)
    assert_near(recipe.final[0], start, 1e-6)


def test_what_ended_with_the_last_rollout_does_not_start_from_its_carry(recipe):
    assert_near(recipe.outputs[1], recipe.gru()(recipe.x[1])[1], 1e-6)


def test_one_step_resets_alike(recipe):
    assert_near(recipe.stepped, recipe.outputs[:, 0], 1e-6)
    assert_near(recipe.output, recipe.outputs[:, 0], 1e-6)


def test_a_start_is_trained_though_a_carry_is_passed_and_a_carry_from_before_it_is_not(recipe):
    def loss(model, carry):
        return (model(recipe.x, carry, resets=recipe.resets)[1] ** 2).mean()

    assert recipe.starts(lambda model: loss(model, recipe.carry))[""].all()
    of_carry = jax.jit(jax.grad(lambda carry: loss(recipe.bound(), carry)))(recipe.carry)
    assert of_carry[0].all()
    assert not of_carry[1].any()
