"""A model that is written in two frameworks is the same function, in each of its modes and with its state.

Saved with the other's parameters, it is read by its own framework.
"""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, serialization
from safetensors.numpy import load_file
from trigru.common.errors import InputError
from trigru.impls.parity.saving import save_candidate
from trigru.parity import Model, assert_same, compare

X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
LINEAR = eqx.nn.Linear(6, 3, key=jax.random.key(1))
TRAIN, EVAL = {"deterministic": False}, {"deterministic": True}


class LinenBlock(nn.Module):
    rate: float

    @nn.compact
    def __call__(self, x, deterministic=True):
        y = nn.gelu(nn.Dense(8)(nn.LayerNorm()(x)))
        return nn.Dense(6)(nn.Dropout(self.rate)(y, deterministic=deterministic))


def equinox_block(rate):
    up, down = (
        eqx.nn.Linear(*sizes, key=jax.random.key(2)) for sizes in ((6, 8), (8, 6))
    )
    layers = [
        eqx.nn.LayerNorm(6, eps=1e-6),
        up,
        eqx.nn.Lambda(jax.nn.gelu),
        eqx.nn.Dropout(rate),
        down,
    ]
    return Model.equinox(eqx.nn.Sequential(layers), batched=True, key=jax.random.key(1))


def test_nnx_and_equinox_with_dropout():
    rngs = nnx.Rngs(0)
    up, down, dropout = (
        nnx.Linear(6, 8, rngs=rngs),
        nnx.Linear(8, 6, rngs=rngs),
        nnx.Dropout(0.5, rngs=rngs),
    )
    block = nnx.Sequential(nnx.LayerNorm(6, rngs=rngs), up, nnx.gelu, dropout, down)
    result = assert_same(Model.nnx(block), equinox_block(0.5), X)
    assert {"outputs (eval)", "outputs (train)"} <= result.errors.keys()
    assert any("drawn (train)" in remark for remark in result.remarks)
    assert dropout.rngs.count[...] == 0, "the user's module is as it was"


def test_a_dropout_that_is_missing_while_training():
    module, rngs = LinenBlock(0.5), {"dropout": jax.random.key(1)}
    reference = Model.linen(
        module, module.init(jax.random.key(0), X), rngs=rngs, train=TRAIN, eval=EVAL
    )
    result = compare(reference, equinox_block(0.0), X)
    assert result.verdict == "another"
    assert result.errors["outputs (eval)"] < 1e-9 < result.errors["outputs (train)"]


class LinenNorm(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))


def nnx_norm(momentum=0.9):
    rngs = nnx.Rngs(0)
    norm, dropout = (
        nnx.BatchNorm(6, momentum=momentum, rngs=rngs),
        nnx.Dropout(0.0, rngs=rngs),
    )
    return nnx.Sequential(norm, dropout, nnx.Linear(6, 3, rngs=rngs))


class EquinoxNorm(eqx.Module):
    norm: eqx.nn.BatchNorm
    dense: eqx.nn.Linear

    def __init__(self, key):
        self.norm = eqx.nn.BatchNorm(
            6, axis_name="batch", momentum=0.9, eps=1e-5, mode="batch"
        )
        self.dense = eqx.nn.Linear(6, 3, key=key)

    def __call__(self, x, state):
        y, state = self.norm(x, state)
        return self.dense(y), state


MODES = {"train": {"train": True}, "eval": {"train": False}}
EMPTY = LinenNorm().init(jax.random.key(0), X, train=False)
VARIABLES = jax.tree.map(
    lambda a: np.random.default_rng(a.size).uniform(0.5, 1.5, a.shape).astype("f4"),
    EMPTY,
)
BATCH_NORM = Model.linen(LinenNorm(), VARIABLES, **MODES)


def test_a_momentum_is_seen_in_the_new_state_alone():
    result = compare(BATCH_NORM, Model.nnx(nnx_norm(0.8)), X)
    assert result.verdict == "another"
    wrong = {name for name, error in result.errors.items() if error > 1e-9}
    assert wrong == {
        "new state layers/0/mean (train)",
        "new state layers/0/var (train)",
    }
    assert result.reason.endswith("These differ, too: new state layers/0/var (train).")
    assert result.places[0].mend == "With 0.9 instead of 0.8, the outputs agree."


def test_a_state_of_equinox_has_the_paths_of_the_model_and_is_saved_with_it(tmp_path):
    module, state = eqx.nn.make_with_state(EquinoxNorm)(jax.random.key(1))
    lacking = {
        "state=, which": {},
        "axis_name='batch'": {"state": state, "axis_name": "other"},
    }
    for message, given in lacking.items():
        with pytest.raises(InputError, match=message):
            compare(BATCH_NORM, Model.equinox(module, batched=True, **given), X)
    candidate = Model.equinox(module, state=state, batched=True)
    result = compare(BATCH_NORM, candidate, X)
    assert result.errors["new state norm/batch_state_index/0 (train)"] < 1e-9
    assert result.reason.startswith("The outputs of the next call differ"), (
        "it divides by 1 - momentum**counter"
    )
    assert "equinox/nn/_batch_norm.py" in str(result)
    save_candidate(tmp_path / "model.eqx", candidate, result)
    like = eqx.nn.make_with_state(EquinoxNorm)(jax.random.key(2))
    read, state = eqx.tree_deserialise_leaves(tmp_path / "model.eqx", like)
    for name, values in zip(
        ("mean", "var"), state.get(read.norm.batch_state_index), strict=True
    ):
        np.testing.assert_array_equal(
            values, VARIABLES["batch_stats"]["BatchNorm_0"][name]
        )
    np.testing.assert_array_equal(
        read.dense.weight, VARIABLES["params"]["Dense_0"]["kernel"].T
    )
    np.testing.assert_array_equal(
        read.norm.weight, VARIABLES["params"]["BatchNorm_0"]["scale"]
    )


def read_by_nnx(content):
    module = nnx_norm()
    state = nnx.state(module, nnx.Not(nnx.RngState))
    nnx.replace_by_pure_dict(
        state, serialization.from_bytes(nnx.to_pure_dict(state), content)
    )
    nnx.update(module, state)
    module.eval()
    return module(X)


@pytest.mark.parametrize(
    ("candidate", "read"),
    [
        (
            lambda: Model.linen(LinenNorm(), EMPTY, **MODES),
            lambda content: LinenNorm().apply(
                serialization.from_bytes(EMPTY, content), X, train=False
            ),
        ),
        (lambda: Model.nnx(nnx_norm()), read_by_nnx),
    ],
)
def test_a_candidate_is_saved_with_the_references_parameters_and_read_by_flax(
    tmp_path, candidate, read
):
    candidate, path = candidate(), tmp_path / "model.msgpack"
    result = assert_same(BATCH_NORM, candidate, X)
    assert {"outputs (train)", "outputs of the next call"} <= result.errors.keys()
    assert sum(name.startswith("new state") for name in result.errors) == 4, (
        "the mean and the variance in each mode"
    )
    save_candidate(path, candidate, result)
    expected = LinenNorm().apply(VARIABLES, X, train=False)
    np.testing.assert_allclose(read(path.read_bytes()), expected, rtol=1e-4, atol=1e-5)


def test_safetensors_have_each_array_under_its_path_and_other_suffixes_are_refused(
    tmp_path,
):
    candidate = Model.linen(LinenNorm(), EMPTY, **MODES)
    result = assert_same(BATCH_NORM, candidate, X)
    save_candidate(tmp_path / "model.safetensors", candidate, result)
    parts = {
        f"{collection}/{part}": of
        for collection in VARIABLES
        for part, of in VARIABLES[collection].items()
    }
    arrays = {
        f"{part.removeprefix('params/')}/{name}": a
        for part, of in parts.items()
        for name, a in of.items()
    }
    found = load_file(tmp_path / "model.safetensors")
    jax.tree.map(np.testing.assert_array_equal, found, arrays)
    assert {array.dtype.name for array in found.values()} == {"float32"}
    with pytest.raises(
        InputError,
        match=r"cannot be saved with the suffix '\.eqx', expected \.safetensors",
    ):
        save_candidate(tmp_path / "model.eqx", candidate, result)


def test_leaves_without_a_partner_are_named_and_nothing_is_written(tmp_path):
    candidate = Model(
        {"w": np.ones((6, 3), "f4"), "gain": jnp.ones(())},
        lambda params, x: x @ params["w"],
    )
    result = compare(
        Model({"w": np.ones((6, 3), "f4")}, lambda params, x: x @ params["w"]),
        candidate,
        X,
    )
    with pytest.raises(InputError, match="no values for gain"):
        save_candidate(tmp_path / "model.safetensors", candidate, result)
    assert not list(tmp_path.iterdir())


def test_a_module_of_nnx_that_draws_its_carry_is_compared():
    def make(key):
        rngs = nnx.Rngs(key)
        return nnx.RNN(nnx.LSTMCell(3, 5, rngs=rngs), rngs=rngs)

    rnn, x = nn.RNN(nn.LSTMCell(5)), X.reshape(2, 4, 3)
    reference = Model.linen(
        rnn, rnn.init(jax.random.key(0), x), make=lambda key: rnn.init(key, x)
    )
    candidate = Model.nnx(make(1), make=make)
    assert assert_same(reference, candidate, x).draws == []


def test_methods_inputs_and_outputs():
    """A model of columns, with more outputs than the reference."""

    def of_columns(params, x):
        return params["weight"] @ x, x

    candidate = Model(
        {"weight": X[:3]},
        of_columns,
        inputs=lambda x: x.T,
        outputs=lambda found: found[0].T,
    )
    candidate.framework = (
        "linen"  # which says as what it may be saved, and not how it is called
    )
    assert_same(
        Model.nnx(nnx.Embed(3, 6, rngs=nnx.Rngs(0)), method="attend"), candidate, X
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("message", "make"),
    {
        r"train=\{'train': True\} and eval=\{'train': False\}": lambda: compare(
            Model.linen(LinenNorm(), VARIABLES), BATCH_NORM, X
        ),
        "give batched=True": lambda: compare(
            Model.equinox(LINEAR, batched=True), Model.equinox(LINEAR), X
        ),
        "expected a flax.linen.Module, got an object of type int": lambda: Model.linen(
            3, {}
        ),
        "variables have no collection 'params'": lambda: Model.linen(
            nn.Dense(3), {"kernel": X}
        ),
        "expected a flax.nnx.Module, got an object of type Dense": lambda: Model.nnx(
            nn.Dense(3)
        ),
        "equinox has no parameter": lambda: Model.equinox(eqx.nn.Identity()),
        "model has no parameter": lambda: Model({}, lambda params, x: x),
        "mine has no parameter": lambda: Model(
            {"w": 1}, lambda params, x: x, name="mine"
        ),
    }.items(),
)
def test_what_is_no_model_or_not_told_how_to_be_called_is_refused(message, make):
    with pytest.raises(InputError, match=message):
        make()
