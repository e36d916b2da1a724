"""The ways in which programs of each framework make and call its GRU: all give what the port's own calls give."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.cases import assert_near
from trigru.common.gru import initializers
from trigru.impls import equinox, get_port, linen, pure
from trigru.impls import nnx as nnx_port

KEY = jax.random.key(0)
D = 4
H = 8
BOUND = 1e-5  # in float32
start_at_random = jax.nn.initializers.normal(1.0)


class Call(NamedTuple):
    """The arguments of a call on a batch."""

    x: jax.Array
    carry: jax.Array
    lengths: jax.Array
    resets: jax.Array

    @property
    def arrays(self):
        """Those that come after x, by name."""
        return {"carry": self.carry, "lengths": self.lengths, "resets": self.resets}


@pytest.fixture
def call(rng):
    return Call(
        x=jnp.asarray(rng.normal(size=(3, 5, D)), "float32"),
        carry=jnp.asarray(rng.normal(size=(3, H)), "float32"),
        lengths=jnp.array([0, 3, 5]),
        resets=jnp.asarray(rng.random((3, 5)) < 0.3),
    )


def made(name):
    """A model of a port, whose start is drawn."""
    construct = get_port(name).model_class.construct
    return construct(KEY, D, H, carry_init=start_at_random)


def assert_results_near(results, expected):
    """Carry and outputs are equal but for rounding."""
    for result, wanted in zip(results, expected, strict=True):
        assert_near(result, wanted, BOUND)


def assert_draws_near(tree, expected):
    """Two trees of parameters have one structure, and are equal but for rounding."""
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    assert_results_near(jax.tree.leaves(tree), jax.tree.leaves(expected))


def second(tree):
    """The second of a batch of models or results."""
    return jax.tree.map(lambda array: array[1], tree)


# Plain JAX and all ports ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pure", "nnx", "equinox"])
def test_an_ensemble_of_models_that_a_vmap_makes_is_each_of_them(call, name):
    vmap = {"pure": jax.vmap, "nnx": nnx.vmap, "equinox": eqx.filter_vmap}[name]
    port = get_port(name)
    keys = jax.random.split(KEY, 2)

    def make(key):
        return port.model_class.construct(key, D, H, carry_init=start_at_random)

    def run(model):
        return port.apply(model, call.x, **call.arrays)

    results = vmap(run)(vmap(make)(keys))
    assert_results_near(second(results), run(make(keys[1])))


def test_plain_jaxs_function_needs_no_model(call):
    model = made("pure")
    results = pure.gru(model.params, call.x, **call.arrays)
    assert_results_near(results, model(call.x, **call.arrays))


# Linen ----------------------------------------------------------------------------------------------------------------


class ParentModule(nn.Module):
    """A module that makes a GRU where it calls it."""

    @nn.compact
    def __call__(self, x, **arrays):
        return linen.GRU(H, carry_init=start_at_random)(x, **arrays)


GRU = linen.GRU(H, carry_init=start_at_random)


def variables_of(module, call):
    return module.init(KEY, call.x)


def test_linen_draws_the_same_parameters_by_a_step_and_with_all_arguments(call):
    expected = variables_of(GRU, call)
    by_step = GRU.init(KEY, call.x[:, 0], method="step")
    assert_draws_near(by_step, expected)
    by_all = GRU.init(KEY, call.x, **call.arrays, reverse=True)
    assert_draws_near(by_all, expected)


def test_linen_may_draw_its_parameters_in_the_call(call):
    expected = GRU.apply(variables_of(GRU, call), call.x, **call.arrays)
    results, _ = GRU.init_with_output(KEY, call.x, **call.arrays)
    assert_results_near(results, expected)
    lazily = partial(GRU.apply, {}, rngs={"params": KEY}, mutable=["params"])
    results, _ = lazily(call.x, **call.arrays)
    assert_results_near(results, expected)


def test_a_bound_linen_module_is_called_as_it_is(call):
    variables = variables_of(GRU, call)
    expected = GRU.apply(variables, call.x, **call.arrays)
    assert_results_near(GRU.bind(variables)(call.x, **call.arrays), expected)


def test_a_linen_module_is_nested_in_a_compact_one(call):
    parent = ParentModule()
    variables = variables_of(parent, call)
    results = parent.apply(variables, call.x, **call.arrays)
    own = {"params": variables["params"]["GRU_0"]}
    assert_results_near(results, GRU.apply(own, call.x, **call.arrays))


def test_linens_parameters_may_stand_in_boxes(call):
    matrix = (None, "model")
    boxed = linen.GRU(
        H,
        carry_init=nn.with_partitioning(start_at_random, ("model",)),
        kernel_init=nn.with_partitioning(nn.initializers.lecun_normal(), matrix),
        recurrent_kernel_init=nn.with_partitioning(initializers.orthogonal, matrix),
        bias_init=nn.with_partitioning(nn.initializers.zeros, ("model",)),
    )
    variables = variables_of(boxed, call)
    expected = variables_of(GRU, call)
    assert_draws_near(nn.meta.unbox(variables), expected)
    results = boxed.apply(variables, call.x, **call.arrays)
    assert_results_near(results, GRU.apply(expected, call.x, **call.arrays))


@pytest.mark.parametrize("lift", [nn.jit, nn.remat])
@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_a_linen_module_is_lifted(call, lift, kernel):
    options = {"carry_init": start_at_random, "kernel": kernel}
    lifted = lift(linen.GRU)(H, **options)
    expected = variables_of(linen.GRU(H, **options), call)
    if lift is nn.remat:
        assert_draws_near(variables_of(lifted, call), expected)
    results = lifted.apply(expected, call.x, **call.arrays)
    assert_results_near(results, GRU.apply(expected, call.x, **call.arrays))


def test_an_ensemble_by_linens_vmap_is_each_of_its_models(call):
    lift = partial(nn.vmap, variable_axes={"params": 0}, split_rngs={"params": True})
    ensemble = lift(linen.GRU, in_axes=None, axis_size=2)(H)  # pyright: ignore[reportCallIssue]
    variables = variables_of(ensemble, call)
    results = ensemble.apply(variables, call.x)
    expected = linen.GRU(H).apply(second(variables), call.x)
    assert_results_near(second(results), expected)


# NNX ------------------------------------------------------------------------------------------------------------------


def test_nnx_takes_one_stream_of_random_numbers(call):
    model = nnx_port.GRU(D, H, carry_init=start_at_random, rngs=nnx.Rngs(0))
    carry, outputs = model(call.x, **call.arrays)
    assert carry.shape == (3, H)
    assert outputs.shape == (3, 5, H)


def test_an_nnx_model_is_made_in_jit():
    expected = nnx.state(made("nnx"))
    assert_draws_near(nnx.state(nnx.jit(made, static_argnums=0)("nnx")), expected)


def test_the_start_of_an_nnx_model_may_have_a_tag(call):
    boxed = nnx.with_metadata(start_at_random, mine="a tag")
    model = get_port("nnx").model_class.construct(KEY, D, H, carry_init=boxed)
    assert_results_near(model(call.x), made("nnx")(call.x))


def test_an_nnx_model_is_split_and_merged(call):
    model = made("nnx")
    merged = nnx.merge(*nnx.split(model))
    expected = model(call.x, **call.arrays)
    assert_results_near(merged(call.x, **call.arrays), expected)


def test_an_nnx_model_is_closed_over_by_a_loop(call):
    model = made("nnx")

    def run(arrays):
        return model(**arrays)

    results = jax.lax.map(run, {"x": call.x, **call.arrays})
    assert_results_near(results, model(call.x, **call.arrays))


@pytest.mark.parametrize(
    "flags", [{}, {"reverse": True}, {"time_major": True}], ids=str
)
def test_the_cell_of_nnx_runs_in_its_rnn(call, flags):
    model = made("nnx")
    rnn = nnx.RNN(model.cell, return_carry=True, keep_order=True, rngs=False)
    x = call.x.swapaxes(0, 1) if flags.get("time_major") else call.x

    results = rnn(x, initial_carry=call.carry, **flags)
    assert_results_near(results, model(x, call.carry, **flags))

    zeros = jnp.zeros((3, H))
    assert_results_near(rnn(x, **flags), model(x, zeros, **flags))


def test_the_cell_of_nnx_draws_a_start_by_each_kind_of_random_stream():
    cell = made("nnx").cell
    rngs = nnx.Rngs(carry=KEY)
    ones = partial(cell.initialize_carry, (3, D), carry_init=nnx.initializers.ones)
    for stream in (rngs, rngs.carry):
        np.testing.assert_array_equal(ones(stream), np.ones((3, H)))
    with pytest.raises(ValueError, match="Pass rngs"):
        ones()
    np.testing.assert_array_equal(cell.initialize_carry((3, D)), np.zeros((3, H)))


def test_an_nnx_model_without_a_learned_start_can_be_given_one(call):
    model = nnx_port.GRU(D, H, None, rngs=nnx.Rngs(0))
    start = jnp.linspace(-0.5, 0.5, H)
    model.initial_carry = nnx.Param(start)

    assert len(jax.tree.leaves(nnx.state(model, nnx.Param))) == 5
    carry = jnp.broadcast_to(start, (3, H))
    assert_results_near(model(call.x), model(call.x, carry))


@pytest.mark.usefixtures("unchecked")
def test_nnx_takes_variables_as_arguments(call):
    model = made("nnx")
    variables = {}
    for name, array in {"x": call.x, **call.arrays}.items():
        variables[name] = nnx.Variable(array)
    assert_results_near(model(**variables), model(call.x, **call.arrays))


# Equinox --------------------------------------------------------------------------------------------------------------


def test_an_equinox_model_takes_one_example(call):
    model = made("equinox")
    arrays = {name: array[1] for name, array in call.arrays.items()}
    expected = get_port("equinox").apply(model, call.x, **call.arrays)
    assert_results_near(model(call.x[1], **arrays), second(expected))


@pytest.mark.parametrize("reverse", [False, True])
def test_an_equinox_model_is_batched_by_its_own_vmap(call, reverse):
    model = made("equinox")

    def run(x, arrays):
        return model(x, **arrays, reverse=reverse)

    results = eqx.filter_vmap(run)(call.x, call.arrays)
    port = get_port("equinox")
    expected = port.apply(model, call.x, **call.arrays, reverse=reverse)
    assert_results_near(results, expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_an_equinox_model_runs_over_a_time_major_batch(call, reverse):
    model = made("equinox")
    arrays = {**call.arrays, "resets": call.resets.T}
    x = call.x.swapaxes(0, 1)
    carry, outputs = equinox.time_major(model, x, **arrays, reverse=reverse)
    port = get_port("equinox")
    expected = port.apply(model, call.x, **call.arrays, reverse=reverse)
    assert_results_near((carry, outputs.swapaxes(0, 1)), expected)


def test_an_equinox_model_is_made_in_filter_jit():
    assert_draws_near(eqx.filter_jit(made)("equinox"), made("equinox"))
