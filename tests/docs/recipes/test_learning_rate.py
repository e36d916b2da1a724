"""A learning rate of its own, or none: the code of the tabs, and each `tx` of the table below them."""

import re

import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from support.arrays import assert_each_near, assert_near
from support.recipes import FOLDER, recipe_fixture
from trigru.common import carry_learning_rate
from trigru.common.parameters.layouts import flatten

recipe = recipe_fixture("learning-rate.md")
PAGE = (FOLDER / "learning-rate.md").read_text(encoding="utf-8")
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
    after = flatten(nnx.state(recipe.model) if recipe.framework == "nnx" else recipe.trained)
    assert_each_near(after, {name: before + updates[name] for name, before in untrained.flat.items()}, 1e-5)


@pytest.mark.parametrize("tx", ROWS)
def test_each_tx_of_the_table_trains_in_the_tab(untrained, tx):
    after, weight = trained(untrained, tx), WEIGHTS[untrained.framework]
    assert (after[weight] != untrained.flat[weight]).all()
    assert bool((after["initial_carry"] == untrained.flat["initial_carry"]).all()) == (tx in (FREEZE, BOTH))


SGD = "optax.sgd(1.0)"
APART = "carry_learning_rate(optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)))"


@pytest.mark.parametrize(
    ("tx", "cell", "carry"),
    [
        (LENGTH, -0.1 * 3, -0.1 * 5 * 4),  # undoes the mean over five steps
        (CLIP, -3 / 5, -10 * 4 / 5),  # by one norm, that of both
        (APART, -1, -1),  # each by its own norm
        (BOTH, -1, 0),  # frozen before
        (CLIP.replace("scale=10.0", "scale=0.0"), -3 / 5, 0),  # frozen afterwards
    ],
)
def test_updates_by_gradients_of_3_and_4(tx, cell, carry):
    """By SGD at rate 1 instead of AdamW, an update is what came through the clip."""
    tx = eval(tx.replace("optax.adamw(1e-3)", SGD), {"optax": optax, "carry_learning_rate": carry_learning_rate})
    gradients = {"cell": jnp.asarray(3.0), "initial_carry": jnp.asarray(4.0)}
    updates, _ = tx.update(gradients, tx.init(gradients), gradients)
    assert_near([updates["cell"], updates["initial_carry"]], [cell, carry], 1e-6)
