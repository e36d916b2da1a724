"""The initial carry's own learning rate: what it does to each parameter, in every tree that a port's user has."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError
from trigru.common.gru.optimizers import carry_learning_rate
from trigru.common.parameters.record import random_params
from trigru.impls import get_port

CONFIG = GRUConfig(3, 4)
RATE = 0.5


OWN = {"carry": optax.sgd(2 * RATE)}


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({}, 1),
        ({"scale": 3.0}, 3),
        ({"length": 5}, 5),
        ({"scale": 0.0}, 0),
        (OWN, 2),
        (OWN | {"scale": 3.0}, 6),
        (OWN | {"length": 5}, 10),
    ],
)
def test_the_rate_is_multiplied(options, factor):
    gradient = {"initial_carry": jnp.array([1.0, -2.0]), "cell": jnp.array([3.0, 4.0])}
    tx = carry_learning_rate(optax.sgd(RATE), **options)
    updates, _ = tx.update(gradient, tx.init(gradient), gradient)
    np.testing.assert_allclose(updates["initial_carry"], -RATE * factor * gradient["initial_carry"], rtol=1e-6)
    np.testing.assert_allclose(updates["cell"], -RATE * gradient["cell"], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "tree", "moves"),
    [
        ("initial_carry", {"a": {"initial_carry": 1.0, "cell": 1.0}, "b": {"initial_carry": 1.0}}, [-1, -2, -2]),
        ("h0", {"h0": 1.0, "w": 1.0}, [-2, -1]),
        ("initial_carry", {"initial_carry": 1.0}, [-2]),
        ("initial_carry", {"initial_carry": {"w": 1.0, "initial_carry": 1.0}, "initial_carry_proj": 1.0}, [-2, -1, -1]),
    ],
    ids=["layers", "another name", "alone", "a module of that name"],
)
def test_it_is_found_by_its_name_wherever_it_is(name, tree, moves):
    tree = jax.tree.map(jnp.asarray, tree)
    tx = carry_learning_rate(optax.sgd(1.0), scale=2.0, name=name)
    updates, _ = tx.update(tree, tx.init(tree), tree)
    assert jax.tree.leaves(updates) == moves


def test_a_frozen_carry_has_no_optimiser_state():
    tree = {"initial_carry": jnp.ones(3), "cell": jnp.ones(2)}
    state = carry_learning_rate(optax.adam(1e-3), scale=0.0).init(tree)
    assert all(leaf.shape != (3,) for leaf in jax.tree.leaves(state))


def test_trees_as_users_pass_them():
    """`nnx.Optimizer` on the module, NNX's state, and Equinox's filtered and partitioned modules."""
    tx = carry_learning_rate(optax.sgd(1.0), scale=0.0)
    params = random_params(CONFIG, 2)
    model = get_port("nnx").load(CONFIG, params)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    np.testing.assert_array_equal(model.initial_carry[...], params.initial_carry)
    np.testing.assert_allclose(model.cell.hn_bias[...], params.bias_n - 1, rtol=1e-6)
    module = get_port("equinox").load(CONFIG, params)
    for tree in (nnx.state(model, nnx.Param), eqx.filter(module, eqx.is_array), eqx.partition(module, eqx.is_array)[0]):
        updates, _ = tx.update(tree, tx.init(tree), tree)
        moves = [bool(jnp.any(leaf)) for leaf in jax.tree.leaves(updates)]
        assert moves.count(False) == 1


def test_an_array_in_a_box_is_found_and_a_module_of_that_name_is_not():
    """A partitioned linen parameter, and NNX and Equinox modules that are called `initial_carry`."""
    tx = carry_learning_rate(optax.sgd(1.0), scale=2.0)

    class Nested(nnx.Module):
        def __init__(self):
            self.initial_carry = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
            self.inner = nnx.Dict(initial_carry=nnx.Param(jnp.ones(3)))

    class Module(eqx.Module):
        initial_carry: eqx.nn.Linear
        inner: dict

    module = Module(eqx.nn.Linear(2, 3, key=jax.random.key(0)), {"initial_carry": jnp.ones(3)})
    boxed = {"initial_carry": nn.Partitioned(jnp.ones(3), ("units",)), "w": jnp.ones(2)}
    for tree, others in ((nnx.state(Nested()), 2), (eqx.filter(module, eqx.is_array), 2), (boxed, 1)):
        ones = jax.tree.map(jnp.ones_like, tree)
        updates, _ = tx.update(ones, tx.init(tree), tree)
        moves = [leaf.ravel()[0] for leaf in jax.tree.leaves(updates)]
        assert sorted(moves) == [-2] + [-1] * others


def test_a_tree_without_names_is_refused():
    with pytest.raises(InputError, match=r"no path of a parameter ends in 'initial_carry': \[0\], \[1\]"):
        carry_learning_rate(optax.sgd(1.0), scale=0.0).init([jnp.ones(2), jnp.ones(2)])


def test_a_schedule_of_its_own():
    own = optax.sgd(optax.piecewise_constant_schedule(1.0, {1: 0.5}))
    tree = {"initial_carry": jnp.ones(2), "cell": jnp.ones(2)}
    tx = carry_learning_rate(optax.sgd(1.0), carry=own)
    _, state = tx.update(tree, tx.init(tree), tree)
    updates, _ = tx.update(tree, state, tree)
    np.testing.assert_array_equal(updates["initial_carry"], -0.5)
    np.testing.assert_array_equal(updates["cell"], -1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_scale_may_be_traced_and_keeps_the_dtype_of_the_updates(dtype):
    tree = {"initial_carry": jnp.ones(2, dtype), "cell": jnp.ones(2, dtype)}

    def moved(scale):
        tx = carry_learning_rate(optax.sgd(1.0), scale=scale, length=3)
        updates, _ = tx.update(tree, tx.init(tree), tree)
        return updates

    scales = jnp.array([0.0, 0.5, 2.0])
    for found in (jax.vmap(moved)(scales), jax.jit(jax.vmap(moved))(scales)):
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(found)} == {dtype}
        np.testing.assert_array_equal(found["initial_carry"][:, 0].astype("f4"), -3 * scales)
        np.testing.assert_array_equal(found["cell"].astype("f4"), -1)
    slope = jax.grad(lambda scale: moved(scale)["initial_carry"].sum().astype("f4"))(2.0)
    assert slope == -6


FROZEN = "scale is 0, which freezes: carry= and length= would have no effect"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"scale": scale}, "scale is .*, expected a Python number from 0 to 1e\\+30, or a floating-point JAX scalar")
          for scale in (-1.0, float("nan"), float("inf"), True, "fast", 1e31, 10**400,
                        jnp.float32(-1), jnp.int32(1), jnp.ones(1))),
        ({"length": 10**400}, "length is 1000.*, expected at most 1e"),
        *(({"length": length}, "length is .*, expected a whole number of at least 1") for length in (0, -3, 2.5)),
        *(({"name": name}, "name is .*, expected the name of an array.* is called value or raw_value: say the name of")
          for name in ("value", "raw_value", None, 0)),
        ({"scale": 0.0, "length": 3}, FROZEN),
        ({"scale": 0.0, "carry": optax.sgd(1.0)}, FROZEN),
    ],
)  # fmt: skip
def test_options_that_are_none_or_without_effect_are_refused(options, message, unchecked):
    with pytest.raises(InputError, match=message):
        carry_learning_rate(optax.sgd(1.0), **options)
