"""A candidate is saved with the reference's parameters, and its framework reads the file again."""

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, serialization
from safetensors.numpy import load_file
from trigru.common.errors import InputError
from trigru.impls.parity.saving import save
from trigru.parity import Model, compare

RNG = np.random.default_rng(5)
X = RNG.normal(size=(4, 3)).astype("float32")
PARAMS = {"weight": RNG.normal(size=(5, 3)), "bias": RNG.normal(size=5), "scale": RNG.normal(size=5)}
PARAMS |= {"shift": RNG.normal(size=5)}
STATE = {"mean": RNG.normal(size=5), "var": RNG.uniform(1, 2, size=5)}
PARAMS, STATE = jax.tree.map(lambda a: a.astype("float32"), (PARAMS, STATE))


def function(params, state, x):
    h = x @ params["weight"].T + params["bias"][None]
    h = (h - state["mean"][None]) / jnp.sqrt(state["var"] + 1e-5)[None]
    return h * params["scale"][None] + params["shift"][None], state


REFERENCE = Model(PARAMS, function, state=STATE, name="reference")


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        h = linen.Dense(5, name="layer")(x)
        return linen.BatchNorm(use_running_average=True, name="norm")(h)


class NNX(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(3, 5, rngs=rngs)])
        self.norm = nnx.BatchNorm(5, use_running_average=True, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, deterministic=True, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.dropout(self.layers[0](x)))


class Equinox(eqx.Module):
    layer: eqx.nn.Linear
    norm: eqx.nn.BatchNorm

    def __init__(self, key):
        self.layer = eqx.nn.Linear(3, 5, key=key)
        self.norm = eqx.nn.BatchNorm(5, "batch", eps=1e-5, mode="batch")

    def __call__(self, x, state):
        return self.norm(self.layer(x), state, inference=True)


def saved(model, path):
    mapping = {
        next(p for p in model.paths() if p.endswith(("layer/bias", "layers/0/bias"))): "bias",
        next(p for p in model.paths() if p.endswith(("norm/scale", "norm/weight"))): "scale",
        "norm/bias": "shift",
    }
    result = compare(REFERENCE, model, X, mapping=mapping)
    assert result.verdict == "same", str(result)
    save(path, model, result)
    return np.asarray(function(PARAMS, STATE, X)[0])


def test_msgpack_of_linen(tmp_path):
    variables = Linen().init(jax.random.key(0), X)
    wanted = saved(Model.linen(Linen(), variables), tmp_path / "model.msgpack")
    read = serialization.from_bytes(variables, (tmp_path / "model.msgpack").read_bytes())
    np.testing.assert_allclose(Linen().apply(read, X), wanted, rtol=1e-4, atol=1e-5)
    assert jax.tree.map(jnp.shape, read) == jax.tree.map(jnp.shape, variables)


def test_msgpack_of_nnx(tmp_path):
    wanted = saved(Model.nnx(NNX(nnx.Rngs(0))), tmp_path / "model.msgpack")
    module = NNX(nnx.Rngs(1))
    state = nnx.state(module, nnx.Not(nnx.RngState))
    read = serialization.from_bytes(nnx.to_pure_dict(state), (tmp_path / "model.msgpack").read_bytes())
    nnx.replace_by_pure_dict(state, read)
    nnx.update(module, state)
    np.testing.assert_allclose(module(X), wanted, rtol=1e-4, atol=1e-5)


def test_eqx_of_equinox(tmp_path):
    model, state = eqx.nn.make_with_state(Equinox)(jax.random.key(0))
    wanted = saved(Model.equinox(model, state=state, batched=True), tmp_path / "model.eqx")
    like = eqx.nn.make_with_state(Equinox)(jax.random.key(1))
    read, state = eqx.tree_deserialise_leaves(tmp_path / "model.eqx", like)
    found, _ = jax.vmap(read, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(X, state)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_safetensors_of_any(tmp_path):
    saved(Model.linen(Linen(), Linen().init(jax.random.key(0), X)), tmp_path / "model.safetensors")
    read = load_file(tmp_path / "model.safetensors")
    assert sorted(read) == [
        *("batch_stats/norm/mean", "batch_stats/norm/var", "layer/bias", "layer/kernel", "norm/bias", "norm/scale")
    ]
    np.testing.assert_array_equal(read["layer/kernel"], PARAMS["weight"].T)
    np.testing.assert_array_equal(read["batch_stats/norm/var"], STATE["var"])
    assert read["layer/kernel"].dtype == np.float32


def test_a_wrong_suffix_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot be saved with the suffix '\.eqx', expected \.safetensors"):
        save(tmp_path / "model.eqx", REFERENCE, compare(REFERENCE, REFERENCE, X))


def test_leaves_without_a_partner_are_named_and_nothing_is_written(tmp_path):
    def more(params, x):
        return x @ params["weight"].T * params["gain"]

    candidate = Model({"weight": PARAMS["weight"], "gain": jnp.ones(())}, more)
    reference = Model({"weight": PARAMS["weight"]}, lambda params, x: x @ params["weight"].T)
    result = compare(reference, candidate, X)
    with pytest.raises(InputError, match="no values for gain"):
        save(tmp_path / "model.safetensors", candidate, result)
    assert not list(tmp_path.iterdir())
