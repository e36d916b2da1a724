"""Leaves that two models draw from different distributions are named, and equal ones never."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.errors import InputError
from trigru.common.parity.comparison import compare
from trigru.common.parity.draws import KEYS, compared
from trigru.common.parity.model import Model

X = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
init = jax.nn.initializers


def draws(initializer, shape=(8, 24), key=0):
    keys = jax.random.split(jax.random.key(key), KEYS)
    return np.asarray(jax.vmap(lambda key: initializer(key, shape))(keys), np.float64)


def per_gate(key, shape):
    return jnp.concatenate([init.orthogonal()(k, (8, 8)) for k in jax.random.split(key, 3)], 1)


def uniform_of_one(key, shape):
    return jax.random.uniform(key, shape, minval=-(3**0.5), maxval=3**0.5)


@pytest.mark.parametrize(
    "initializer", [init.normal(), init.uniform(), init.orthogonal(), per_gate, init.zeros, init.lecun_normal()]
)
@pytest.mark.parametrize("key", [1, 2])
def test_two_samples_of_one_distribution_are_alike(initializer, key):
    assert compared(draws(initializer), draws(initializer, key=key), 1e-4) == ""


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (init.normal(1.0), init.normal(1.1), "standard deviation is 1.11 in the candidate, 1"),
        (init.normal(1.0), lambda k, s: 0.1 + init.normal(1.0)(k, s), "the mean is 0.1"),
        (init.normal(1.0), uniform_of_one, "another distribution"),
        (init.zeros, init.normal(1.0), "the reference has always 0, the candidate draws it at random"),
        (init.zeros, init.ones, "it is 1 in the candidate, it is 0 in the reference"),
        (init.orthogonal(), init.normal(24**-0.5), "orthogonal matrix in the reference, and none in the candidate"),
        (init.orthogonal(), per_gate, "each of 3 blocks along axis 1 is orthogonal in the candidate"),
    ],
)
def test_another_distribution_is_named(first, second, words):
    assert words in compared(draws(first), draws(second, key=7), 1e-4)


def model(initializer, *, key="weight", turned=False, bias=init.zeros):
    def make(random):
        kernel = initializer(random, (8, 6))
        return {key: kernel.T if turned else kernel, "bias": bias(random, (6,))}

    def function(params, x):
        return x @ (params[key].T if turned else params[key]) + params["bias"][None]

    return Model(make(jax.random.key(0)), function, make=make)


def test_a_comparison_names_leaves_and_keeps_its_verdict():
    result = compare(model(init.normal(1.0)), model(init.normal(2.0), key="kernel", turned=True), X)
    assert result.verdict == "same"
    assert [sentence.partition(":")[0] for sentence in result.draws] == ["kernel"]
    assert "Initial parameters are drawn differently:" in str(result)


def test_equal_draws_are_not_mentioned():
    result = compare(model(init.normal(1.0)), model(init.normal(1.0), key="kernel", turned=True), X)
    assert result.draws == []


def test_leaves_of_other_shapes_are_refused():
    wrong = model(init.normal(1.0))
    wrong.make = lambda key: {"weight": jnp.ones((3, 3)), "bias": jnp.ones(6)}
    with pytest.raises(InputError, match="make of model .candidate. returns leaves of shapes"):
        compare(model(init.normal(1.0)), wrong, X)
