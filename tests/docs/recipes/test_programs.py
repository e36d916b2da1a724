"""Whole programs: training on real sequences, parameters in files, an exported model, the fused kernel, devices."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import export
from support.arrays import assert_near, same_bits
from support.recipes import ROOT, recipe_fixture
from trigru.common import GRUParams
from trigru.common.parameters.layouts import flatten
from trigru.impls import get_port, pure

training, saving, exporting, devices = map(recipe_fixture, ("training.md", "saving.md", "exporting.md", "devices.md"))
loading, own_class = map(recipe_fixture, ("fused.md#Load parameters into it", "fused.md#In a class of your own"))


def test_training_learns_and_is_tested_on_other_utterances(training):
    """Of nine speakers, chance names one in nine."""
    assert training.accuracy > 0.9
    assert training.loss_of(training.bound().whole, *training.train) < 0.3
    assert (len(training.train.labels), len(training.test.labels)) == (270, 370)
    logits = training(training.test.inputs, training.test.lengths)
    assert_near(training.accuracy, (logits.argmax(axis=-1) == training.test.labels).mean(), 1e-6)
    (start,) = [array for name, array in training.flat.items() if name.endswith("initial_carry")]
    assert start.all(), "it started as zeros"


def test_the_last_valid_frame_is_read_and_the_padding_is_not(training):
    x, lengths = training.test.inputs[:5], training.test.lengths[:5]
    steps = jnp.arange(x.shape[1])[None]
    past, last = steps >= lengths[:, None], steps == lengths[:, None] - 1
    assert past.any()
    assert_near(training(jnp.where(past[..., None], 7.0, x), lengths), training(x, lengths), 1e-6)
    assert (training(jnp.where(last[..., None], 7.0, x), lengths) != training(x, lengths)).all()


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


def test_the_parameters_are_loaded_bit_for_bit(loading):
    port = get_port(loading.framework)
    expected = port.layout.record(loading.flat)
    assert expected.initial_carry.any()
    assert same_bits(loading.canonical, expected)
    assert same_bits(port.dump(loading.opened), expected)
    if loading.framework == "equinox":
        moved = jax.tree.unflatten(jax.tree.structure(loading.like), jax.tree.leaves(loading.stock))
        assert moved.kernel == "fused"
        assert all(map(jnp.array_equal, flatten(moved).values(), loading.flat.values()))


def test_loaded_parameters_run_on_the_fused_kernel_as_on_the_stock_one(loading):
    """The fused kernel is the one whose derivative is its own."""
    written = {"linen": ('GRU(features=8, kernel="fused")', "stock")}
    stock = loading.edited(*written.get(loading.framework, ('GRU(4, 8, kernel="fused", ', "GRU(4, 8, ")))
    assert_near(loading.outputs, stock.outputs, 1e-6)
    found, expected = (
        recipe.gradients(lambda model: ((model(loading.x)[1] - 1) ** 2).mean()) for recipe in (loading, stock)
    )
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert_near(found[name], gradient, 1e-5, name)
    port = get_port(loading.framework)
    for run, fused in ((loading, True), (lambda x: port.apply(loading.opened, x), True), (stock, False)):
        assert ("name=_loop" in str(jax.make_jaxpr(run)(loading.x))) == fused


@pytest.mark.parametrize("carry", [None, jax.random.normal(jax.random.key(4), (2, 8))], ids=["", "carry"])
def test_a_class_of_ones_own_has_the_values_and_gradients_of_plain_jax(own_class, carry):
    """With parameters none of which is zero, and with those of the recipe."""
    x, names = own_class.x, pure.Params._fields
    keys = dict(zip(own_class.flat, jax.random.split(jax.random.key(3), len(names)), strict=True))
    flat = {name: 0.5 * jax.random.normal(keys[name], array.shape) for name, array in own_class.flat.items()}
    tree = jax.tree.unflatten(jax.tree.structure(own_class.tree), flat.values())

    def loss(tree):
        return ((own_class.bound(tree)(x, carry)[1] - 1) ** 2).mean()

    def expected(params):
        return ((pure.gru(params, x, carry)[1] - 1) ** 2).mean()

    found = dict(zip(flat, jax.tree.leaves(jax.grad(loss)(tree)), strict=True))
    for name, gradient in jax.grad(expected)(pure.Params(**{name: flat[name] for name in names}))._asdict().items():
        assert_near(found[name], gradient, 1e-5, name)
        assert jnp.any(gradient) == (name != "initial_carry" or carry is None)
    own = pure.gru(pure.Params(**{name: own_class.flat[name] for name in names}), x)
    for array, of_pure in zip((own_class.carry, own_class.outputs), own, strict=True):
        assert_near(array, of_pure, 1e-6)


EXCHANGES = """
from trigru.common.port.collectives import collectives_of

assert jax.device_count() == 4
lowered = train_step.lower(params, opt_state, x, targets)
for c in collectives_of(lowered.compile().as_text()):
    print(c.kind, c.runs, c.in_loop)
"""
ALONE = """
import numpy as np

alone = jax.tree.map(np.asarray, (params, x, targets))
expected = jax.value_and_grad(loss_of)(*alone)
for got, want in zip(jax.tree.leaves(gradient(params, x, targets)), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
"""
LINE = '    params = jax.lax.pcast(params, "data", to="varying")\n'


def on_four_devices(code):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return [line.split() for line in done.stdout.splitlines()]


def test_devices_exchange_after_the_loop_and_the_gradient_is_that_of_one(devices):
    code = devices.program.code
    found = on_four_devices(code + EXCHANGES + ALONE)
    assert found
    assert all(line == ["all-reduce", "1", "False"] for line in found)
    assert code.count(LINE) == 1
    assert ["all-reduce", "20", "True"] in on_four_devices(code.replace(LINE, "") + EXCHANGES), "without the line"
    last, _ = devices.names["gradient"](devices.params, devices.x, devices.targets)
    assert last < devices.loss, "it trains on one device as well"
