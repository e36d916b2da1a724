"""What models bring beside their function: how their parameters are drawn, and how they
are trained.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trigru.common.errors import InputError
from trigru.common.parity import programs
from trigru.common.parity.comparison import compare
from trigru.common.parity.draws import KEYS, compared
from trigru.common.parity.values import Arguments
from trigru.common.program.model import CALL, Model, leaves_of

X = np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
init = jax.nn.initializers
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(4, 3)).astype("float32")
PARAMS = {
    "w": RNG.normal(size=(3, 2)).astype("float32"),
    "b": RNG.normal(size=2).astype("float32"),
}
CLIPPED = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3))


def draws(initializer, shape=(8, 24), key=0):
    keys = jax.random.split(jax.random.key(key), KEYS)
    return np.asarray(jax.vmap(lambda key: initializer(key, shape))(keys), np.float64)


def per_gate(key, shape):
    return jnp.concatenate(
        [init.orthogonal()(k, (8, 8)) for k in jax.random.split(key, 3)], 1
    )


def masked(key, shape):
    return jnp.where(jnp.eye(*shape) > 0, 0.0, -jnp.inf)


@pytest.mark.parametrize(
    "initializer",
    [
        init.normal(),
        init.uniform(),
        init.orthogonal(),
        per_gate,
        init.zeros,
        init.lecun_normal(),
        masked,
    ],
)
@pytest.mark.parametrize("key", [1, 2])
def test_two_samples_of_one_distribution_are_alike(initializer, key):
    assert compared(draws(initializer), draws(initializer, key=key), 1e-4) == ""


#: How a candidate's draws differ, and the initializers of both.
@pytest.mark.parametrize(
    ("words", "initializers"),
    {
        "standard deviation is 1.11 in the candidate, 1": (
            init.normal(1.0),
            init.normal(1.1),
        ),
        "the mean is 0.1": (
            init.normal(1.0),
            lambda k, s: 0.1 + init.normal(1.0)(k, s),
        ),
        "another distribution": (
            init.normal(1.0),
            lambda k, s: jax.random.uniform(k, s, minval=-(3**0.5), maxval=3**0.5),
        ),
        "the reference has always 0, the candidate draws it at random": (
            init.zeros,
            init.normal(1.0),
        ),
        "it is 1 in the candidate, it is 0 in the reference": (init.zeros, init.ones),
        "it has other numbers in the candidate": (
            masked,
            lambda k, s: 1 + masked(k, s),
        ),
        "orthogonal matrix in the reference, and none in the candidate": (
            init.orthogonal(),
            init.normal(24**-0.5),
        ),
        "each of 3 blocks along axis 1 is orthogonal in the candidate": (
            init.orthogonal(),
            per_gate,
        ),
    }.items(),
)
def test_another_distribution_is_named(words, initializers):
    first, second = initializers
    assert words in compared(draws(first), draws(second, key=7), 1e-4)


def model(initializer, *, key="weight", turned=False, bias=init.zeros):
    def make(random):
        kernel = initializer(random, (8, 6))
        return {key: kernel.T if turned else kernel, "bias": bias(random, (6,))}

    def function(params, x):
        return x @ (params[key].T if turned else params[key]) + params["bias"][None]

    return Model(make(jax.random.key(0)), function, make=make)


@pytest.mark.parametrize(("deviation", "named"), [(2.0, ["kernel"]), (1.0, [])])
def test_a_comparison_names_leaves_and_keeps_its_verdict(deviation, named):
    result = compare(
        model(init.normal(1.0)),
        model(init.normal(deviation), key="kernel", turned=True),
        X,
    )
    assert (
        result.verdict,
        [sentence.partition(":")[0] for sentence in result.draws],
    ) == ("same", named)
    assert ("Initial parameters are drawn differently:" in str(result)) == bool(named)


def test_leaves_of_other_shapes_are_refused():
    wrong = model(init.normal(1.0))
    wrong.make = lambda key: {"weight": jnp.ones((3, 3)), "bias": jnp.ones(6)}
    with pytest.raises(
        InputError, match="make of model .candidate. returns leaves of shapes"
    ):
        compare(model(init.normal(1.0)), wrong, X)


def linear(params, x):
    return jnp.tanh(x @ params["w"] + params["b"][None])


def test_weights_of_a_gradient_are_drawn_when_one_is_first_asked_for(monkeypatch):
    drawn, weights_of = [], programs.weights_of
    monkeypatch.setattr(
        programs,
        "weights_of",
        lambda outputs: drawn.append(outputs) or weights_of(outputs),
    )
    program = programs.program_of(Model(PARAMS, linear), (ROWS,), CALL)
    arguments = Arguments(
        [value[None] for value in program.param_values], [], [ROWS[None]]
    )
    program.forward(arguments)
    assert drawn == []
    first, second = (program.gradient(arguments).outputs for _ in range(2))
    assert len(drawn) == len(first) == len(second) == 1


@pytest.mark.parametrize("paths", [["one"], ["one", "two", "three"]])
def test_each_leaf_has_a_path_of_those_that_are_given(paths):
    with pytest.raises(ValueError, match="zip"):
        leaves_of(PARAMS, paths)


def trained_by(optimizer):
    return Model(PARAMS, linear, name="linear", optimizer=optimizer)


@pytest.mark.parametrize(
    ("other", "step"),
    [
        (optax.adam(1e-3, eps=1e-3), ""),
        (optax.adamw(1e-3, weight_decay=0.1), ""),
        (optax.sgd(0.1), "after step 1 "),
    ],
)
def test_another_optimizer_is_reported_with_equal_gradients(other, step):
    result = compare(trained_by(optax.adam(1e-3)), trained_by(other), ROWS)
    assert result.verdict == "another"
    assert "with equal gradients: the optimizers differ" in result.reason
    assert step in result.reason, "where they differ that much, no further step is made"
    assert [place.candidate.text for place in result.places] == [
        'return Model(PARAMS, linear, name="linear", optimizer=optimizer)'
    ]
    assert not jax.config.read(
        "jax_enable_x64"
    )  # a search that stops early leaves no setting behind


@pytest.mark.parametrize("same", [optax.adam(1e-3), CLIPPED])
def test_the_same_optimizer_makes_the_same_steps(same):
    result = compare(trained_by(same), trained_by(same), ROWS)
    assert result.verdict == "same"
    assert result.errors["steps of their own optimizers"] < 1e-6


def test_copies_of_a_tied_parameter_are_matched_and_train_apart():
    table = RNG.normal(size=(3, 4)).astype("float32")

    def tied(params, x):
        return jnp.tanh(x @ params["table"]) @ params["table"].T

    def apart(params, x):
        return jnp.tanh(x @ params["table"]) @ params["head"]

    candidate = Model({"table": table, "head": table.T.copy()}, apart, name="apart")
    result = compare(Model({"table": table}, tied, name="tied"), candidate, ROWS)
    assert len(result.parameters.matched) == 2
    assert result.verdict == "another"
    assert result.errors["outputs"] < 1e-9
    assert any("train apart" in remark for remark in result.remarks)
