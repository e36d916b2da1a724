"""Parameters from elsewhere on the fused kernel."""

import jax
import jax.numpy as jnp
from support.arrays import assert_near, same_bits
from trigru.common.parameters.layouts import flatten
from trigru.impls import get_port

RECIPE = "fused.md#Load parameters into it"


def loss(model, x):
    return ((model(x)[1] - 1) ** 2).mean()


def of_stock(recipe):
    """The recipe with the stock kernel where it has the fused one."""
    if recipe.framework == "linen":
        return recipe.edited('GRU(features=8, kernel="fused")', "stock")
    return recipe.edited('GRU(4, 8, kernel="fused", ', "GRU(4, 8, ")


def test_the_parameters_are_those_that_were_saved(recipe):
    layout = get_port(recipe.framework).layout
    expected = layout.record(recipe.flat)
    assert expected.initial_carry.any()
    assert same_bits(recipe.canonical, expected)
    assert same_bits(get_port(recipe.framework).dump(recipe.opened), expected)


def test_the_values_and_gradients_are_those_of_the_stock_kernel(recipe):
    stock = of_stock(recipe)
    assert_near(recipe.outputs, stock.outputs, 1e-6)
    found, expected = (r.gradients(lambda model: loss(model, recipe.x)) for r in (recipe, stock))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert_near(found[name], gradient, 1e-5, name)


def test_both_run_on_the_fused_kernel(recipe):
    """Whose derivative is its own."""
    port, x = get_port(recipe.framework), recipe.x
    for run, fused in ((recipe, True), (lambda x: port.apply(recipe.opened, x), True), (of_stock(recipe), False)):
        assert ("name=_loop" in str(jax.make_jaxpr(run)(x))) == fused


def test_in_equinox_its_leaves_may_be_moved_over(recipe):
    if recipe.framework == "equinox":
        moved = jax.tree.unflatten(jax.tree.structure(recipe.like), jax.tree.leaves(recipe.stock))
        assert moved.kernel == "fused"
        assert all(map(jnp.array_equal, flatten(moved).values(), recipe.flat.values()))
