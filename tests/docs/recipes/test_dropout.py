"""Dropout between two GRUs."""

import jax
import jax.numpy as jnp
from flax import nnx
from support.arrays import assert_bits, assert_near

RECIPE = "dropout.md"


def train(recipe, seed):
    """One call in training, with a seed."""
    if recipe.framework == "linen":
        return recipe(recipe.x, train=True, rngs={"dropout": jax.random.key(seed)})
    if recipe.framework == "equinox":
        return recipe(recipe.x, key=jax.random.split(jax.random.key(seed), len(recipe.x)))
    model = recipe.TwoLayers(4, 8, rngs=nnx.Rngs(params=0, dropout=seed))
    return model(recipe.x)


def test_without_it_the_layers_are_one_gru_after_the_other(recipe):
    names = ("GRU_0.", "GRU_1.") if recipe.framework == "linen" else ("first.", "second.")
    first, second = (recipe.gru(name) for name in names)
    assert_near(recipe.evaluated, second(first(recipe.x)[1])[1], 1e-6)


def test_it_changes_the_second_layer_alone(recipe):
    (first, second), outputs = train(recipe, 2)
    assert_bits(outputs, recipe.outputs, "the same mask from the same key")
    names = ("GRU_0.", "GRU_1.") if recipe.framework == "linen" else ("first.", "second.")
    gru_1, gru_2 = (recipe.gru(name) for name in names)
    carry, between = gru_1(recipe.x)
    assert_near(first, carry, 1e-6, "before the dropout nothing changes")
    assert not jnp.allclose(second, gru_2(between)[0])


def test_another_key_gives_another_mask(recipe):
    assert not jnp.allclose(train(recipe, 3)[1], recipe.outputs)
    if recipe.framework == "nnx":
        later = recipe.edited("model.eval()", "_, later = model(x)\nmodel.eval()").later
        assert not jnp.allclose(later, recipe.outputs), "at another call"
