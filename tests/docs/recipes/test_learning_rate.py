"""A learning rate of its own, or none: the code of the tabs, and each `tx` of the table below them."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from support.arrays import assert_bits, assert_near
from support.recipes import FOLDER
from trigru.common import carry_learning_rate
from trigru.common.parameters.layouts import flatten

RECIPE = "learning-rate.md"
ROWS = dict(re.findall(r"^\| ([\w ,=]+) \| `(.+\))` \|$", (FOLDER / RECIPE).read_text(encoding="utf-8"), re.MULTILINE))
FREEZE, LENGTH, CLIP, BOTH = ROWS
NAMES = {"optax": optax, "carry_learning_rate": carry_learning_rate}
#: What trains, in each framework: the last line of the tab. NNX's has trained its model.
WEIGHTS = {"linen": "cell.hn.kernel", "nnx": "cell.dense_h.kernel", "equinox": "cell.weight_hh"}


@pytest.fixture
def untrained(recipe):
    """The recipe before its train step."""
    return recipe.edited("\n\n\ntrain_step(model, optimizer, x)\n", "\n") if recipe.framework == "nnx" else recipe


def updates_of(recipe, tx, scale=1.0):
    """What one step with gradients of the recipe's loss, or `scale` times that, adds to each parameter, and these."""
    grads = jax.tree.map(lambda g: scale * g, recipe.gradient(lambda model: (model(recipe.x)[1] ** 2).mean()))
    updates, _ = tx.update(grads, tx.init(recipe.tree), recipe.tree)
    return flatten(updates), flatten(grads)


def trained(untrained, tx):
    """The parameters after the train step of the tab with a `tx` in place of its own."""
    recipe = untrained.edited(tx_line(untrained), f"tx = {tx}\n")
    if recipe.framework == "nnx":
        model = nnx.clone(recipe.model)
        recipe.train_step(model, nnx.Optimizer(model, recipe.tx, wrt=nnx.Param), recipe.x)
        return flatten(nnx.state(model, nnx.Param))
    return flatten(recipe.trained)


def tx_line(recipe):
    return re.search(r"^tx = .*\n", recipe.program.code, re.MULTILINE)[0]


def test_the_tab_moves_the_state_ten_times_as_far(recipe, untrained):
    updates, _ = updates_of(untrained, untrained.tx)
    assert_near(jnp.median(abs(updates["initial_carry"])), 1e-2, 0.01)
    assert_near(jnp.median(abs(updates[WEIGHTS[recipe.framework]])), 1e-3, 0.01)
    after = flatten(nnx.state(recipe.model)) if recipe.framework == "nnx" else flatten(recipe.trained)
    for name, before in untrained.flat.items():
        assert_near(after[name], before + updates[name], 1e-5, name)


def test_without_a_gradient_only_the_weights_decay(recipe, untrained):
    updates, _ = updates_of(untrained, untrained.tx, scale=0.0)
    assert not updates["initial_carry"].any()
    assert updates[WEIGHTS[recipe.framework]].all()


def test_a_frozen_state_stays_and_the_rest_is_trained(recipe, untrained):
    after = trained(untrained, ROWS[FREEZE])
    assert_bits(after["initial_carry"], untrained.flat["initial_carry"])
    weights = WEIGHTS[recipe.framework]
    assert (after[weights] != untrained.flat[weights]).all()


def test_a_stopped_gradient_would_not_freeze(untrained):
    """Weight decay moves what has no gradient; a frozen state it does not."""
    stopped, _ = updates_of(untrained, optax.adamw(1e-3), scale=0.0)
    frozen, _ = updates_of(untrained, eval(ROWS[FREEZE], NAMES), scale=0.0)
    assert stopped["initial_carry"].all()
    assert not frozen["initial_carry"].any()


def test_a_frozen_state_takes_no_memory(untrained):
    free, frozen = (len(jax.tree.leaves(tx.init(untrained.tree))) for tx in (untrained.tx, eval(ROWS[FREEZE], NAMES)))
    assert free - frozen == 3, "its two moments, and the count of its own Adam"


def test_length_undoes_the_mean(recipe, untrained):
    updates, grads = updates_of(untrained, eval(ROWS[LENGTH], NAMES))
    weights = WEIGHTS[recipe.framework]
    assert untrained.x.shape[1] == 5
    assert_near(updates["initial_carry"], -0.1 * 5 * grads["initial_carry"], 1e-6)
    assert_near(updates[weights], -0.1 * grads[weights], 1e-6)


def by_sgd(row):
    """The `tx` of a row with SGD at rate 1 instead of AdamW: an update is what came through the clip."""
    assert "optax.adamw(1e-3)" in row
    return eval(row.replace("optax.adamw(1e-3)", "optax.sgd(1.0)"), NAMES)


def norm(updates):
    """Of what is not the initial state."""
    return norm_of(update for name, update in updates.items() if name != "initial_carry")


def norm_of(arrays):
    return jnp.sqrt(sum((array**2).sum() for array in arrays))


def test_all_gradients_are_clipped_by_one_norm(untrained):
    updates, grads = updates_of(untrained, by_sgd(ROWS[CLIP].replace("scale=10.0", "scale=1.0")), scale=1e4)
    total = norm_of(grads.values())
    assert total > 1
    for name, gradient in grads.items():
        assert_near(updates[name], -gradient / total, 1e-5, name)


def test_a_clip_inside_would_clip_apart(untrained):
    inside = carry_learning_rate(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0)))
    updates, _ = updates_of(untrained, inside, scale=1e4)
    assert_near(norm(updates), 1.0, 1e-5)
    assert_near(jnp.linalg.norm(updates["initial_carry"]), 1.0, 1e-5)


def test_a_frozen_state_shrinks_no_other_update_if_frozen_before_the_clip(untrained):
    right, _ = updates_of(untrained, by_sgd(ROWS[BOTH]), scale=1e4)
    wrong, grads = updates_of(untrained, by_sgd(ROWS[CLIP].replace("scale=10.0", "scale=0.0")), scale=1e4)
    assert not right["initial_carry"].any()
    assert not wrong["initial_carry"].any()
    assert_near(norm(right), 1.0, 1e-5)
    assert_near(norm(wrong), norm(grads) / norm_of(grads.values()), 1e-5)
    assert norm(wrong) < 0.99


def test_by_how_much_it_would_shrink_them():
    """A frozen gradient of norm 4 takes 2 fifths of an update whose norm is 3."""
    grads = {"initial_carry": jnp.array([0.0, 4.0]), "cell": jnp.array([3.0, 0.0])}
    found = {}
    for row, frozen in ((BOTH, ROWS[BOTH]), (CLIP, ROWS[CLIP].replace("scale=10.0", "scale=0.0"))):
        tx = by_sgd(frozen)
        updates, _ = tx.update(grads, tx.init(grads), grads)
        assert not updates["initial_carry"].any()
        found[row] = updates["cell"].tolist()
    assert found == {BOTH: [-1.0, 0.0], CLIP: [pytest.approx(-0.6), 0.0]}


def test_weight_decay_does_not_move_what_is_frozen_before_the_clip(untrained):
    after = trained(untrained, ROWS[BOTH])
    assert_bits(after["initial_carry"], untrained.flat["initial_carry"])
    once = optax.chain(carry_learning_rate(optax.identity(), scale=0.0), optax.adamw(1e-3))
    assert updates_of(untrained, once)[0]["initial_carry"].all(), "with AdamW, the first freezing alone is none"
    plain = optax.chain(carry_learning_rate(optax.identity(), scale=0.0), optax.adam(1e-3))
    assert not updates_of(untrained, plain)[0]["initial_carry"].any()
