"""Noise on the initial state in training."""

import jax
import jax.numpy as jnp
from flax import nnx
from support.arrays import assert_bits, assert_near

RECIPE = "noise.md"


def training(recipe, seed):
    """A function of the bound model that runs it in training, with a seed."""
    if recipe.framework == "linen":
        return lambda model: model(recipe.x, train=True, rngs={"noise": jax.random.key(seed)})[1]
    if recipe.framework == "equinox":
        return lambda model: model(recipe.x, key=jax.random.split(jax.random.key(seed), len(recipe.x)))[1]

    def run(model):
        own = nnx.clone(model.whole)
        own.train()
        own.rngs = nnx.Rngs(noise=seed).noise
        return own(recipe.x)[1]

    return run


def test_each_example_and_each_step_of_training_has_noise_of_its_own(recipe):
    assert (recipe.x[0] == recipe.x[1]).all()
    first, second = recipe.outputs
    assert not jnp.allclose(first, second), "for each example"
    again, others = training(recipe, 1)(recipe.bound()), training(recipe, 2)(recipe.bound())
    assert not jnp.allclose(others[0], again[0]), "for each key"
    assert_bits(training(recipe, 1)(recipe.bound()), again, "the same from the same key")


def test_a_module_of_nnx_moves_on(recipe):
    if recipe.framework == "nnx":
        twin = recipe.edited("model.eval()", "_, later = run(model, x)\nmodel.eval()")
        assert_bits(twin.outputs, recipe.outputs, "the same from the same seed")
        assert not jnp.allclose(twin.later[0], twin.outputs[0])
    else:
        assert_bits(training(recipe, 1)(recipe.bound()), recipe.outputs)


def test_the_gradient_reaches_the_start(recipe):
    (start,) = recipe.starts(lambda model: (training(recipe, 1)(model) ** 2).mean()).values()
    assert start.all()


def test_evaluation_starts_from_the_learned_state(recipe):
    first, second = recipe.evaluated
    assert_bits(first, second)
    assert_near(recipe.evaluated, recipe.gru("gru.")(recipe.x)[1], 1e-6)
