"""The initial carry's own learning rate: what it does to each parameter, in every tree
that a port's user has.
"""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.errors import InputError
from trigru.common.gru.optimizers import carry_learning_rate

RATE = 0.5
OWN = {"carry": optax.sgd(2 * RATE)}


def moved(tree, gradients=None, **options):
    """The updates of a step by SGD with rate 1, for gradients of 1."""
    tx = carry_learning_rate(options.pop("tx", optax.sgd(1.0)), **options)
    gradients = jax.tree.map(jnp.ones_like, tree) if gradients is None else gradients
    return tx.update(gradients, tx.init(tree), tree)[0]


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
    updates = moved(gradient, gradient, tx=optax.sgd(RATE), **options)
    np.testing.assert_allclose(
        updates["initial_carry"], -RATE * factor * gradient["initial_carry"], rtol=1e-6
    )
    np.testing.assert_allclose(updates["cell"], -RATE * gradient["cell"], rtol=1e-6)


class Module(eqx.Module):
    initial_carry: eqx.nn.Linear
    inner: dict


OF_NNX = nnx.Dict(initial_carry=nnx.Param(jnp.ones(3)))


#: Trees as users pass them, and how many arrays in them are no initial carries.
@pytest.mark.parametrize(
    ("tree", "others"),
    [
        ({"a": {"cell": 1.0, "initial_carry": 1.0}, "b": {"initial_carry": 1.0}}, 1),
        (
            {
                "initial_carry": {"w": 1.0, "initial_carry": 1.0},
                "initial_carry_proj": 1.0,
            },
            2,
        ),
        (
            {
                "initial_carry": nn.Partitioned(jnp.ones(3), ("units",)),
                "w": jnp.ones(2),
            },
            1,
        ),
        (
            nnx.state(
                nnx.Dict(initial_carry=nnx.Linear(2, 3, rngs=nnx.Rngs(0)), inner=OF_NNX)
            ),
            2,
        ),
        (
            Module(
                eqx.nn.Linear(2, 3, key=jax.random.key(0)),
                {"initial_carry": jnp.ones(3)},
            ),
            2,
        ),
    ],
)
def test_arrays_of_the_name_are_found_and_modules_of_it_are_not(tree, others):
    moves = [
        float(leaf.ravel()[0])
        for leaf in jax.tree.leaves(moved(jax.tree.map(jnp.asarray, tree), scale=2.0))
    ]
    assert sorted(moves) == [-2] * (len(moves) - others) + [-1] * others


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_scale_may_be_traced_and_keeps_the_dtype_of_the_updates(dtype):
    tree = {"initial_carry": jnp.ones(2, dtype), "cell": jnp.ones(2, dtype)}

    def updates(scale):
        return moved(tree, scale=scale, length=3)

    scales = jnp.array([0.0, 0.5, 2.0])
    found = jax.jit(jax.vmap(updates))(scales)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(found)} == {dtype}
    np.testing.assert_array_equal(
        found["initial_carry"][:, 0].astype("f4"), -3 * scales
    )
    np.testing.assert_array_equal(found["cell"].astype("f4"), -1)
    assert (
        jax.grad(lambda scale: updates(scale)["initial_carry"].sum().astype("f4"))(2.0)
        == -6
    )


def test_a_name_of_ones_own_a_frozen_carry_without_state_and_a_tree_without_names():
    assert moved({"h0": jnp.ones(()), "w": jnp.ones(())}, scale=2.0, name="h0") == {
        "h0": -2,
        "w": -1,
    }
    frozen = carry_learning_rate(optax.adam(1e-3), scale=0.0)
    state = frozen.init({"initial_carry": jnp.ones(3), "cell": jnp.ones(2)})
    assert all(leaf.shape != (3,) for leaf in jax.tree.leaves(state))
    with pytest.raises(
        InputError,
        match=r"no path of a parameter ends in 'initial_carry': \[0\], \[1\]",
    ):
        frozen.init([jnp.ones(2), jnp.ones(2)])


SCALE = (
    r"scale is .*, expected a Python number from 0 to 1e\+30, or a floating-point "
    r"JAX "
    r"scalar"
)
BAD_SCALES = (
    -1.0,
    float("nan"),
    1e300,
    10**400,
    True,
    "fast",
    jnp.float32(-1),
    jnp.int32(1),
    jnp.ones(1),
)
FROZEN = "scale is 0, which freezes: carry= and length= would have no effect"
BAD = [({"scale": scale}, SCALE) for scale in BAD_SCALES]
BAD += [
    ({"scale": 0.0} | other, FROZEN)
    for other in ({"length": 3}, {"carry": optax.sgd(1.0)})
]
BAD += [({"length": 2.5}, "length is .*, expected a whole number of at least 1")]
BAD += [({"length": 10**400}, r"length is .*, expected at most 1e\+30")]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_options_that_are_none_or_without_effect_are_refused(
    options, message, unchecked
):
    with pytest.raises(InputError, match=message):
        carry_learning_rate(optax.sgd(1.0), **options)
