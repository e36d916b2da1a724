"""Whole programs: training, by rates and on devices too; parameters in files; an exported model; the fused kernel."""

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from jax import export
from support.arrays import assert_each_near, assert_near, same_bits
from support.recipes import FOLDER, ROOT, recipe_fixture
from trigru.common import GRUParams, carry_learning_rate
from trigru.common.parameters.layouts import flatten
from trigru.impls import get_port, pure

training, saving, exporting, devices = map(recipe_fixture, ("training.md", "saving.md", "exporting.md", "devices.md"))
rate = recipe_fixture("learning-rate.md")
loading, own_class = map(recipe_fixture, ("fused.md#Load parameters into it", "fused.md#In a class of your own"))


def test_training_learns_and_is_tested_on_other_utterances_up_to_their_last_frame(training):
    """Of nine speakers, chance names one in nine."""
    assert training.accuracy > 0.9
    assert training.loss_of(training.bound().whole, *training.train) < 0.3
    assert (len(training.train.labels), len(training.test.labels)) == (270, 370)
    logits = training(training.test.inputs, training.test.lengths)
    assert_near(training.accuracy, (logits.argmax(axis=-1) == training.test.labels).mean(), 1e-6)
    (start,) = [array for name, array in training.flat.items() if name.endswith("initial_carry")]
    assert start.all(), "it started as zeros"
    x, lengths = training.test.inputs[:5], training.test.lengths[:5]
    steps = jnp.arange(x.shape[1])[None]
    past, last = steps >= lengths[:, None], steps == lengths[:, None] - 1
    assert past.any()
    assert_near(training(jnp.where(past[..., None], 7.0, x), lengths), training(x, lengths), 1e-6)
    assert (training(jnp.where(last[..., None], 7.0, x), lengths) != training(x, lengths)).all(), "it is read"


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
        assert "name=_loop" in str(jax.make_jaxpr(run)(loading.x)), "the scan that has its own derivative"
    if loading.framework == "equinox":
        moved = jax.tree.unflatten(jax.tree.structure(loading.like), jax.tree.leaves(loading.stock))
        assert moved.kernel == "fused"
        assert all(map(jnp.array_equal, flatten(moved).values(), loading.flat.values()))


@pytest.mark.parametrize("carry", [None, jax.random.normal(jax.random.key(4), (2, 8))], ids=["", "carry"])
def test_a_class_of_ones_own_has_the_values_and_gradients_of_plain_jax(own_class, carry):
    """With parameters none of which is zero, and with those of the recipe."""
    x, names = own_class.x, pure.Params._fields
    keys = jax.random.split(jax.random.key(3), len(names))
    drawn = [jax.random.normal(key, array.shape) for key, array in zip(keys, own_class.flat.values(), strict=True)]
    tree = jax.tree.unflatten(jax.tree.structure(own_class.tree), drawn)
    found = jax.grad(lambda tree: ((own_class.bound(tree)(x, carry)[1] - 1) ** 2).mean())(tree)
    params = pure.Params(**dict(zip(own_class.flat, drawn, strict=True)))
    expected = jax.grad(lambda params: ((pure.gru(params, x, carry)[1] - 1) ** 2).mean())(params)._asdict()
    assert_each_near(flatten(found), expected, 1e-5)
    assert jnp.any(expected["initial_carry"]) == (carry is None)
    own = pure.gru(pure.Params(**{name: own_class.flat[name] for name in names}), x)
    for array, of_pure in zip((own_class.carry, own_class.outputs), own, strict=True):
        assert_near(array, of_pure, 1e-6)


PAGE = (FOLDER / "learning-rate.md").read_text(encoding="utf-8")
FREEZE, LENGTH, CLIP, BOTH = re.findall(r"^\| [\w ,=]+ \| `(.+\))` \|$", PAGE, re.MULTILINE)
#: A weight in each framework.
WEIGHTS = {"linen": "cell.hn.kernel", "nnx": "cell.dense_h.kernel", "equinox": "cell.weight_hh"}


def test_the_tab_moves_the_state_ten_times_as_far(rate):
    before = rate.edited("\n\n\ntrain_step(model, optimizer, x)\n", "\n") if rate.framework == "nnx" else rate
    grads = before.gradient(lambda model: (model(rate.x)[1] ** 2).mean())
    updates = flatten(rate.tx.update(grads, rate.tx.init(before.tree), before.tree)[0])
    assert_near(jnp.median(abs(updates["initial_carry"])), 1e-2, 0.01)
    assert_near(jnp.median(abs(updates[WEIGHTS[rate.framework]])), 1e-3, 0.01)
    after = flatten(nnx.state(rate.model) if rate.framework == "nnx" else rate.trained)
    assert_each_near(after, {name: array + updates[name] for name, array in before.flat.items()}, 1e-5)


SGD = "optax.sgd(1.0)"
APART = "carry_learning_rate(optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)))"


@pytest.mark.parametrize(
    ("tx", "cell", "carry"),
    [
        (FREEZE, -3, 0),
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


#: Runs the recipe on four devices, as it is and without the line.
ON_DEVICES = """
import os

import numpy as np
from trigru.common.port.programs import collectives_of

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
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    env, command = os.environ | flags | {"WITHOUT": code.replace(LINE, "")}, [sys.executable, "-c", code + ON_DEVICES]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    found, without = eval(done.stdout)
    assert found == {("all-reduce", 1, False)}
    assert ("all-reduce", 20, True) in without
    last, _ = devices.names["gradient"](devices.params, devices.x, devices.targets)
    assert last < devices.loss, "it trains on one device as well"
