"""The fused kernel in a class of one's own, against plain JAX's own cell."""

import jax
import jax.numpy as jnp
from support.arrays import assert_near
from trigru.impls import pure

RECIPE = "fused.md#In a class of your own"


def params_of(recipe, drawn):
    """The recipe's parameters, or random ones in their place."""
    flat = recipe.flat
    keys = dict(zip(flat, jax.random.split(jax.random.key(3), len(flat)), strict=True))
    made = {name: 0.5 * jax.random.normal(keys[name], array.shape) for name, array in flat.items()} if drawn else flat
    tree = jax.tree.unflatten(jax.tree.structure(recipe.tree), made.values())
    return tree, pure.Params(**{name: made[name] for name in pure.Params._fields})


def test_it_is_the_gru(recipe):
    _, params = params_of(recipe, drawn=False)
    carry, outputs = pure.gru(params, recipe.x)
    assert_near(recipe.carry, carry, 1e-6)
    assert_near(recipe.outputs, outputs, 1e-6)


def test_its_gradients_are_those_of_the_stock_kernel(recipe):
    """With a carry that is passed, too, and parameters none of which is zero."""
    tree, params = params_of(recipe, drawn=True)
    start = jax.random.normal(jax.random.key(4), (2, 8))
    for carry in (None, start):

        def loss(tree, carry=carry):
            return ((recipe.bound(tree)(recipe.x, carry)[1] - 1) ** 2).mean()

        def expected(params, carry=carry):
            return ((pure.gru(params, recipe.x, carry)[1] - 1) ** 2).mean()

        found = dict(zip(recipe.flat, jax.tree.leaves(jax.grad(loss)(tree)), strict=True))
        for name, gradient in jax.grad(expected)(params)._asdict().items():
            assert_near(found[name], gradient, 1e-5, name)
            assert jnp.any(gradient) == (name != "initial_carry" or carry is None)
