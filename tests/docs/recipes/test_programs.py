"""Whole programs: training, by rates and on devices too; files; an exported model; the
fused kernel; an agent.
"""

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import export
from support.cases import assert_bits, assert_each_near, assert_near, same_bits
from support.recipes import FOLDER, ROOT, recipe_fixture
from trigru.common import GRUParams, carry_learning_rate
from trigru.common.parameters.layouts import flatten
from trigru.impls import get_port, pure

training, saving, exporting, devices = map(
    recipe_fixture, ("training.md", "saving.md", "exporting.md", "devices.md")
)
rate = recipe_fixture("learning-rate.md")
agent = recipe_fixture("reinforcement.md#A whole agent")
burn_in = recipe_fixture("reinforcement.md#Burn in from a stored state")
loading, own_class = map(
    recipe_fixture,
    ("fused.md#Load parameters into it", "fused.md#In a class of your own"),
)


def test_training_learns_and_is_tested_on_other_utterances_up_to_their_last_frame(
    training,
):
    """Of nine speakers, chance names one in nine."""
    assert training.accuracy > 0.9
    assert training.loss_of(training.bound().whole, *training.train) < 0.3
    assert (len(training.train.labels), len(training.test.labels)) == (270, 370)
    logits = training(training.test.inputs, training.test.lengths)
    assert_near(
        training.accuracy, (logits.argmax(axis=-1) == training.test.labels).mean(), 1e-6
    )
    (start,) = [
        array for name, array in training.flat.items() if name.endswith("initial_carry")
    ]
    assert start.all(), "it started as zeros"
    x, lengths = training.test.inputs[:5], training.test.lengths[:5]
    steps = jnp.arange(x.shape[1])[None]
    past, last = steps >= lengths[:, None], steps == lengths[:, None] - 1
    assert past.any()
    assert_near(
        training(jnp.where(past[..., None], 7.0, x), lengths),
        training(x, lengths),
        1e-6,
    )
    assert (
        training(jnp.where(last[..., None], 7.0, x), lengths) != training(x, lengths)
    ).all(), "it is read"


def test_every_bit_comes_back_from_a_file(saving):
    def dumped(tree):
        return get_port(saving.framework).layout.record(flatten(tree))

    expected = dumped(saving.tree)
    assert saving.flat["initial_carry"].any()
    assert same_bits(dumped(saving.restored), expected)
    assert same_bits(dumped(saving.opened), expected)
    assert same_bits(GRUParams.open(str(saving.folder / "gru.safetensors")), expected)


@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 7, 4)])
def test_batches_and_sequences_of_any_length_run_after_export(exporting, shape):
    loaded = export.deserialize(bytearray((exporting.folder / "gru.bin").read_bytes()))
    x = jax.random.normal(jax.random.key(1), shape)
    for found, expected in zip(loaded.call(x), exporting.gru()(x), strict=True):
        assert_near(found, expected, 1e-6)
    assert (exporting.carry.shape, exporting.outputs.shape) == ((3, 8), (3, 7, 8))


def test_the_fused_kernel_runs_the_same_parameters(loading):
    port = get_port(loading.framework)
    expected = port.layout.record(loading.flat)
    assert expected.initial_carry.any()
    assert same_bits(loading.canonical, expected)
    assert same_bits(port.dump(loading.opened), expected)
    assert_near(loading.outputs, loading.gru()(loading.x)[1], 1e-6)
    for run in (loading, lambda x: port.apply(loading.opened, x)):
        assert "name=_loop" in str(jax.make_jaxpr(run)(loading.x)), (
            "the scan that has its own derivative"
        )
    if loading.framework == "equinox":
        moved = jax.tree.unflatten(
            jax.tree.structure(loading.like), jax.tree.leaves(loading.stock)
        )
        assert moved.kernel == "fused"
        assert all(map(jnp.array_equal, flatten(moved).values(), loading.flat.values()))


@pytest.mark.parametrize(
    "carry", [None, jax.random.normal(jax.random.key(4), (2, 8))], ids=["", "carry"]
)
def test_a_class_of_ones_own_has_the_values_and_gradients_of_plain_jax(
    own_class, carry
):
    """With parameters none of which is zero, and with those of the recipe."""
    x, names = own_class.x, pure.Params._fields
    keys = jax.random.split(jax.random.key(3), len(names))
    drawn = [
        jax.random.normal(key, array.shape)
        for key, array in zip(keys, own_class.flat.values(), strict=True)
    ]
    tree = jax.tree.unflatten(jax.tree.structure(own_class.tree), drawn)
    found = jax.grad(
        lambda tree: ((own_class.bound(tree)(x, carry)[1] - 1) ** 2).mean()
    )(tree)
    params = pure.Params(**dict(zip(own_class.flat, drawn, strict=True)))
    expected = jax.grad(
        lambda params: ((pure.gru(params, x, carry)[1] - 1) ** 2).mean()
    )(params)._asdict()
    assert_each_near(flatten(found), expected, 1e-5)
    assert jnp.any(expected["initial_carry"]) == (carry is None)
    own = pure.gru(pure.Params(**{name: own_class.flat[name] for name in names}), x)
    for array, of_pure in zip((own_class.carry, own_class.outputs), own, strict=True):
        assert_near(array, of_pure, 1e-6)


PAGE = (FOLDER / "learning-rate.md").read_text(encoding="utf-8")
FREEZE, LENGTH, CLIP, BOTH = re.findall(
    r"^\| [\w ,=]+ \| `(.+\))` \|$", PAGE, re.MULTILINE
)
#: A weight in each framework.
WEIGHTS = {
    "linen": "cell.hn.kernel",
    "nnx": "cell.dense_h.kernel",
    "equinox": "cell.weight_hh",
}


def test_the_tab_moves_the_state_ten_times_as_far(rate):
    before = (
        rate.edited("\n\n\ntrain_step(model, optimizer, x)\n", "\n")
        if rate.framework == "nnx"
        else rate
    )
    grads = before.gradient(lambda model: (model(rate.x)[1] ** 2).mean())
    updates = flatten(rate.tx.update(grads, rate.tx.init(before.tree), before.tree)[0])
    assert_near(jnp.median(abs(updates["initial_carry"])), 1e-2, 0.01)
    assert_near(jnp.median(abs(updates[WEIGHTS[rate.framework]])), 1e-3, 0.01)
    after = flatten(nnx.state(rate.model) if rate.framework == "nnx" else rate.trained)
    assert_each_near(
        after,
        {name: array + updates[name] for name, array in before.flat.items()},
        1e-5,
    )


APART = (
    "carry_learning_rate(optax.chain(optax.clip_by_global_norm(1.0), "
    "optax.adamw(1e-3)))"
)


#: What a `tx` makes of gradients of 3 and 4, by SGD at rate 1 instead of AdamW.
UPDATES = [
    (FREEZE, -3, 0),
    (LENGTH, -0.1 * 3, -0.1 * 5 * 4),  # undoes the mean over five steps
    (CLIP, -3 / 5, -10 * 4 / 5),  # by one norm, that of both
    (APART, -1, -1),  # each by its own norm
    (BOTH, -1, 0),  # frozen before
    (CLIP.replace("scale=10.0", "scale=0.0"), -3 / 5, 0),  # frozen afterwards
]


@pytest.mark.parametrize(("tx", "cell", "carry"), UPDATES)
def test_an_update_is_what_came_through_the_clip(tx, cell, carry):
    names = {"optax": optax, "carry_learning_rate": carry_learning_rate}
    tx = eval(tx.replace("optax.adamw(1e-3)", "optax.sgd(1.0)"), names)
    gradients = {"cell": jnp.asarray(3.0), "initial_carry": jnp.asarray(4.0)}
    updates, _ = tx.update(gradients, tx.init(gradients), gradients)
    assert_near([updates["cell"], updates["initial_carry"]], [cell, carry], 1e-6)


#: Runs the recipe on four devices, as it is and without the line.
ON_DEVICES = """
import os

import numpy as np
from trigru.common.port.hlo import collectives_of

assert jax.device_count() == 4
alone = jax.tree.map(np.asarray, (params, x, targets))
expected = jax.value_and_grad(loss_of)(*alone)
for got, want in zip(jax.tree.leaves(gradient(params, x, targets)), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
exchanges = [collectives_of(train_step.lower(params, opt_state, x, targets).compile().as_text())]
exec(os.environ["WITHOUT"])
exchanges += [collectives_of(train_step.lower(params, opt_state, x, targets).compile().as_text())]
print([{(c.kind, c.runs, c.in_loop) for c in of} for of in exchanges])
"""
LINE = '    params = jax.lax.pcast(params, "data", to="varying")\n'


def test_devices_exchange_after_the_loop_and_the_gradient_is_that_of_one(devices):
    code = devices.program.code
    assert code.count(LINE) == 1
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
    }
    env, command = (
        os.environ | flags | {"WITHOUT": code.replace(LINE, "")},
        [sys.executable, "-c", code + ON_DEVICES],
    )
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    found, without = eval(done.stdout)
    assert found == {("all-reduce", 1, False)}
    assert ("all-reduce", 20, True) in without
    last, _ = devices.names["gradient"](devices.params, devices.x, devices.targets)
    assert last < devices.loss, "it trains on one device as well"


# Reinforcement learning ---------------------------------------------------------------


def test_the_agent_learns_with_every_seed_apart(agent):
    """Of two cues, chance names one in two."""
    assert agent.rewards.shape == (2, agent.UPDATES)
    assert (abs(agent.rewards[:, 0] - 0.5) < 0.15).all()
    assert (agent.rewards[:, -5:].mean(axis=1) > 0.95).all()
    assert (agent.rewards[0] != agent.rewards[1]).any()
    pairs = zip(*map(jax.tree.leaves, agent.drawn), strict=True)
    assert all(bool((a != b).any()) for a, b in pairs if a.any())
    before, after = (
        [
            array
            for name, array in flatten(tree).items()
            if name.endswith("initial_carry")
        ]
        for tree in (agent.params, agent.trained)
    )
    assert not before[0].any()
    assert after[0].all()


def test_training_runs_the_steps_of_the_rollout_again(agent):
    """As a chunk from the stored carry, with the rollout's resets: the same values, and
    so the same probabilities.
    """
    carry = jax.random.normal(jax.random.key(6), (agent.ENVIRONMENTS, agent.UNITS))
    state = (
        agent.new_episodes(jax.random.key(5)),
        carry,
        jnp.ones(agent.ENVIRONMENTS, bool),
    )
    params = jax.tree.map(lambda a: a[0], agent.params)  # of the first seed
    for _ in range(2):  # the second starts within episodes
        _, carry, _ = state
        state, seen = jax.jit(agent.rollout)(params, state, jax.random.key(7))
        _, logits, value = agent.run(params, seen["x"], carry, seen["reset"])
        assert_near(value, seen["value"], 1e-5)
        assert_near(agent.log_prob_of(logits, seen["action"]), seen["log_prob"], 1e-5)
        assert seen["reset"].any()
        assert_bits(
            seen["reset"][:, 1:],
            np.asarray(seen["done"][:, :-1]),
            "an episode starts after one has ended",
        )
        assert_bits(
            state[2], np.asarray(seen["done"][:, -1]), "also in the next rollout"
        )
    assert not seen["reset"][:, 0].all()


def test_advantages_are_those_of_the_definition(agent, rng):
    """The sum of a step's error and, within the episode, of the later ones, each
    discounted once more.
    """
    T, B = 5, 2
    reward, value = rng.normal(size=(2, T, B)).astype("f4")
    done, last = rng.random((T, B)) < 0.4, rng.normal(size=B).astype("f4")
    seen = {
        "reward": jnp.asarray(reward),
        "value": jnp.asarray(value),
        "done": jnp.asarray(done),
    }
    error = (
        reward
        + agent.DISCOUNT * np.concatenate([value[1:], last[None]]) * ~done
        - value
    )
    expected = np.zeros((T, B))
    for t in range(T):
        for k in range(t, T):
            within = ~done[t:k].any(axis=0)
            expected[t] += within * (agent.DISCOUNT * agent.TRACE) ** (k - t) * error[k]
    assert_near(agent.advantages(seen, jnp.asarray(last)), expected, 1e-5)


def start_gradient(recipe, row):
    """The initial state's gradient of the recipe's loss on one of its sequences."""
    arrays = [
        array[row : row + 1] for array in (recipe.x, recipe.stored, recipe.resets)
    ]
    return recipe.starts(lambda model: recipe.loss_of(model.whole, *arrays))[""]


def test_the_trained_steps_follow_from_the_burn_in_which_no_gradient_reaches(burn_in):
    """A reset after the burn-in alone sends the start a gradient."""
    assert [bool(start_gradient(burn_in, row).any()) for row in (0, 1)] == [False, True]
    gru, burn, x, resets = burn_in.bound(), burn_in.BURN_IN, burn_in.x, burn_in.resets
    _, outputs = burn_in.gru()(x, burn_in.stored, resets=resets)
    assert_near(burn_in.loss, (outputs[:, burn:] ** 2).mean(), 1e-6)
    state, _ = gru(x[:, :burn], burn_in.stored, resets=resets[:, :burn])
    found = flatten(burn_in.grads)
    expected = burn_in.gradients(
        lambda model: (
            model(x[:, burn:], state, resets=resets[:, burn:])[1] ** 2
        ).mean()
    )
    assert_each_near(found, expected, 1e-5)


def test_cut_where_no_episode_has_started_the_start_learns_from_both(burn_in):
    page = (FOLDER / "reinforcement.md").read_text(encoding="utf-8")
    (cut,) = re.findall(r"`(jnp\.where\(.*stop_gradient.*)`\.", page)
    mended, burn = (
        burn_in.edited("carry = jax.lax.stop_gradient(carry)", f"carry = {cut}"),
        burn_in.BURN_IN,
    )
    assert_near(mended.loss, burn_in.loss, 1e-6)

    def uncut(model):
        return (
            model(burn_in.x[:1], burn_in.stored[:1], resets=burn_in.resets[:1])[1][
                :, burn:
            ]
            ** 2
        ).mean()

    assert start_gradient(mended, 0).all()
    assert_near(start_gradient(mended, 0), burn_in.starts(uncut)[""], 1e-5)
