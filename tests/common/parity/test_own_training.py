"""Models that are trained otherwise: by another optimizer, or with copies of what the other has once."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trigru.common.parity.comparison import compare
from trigru.common.parity.model import Model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3)).astype("float32")
PARAMS = {"w": RNG.normal(size=(3, 2)).astype("float32"), "b": RNG.normal(size=2).astype("float32")}
CLIPPED = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3))


def linear(params, x):
    return jnp.tanh(x @ params["w"] + params["b"][None])


def model(optimizer):
    return Model(PARAMS, linear, name="linear", optimizer=optimizer)


@pytest.mark.parametrize("other", [optax.adam(1e-3, eps=1e-3), optax.adamw(1e-3, weight_decay=0.1), optax.sgd(0.1)])
def test_another_optimizer_is_reported_with_equal_gradients(other):
    result = compare(model(optax.adam(1e-3)), model(other), X)
    assert result.verdict == "another"
    assert "with equal gradients: the optimizers differ" in result.reason
    assert [place.candidate.text for place in result.places] == [
        'return Model(PARAMS, linear, name="linear", optimizer=optimizer)'
    ]
    assert not jax.config.read("jax_enable_x64")  # a search that stops early leaves no setting behind


@pytest.mark.parametrize("same", [optax.adam(1e-3), CLIPPED])
def test_the_same_optimizer_makes_the_same_steps(same):
    result = compare(model(same), model(same), X)
    assert result.verdict == "same"
    assert result.errors["steps of their own optimizers"] < 1e-6


def test_copies_of_a_tied_parameter_are_matched_and_train_apart():
    table = RNG.normal(size=(3, 4)).astype("float32")

    def tied(params, x):
        return jnp.tanh(x @ params["table"]) @ params["table"].T

    def apart(params, x):
        return jnp.tanh(x @ params["table"]) @ params["head"]

    candidate = Model({"table": table, "head": table.T.copy()}, apart, name="apart")
    result = compare(Model({"table": table}, tied, name="tied"), candidate, X)
    assert len(result.parameters.matched) == 2
    assert result.verdict == "another"
    assert result.errors["outputs"] < 1e-9
    assert any("train apart" in remark for remark in result.remarks)
