"""A learning rate of its own, or none: the code of the tabs, and each `tx` of the table below them."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from recipes import FOLDER
from support.arrays import assert_near
from trigru.common import carry_learning_rate
from trigru.common.parameters.layouts import flatten

RECIPE = "learning-rate.md"
PAGE = (FOLDER / RECIPE).read_text(encoding="utf-8")
FREEZE, LENGTH, CLIP, BOTH = ROWS = re.findall(r"^\| [\w ,=]+ \| `(.+\))` \|$", PAGE, re.MULTILINE)
#: A weight in each framework.
WEIGHTS = {"linen": "cell.hn.kernel", "nnx": "cell.dense_h.kernel", "equinox": "cell.weight_hh"}


@pytest.fixture
def untrained(recipe):
    """The recipe before its train step."""
    return recipe.edited("\n\n\ntrain_step(model, optimizer, x)\n", "\n") if recipe.framework == "nnx" else recipe


def trained(untrained, tx):
    """The parameters after the train step of the tab with a `tx` in place of its own."""
    line = re.search(r"^tx = .*\n", untrained.program.code, re.MULTILINE)[0]
    recipe = untrained.edited(line, f"tx = {tx}\n")
    if recipe.framework == "nnx":
        model = nnx.clone(recipe.model)
        recipe.train_step(model, nnx.Optimizer(model, recipe.tx, wrt=nnx.Param), recipe.x)
        return flatten(nnx.state(model, nnx.Param))
    return flatten(recipe.trained)


def test_the_tab_moves_the_state_ten_times_as_far(recipe, untrained):
    grads = untrained.gradient(lambda model: (model(untrained.x)[1] ** 2).mean())
    updates = flatten(untrained.tx.update(grads, untrained.tx.init(untrained.tree), untrained.tree)[0])
    assert_near(jnp.median(abs(updates["initial_carry"])), 1e-2, 0.01)
    assert_near(jnp.median(abs(updates[WEIGHTS[recipe.framework]])), 1e-3, 0.01)
    after = flatten(nnx.state(recipe.model)) if recipe.framework == "nnx" else flatten(recipe.trained)
    for name, before in untrained.flat.items():
        assert_near(after[name], before + updates[name], 1e-5, name)


@pytest.mark.parametrize("tx", ROWS)
def test_each_tx_of_the_table_trains_in_the_tab(untrained, tx):
    after, weight = trained(untrained, tx), WEIGHTS[untrained.framework]
    assert (after[weight] != untrained.flat[weight]).all()
    assert bool((after["initial_carry"] == untrained.flat["initial_carry"]).all()) == (tx in (FREEZE, BOTH))


def updates_of(tx, **gradients):
    """What a `tx`, as the page writes it, adds to the weights and to the initial state, for gradients of both."""
    made = eval(tx, {"optax": optax, "carry_learning_rate": carry_learning_rate})
    gradients = {name: jnp.array(gradient) for name, gradient in gradients.items()}
    updates, _ = made.update(gradients, made.init(gradients), jax.tree.map(jnp.ones_like, gradients))
    return updates["cell"], updates["initial_carry"]


@pytest.mark.parametrize(
    ("tx", "moves"),
    [
        ("carry_learning_rate(optax.adamw(1e-3), scale=10.0, carry=optax.adam(1e-3))", False),
        ("optax.adamw(1e-3)", True),
        (FREEZE, False),
        (BOTH, False),
        (BOTH.replace("carry_learning_rate(optax.adamw(1e-3), scale=0.0)", "optax.adamw(1e-3)"), True),
    ],
)
def test_weight_decay_alone_moves_a_state_that_has_no_gradient(tx, moves):
    cell, carry = updates_of(tx, cell=[0.0], initial_carry=[0.0])
    assert cell.all()
    assert bool(carry.any()) == moves


def test_length_undoes_the_mean():
    cell, carry = updates_of(LENGTH, cell=[3.0], initial_carry=[4.0])
    assert_near(cell, [-0.1 * 3], 1e-6)
    assert_near(carry, [-0.1 * 5 * 4], 1e-6)


@pytest.mark.parametrize(
    ("tx", "cell", "carry"),
    [
        (CLIP, 3 / 5, 10 * 4 / 5),
        ("carry_learning_rate(optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)))", 1, 1),
        (BOTH, 1, 0),
        (CLIP.replace("scale=10.0", "scale=0.0"), 3 / 5, 0),
    ],
    ids=["by one norm", "inside, apart", "frozen before", "frozen afterwards, shrinks the others"],
)
def test_gradients_of_norm_5_are_clipped(tx, cell, carry):
    """By SGD at rate 1 instead of AdamW, an update is what came through the clip."""
    assert "optax.adamw(1e-3)" in tx
    found = updates_of(tx.replace("optax.adamw(1e-3)", "optax.sgd(1.0)"), cell=[3.0, 0.0], initial_carry=[0.0, 4.0])
    assert_near(found[0], [-cell, 0], 1e-6)
    assert_near(found[1], [0, -carry], 1e-6)
