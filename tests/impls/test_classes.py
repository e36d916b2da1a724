"""The classes that users copy, as their users call them."""

import inspect

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from support.cases import Case
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.equality.bounds import relative_error
from trigru.common.parameters.record import GRUParams
from trigru.impls import equinox, linen, pure
from trigru.impls import nnx as nnx_port

from ..support.arrays import assert_near

X = jax.random.normal(jax.random.key(1), (2, 5, 4))


@pytest.mark.parametrize("name", ["hn_bias", "bias_hn"])
def test_nnx_has_one_b_hn_also_in_a_flax_that_brings_its_own(name, monkeypatch):
    original = nnx.GRUCell.__init__

    def fixed(self, in_features, hidden_features, **options):
        original(self, in_features, hidden_features, **options)
        setattr(self, name, nnx.Param(jnp.ones((hidden_features,))))

    monkeypatch.setattr(nnx.GRUCell, "__init__", fixed)
    model = nnx_port.GRU(4, 8, rngs=nnx.Rngs(0))
    shapes = [p.shape for p in jax.tree.leaves(nnx.state(model, nnx.Param))]
    assert sorted(shapes) == [(4, 24), (8,), (8,), (8, 24), (24,)]
    assert not model.cell.hn_bias[...].any()
    model(X)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("batch", [(4,), (4, 4)], ids=str)
def test_equinox_runs_time_major_where_no_axis_can_be_told_by_its_length(batch, reverse, rng):
    params = Case.random(1, 1, 4, 4).astype("float32").params.gru
    model = equinox.PORT.load(GRUConfig(4, 4), params)
    x, carry = rng.normal(size=(4, *batch, 4)).astype("f4"), rng.normal(size=(*batch, 4)).astype("f4")
    masks = {"resets": rng.random((4, *batch)) < 0.4, "lengths": rng.integers(0, 5, batch).astype("i4")}
    want = oracle.forward(params, x, carry, **masks, reverse=reverse, time_major=True)
    masks = jax.tree.map(jnp.asarray, masks)
    found = equinox.time_major(model, jnp.asarray(x), jnp.asarray(carry), **masks, reverse=reverse)
    assert_near(found[0], want.carry, 2e-6)
    assert_near(found[1], want.outputs, 2e-6)


def test_flaxs_cells_sum_the_gradients_of_half_precision_parameters_in_half_precision():
    """As docs/equality.md says; over 256 steps that shows."""
    case = Case.random(3, 256, 5, 6).astype("float32")
    stored = case.astype("bfloat16").params.gru
    wide, x = GRUParams(*(p.astype("float64") for p in stored)), case.x.astype("float64")
    tape = oracle.forward(wide, x)
    exact = oracle.backward(wide, tape, case.targets.astype("float64")).params.weight_hh
    config = GRUConfig(5, 6, dtype="float32", param_dtype="bfloat16")

    def error(port):
        def total(model):
            return jnp.sum(port.apply(model, jnp.asarray(case.x))[1] * case.targets)

        _, (gradient,) = port.value_and_grad(total)(port.load(config, stored))
        return relative_error(port.dump(gradient).weight_hh, exact)

    errors = {port.name: error(port) for port in (linen.PORT, nnx_port.PORT, equinox.PORT, pure.PORT)}
    assert max(errors["equinox"], errors["pure"]) < 0.005
    assert min(errors["linen"], errors["nnx"]) > 0.01


PLACES = {
    linen.GRU: ("features", "carry_init", "dtype", "param_dtype", "unroll", "remat", "kernel"),
    linen.Classifier: ("gru", "classes"),
    nnx_port.GRU: ("in_features", "hidden_features", "carry_init"),
    nnx_port.Classifier: ("gru", "classes"),
    equinox.GRU: ("input_size", "hidden_size", "carry_init"),
    equinox.Classifier: ("gru", "classes"),
}


@pytest.mark.parametrize("model", PLACES, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_what_is_passed_by_its_place_keeps_it(model):
    parameters = inspect.signature(model.__init__).parameters.values()
    by_place = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    assert by_place[1 : 1 + len(PLACES[model])] == PLACES[model]


def test_plain_jax_rounds_no_weights_to_the_dtype_of_the_start():
    params = pure.init(4, 8, key=jax.random.key(0))
    params = params._replace(initial_carry=params.initial_carry.astype("bfloat16"))
    assert pure.gru(params, X.astype("bfloat16"))[1].dtype == pure.get_initial_carry(params).dtype == jnp.float32
