"""Parameters between frameworks, in memory."""

from dataclasses import replace

import equinox as eqx
import flax.linen as nn
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError, TrigruError, UnavailableError, UnknownNameError
from trigru.common.parameters.layouts import TORCH
from trigru.common.parameters.record import config_of, leaves, random_params
from trigru.impls import get_port
from trigru.impls.checkpoints import convert, exchange, layouts
from trigru.impls.linen import GRU
from trigru.impls.upstream import get_upstream

from ...support.arrays import assert_bits, same_bits
from .support import CONFIG, FRAMEWORKS, NO_CARRY, PARAMS


@pytest.mark.parametrize("classes", [None, 4])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_model_of_every_framework_is_recognised(name, classes):
    config = GRUConfig(2, 3, classes)
    params = random_params(config)
    model = get_port(name).load(config, params)
    trees = [model, nnx.state(model), nnx.to_pure_dict(nnx.state(model))] if name == "nnx" else [model]
    for found in map(convert, trees):
        assert (found.layout, found.notes) == (name, ())
        assert same_bits(found.params, params)
        assert config_of(found.params) == config


NO_BIASES = ("it has no biases: they are 0.", NO_CARRY)


class CompactGRU(nn.Module):
    """A linen user's, as in the README."""

    @nn.compact
    def __call__(self, x):
        self.param("initial_carry", nn.initializers.normal(), (3,))
        return nn.RNN(nn.GRUCell(3))(x)


X = jnp.ones((1, 2, 2))


@pytest.mark.parametrize(
    ("tree", "layout", "notes"),
    [
        (lambda: CompactGRU().init(jax.random.key(0), X), "linen", ()),
        (lambda: nn.RNN(nn.GRUCell(3)).init(jax.random.key(0), X), "linen", (NO_CARRY,)),
        (lambda: get_upstream("linen").PORT.make(CONFIG, jax.random.key(0)).params, "linen", ()),
        (lambda: eqx.nn.GRUCell(2, 3, key=jax.random.key(0)), "canonical", (NO_CARRY,)),
        (lambda: {"cell": eqx.nn.GRUCell(2, 3, use_bias=False, key=jax.random.key(0))}, "equinox", NO_BIASES),
        (lambda: get_upstream("equinox").PORT.make(CONFIG, jax.random.key(0)), "equinox", ()),
    ],
    ids=["compact", "nn.RNN", "in-setup", "eqx.nn.GRUCell", "no biases", "scan"],
)
def test_the_frameworks_own_parts_are_recognised(tree, layout, notes):
    tree = tree()
    found = convert(tree)
    assert (found.layout, found.notes) == (layout, notes)
    size = sum(leaf.size for leaf in jax.tree.leaves(tree)) + {(): 0, (NO_CARRY,): 3, NO_BIASES: 15}[notes]
    assert sum(array.size for array in leaves(found.params).values()) == size


@pytest.mark.parametrize("rngs", [False, True])
def test_nnx_without_b_hn_has_zeros_there_which_is_said(rngs):
    cell = nnx.GRUCell(2, 3, bias_init=nnx.initializers.normal(), rngs=nnx.Rngs(0))
    for name in [name for name, value in vars(cell).items() if isinstance(value, nnx.Param)]:
        delattr(cell, name)  # b_hn, where the installed Flax has it
    state = nnx.state(nnx.RNN(cell, rngs=rngs))
    found = convert(state)
    assert found.layout == "nnx"
    assert "it has no hn_bias, as flax's own nnx.GRUCell has none: b_hn is 0." in found.notes
    assert any("rngs" in note for note in found.notes) == rngs
    assert not found.params.bias_n.any()
    assert found.params.bias.all()
    assert_bits(found.params.weight_hh.T, state["cell"]["dense_h"]["kernel"][...])
    nested = convert({"rnn": nnx.to_pure_dict(state), "initial_carry": np.ones(3, "f4")})  # as in the README
    assert same_bits(nested.params, found.params._replace(initial_carry=np.ones(3, "f4")))


def test_an_unknown_layout_is_refused():
    with pytest.raises(InputError, match="has the arrays other. Expected one layout's, in one place: .*linen has ir"):
        convert({"other": np.ones(3)})
    with pytest.raises(UnknownNameError, match="unknown layout 'keras'. Known: canonical, linen, nnx, equinox, torch"):
        convert(TORCH.flat(PARAMS)).to("keras")


def test_layouts_are_those_of_the_ports_that_are_available(monkeypatch):
    class Third:
        layout = replace(TORCH, name="third")

    reasons = {"nnx": "no such framework here", "third": None}
    own = {"port_names": lambda: [*reasons], "unavailable": reasons.get, "get_port": lambda _: Third}
    for name, value in own.items():
        monkeypatch.setattr(f"trigru.impls.checkpoints.{name}", value)
    assert list(layouts()) == ["canonical", "third", "torch"]
    with pytest.raises(UnavailableError, match="layout 'nnx' is not available: no such framework here"):
        convert(PARAMS._asdict()).to("nnx")


OWN_NAMES = {"weight_ih": "Wi", "weight_hh": "Wh", "bias": "bi", "bias_n": "bn"}


class OwnGRU(nn.Module):
    """A GRU that its user wrote by hand, with matrices for row vectors."""

    @nn.compact
    def __call__(self, x):
        for field, name in OWN_NAMES.items():
            self.param(name, lambda _, field=field: jnp.asarray(getattr(PARAMS, field)).T)


class Agent(nn.Module):
    """A model with two GRUs beside other layers."""

    gru: type[nn.Module]
    options: dict

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(2)(x)
        self.gru(**self.options, name="actor")(x)
        self.gru(**self.options, name="critic")(x)
        return nn.Dense(1)(x)


def test_grus_with_names_of_their_own_are_exchanged_within_a_training_state():
    variables = Agent(OwnGRU, {}).init(jax.random.key(0), X)
    state = flax.serialization.to_state_dict({"params": variables["params"], "opt": optax.adam(1e-3).init(variables)})
    trees = ("params", "opt/0/mu/params", "opt/0/nu/params")
    grus = [f"{tree}/{name}" for tree in trees for name in ("actor", "critic")]
    new, found = exchange(state, "linen", grus, OWN_NAMES)
    assert same_bits(found["params/critic"].params, PARAMS._replace(initial_carry=np.zeros(3, "f4")))
    assert list(new["params"]["critic"]) == ["cell"], "one without an initial carry gets none"
    model = Agent(GRU, {"features": 3, "carry_init": None})
    like = model.init(jax.random.key(1), X)
    like = {"params": like["params"], "opt": optax.adam(1e-3).init(like)}
    restored = flax.serialization.from_state_dict(like, new)
    assert_bits(restored["params"]["Dense_1"]["kernel"], variables["params"]["Dense_1"]["kernel"])
    assert_bits(convert(restored["params"], "actor").params.weight_hh, PARAMS.weight_hh)
    model.apply({"params": restored["params"]}, X)
    again, found = exchange(new, "linen")
    assert sorted(found) == sorted(place.replace("/", ".") for place in grus), "all are found by themselves"
    assert jax.tree.structure(again) == jax.tree.structure(new)


@pytest.mark.parametrize("at", ["rnn", "a.rnn"])
def test_an_array_with_the_name_of_a_place_stays(at):
    """In a flat dict."""
    beside = {"rnn": np.ones(2), "a": np.ones(3)}
    new, _ = exchange(beside | {f"{at}.{name}": leaf for name, leaf in PARAMS._asdict().items()}, "torch", [at])
    assert new == beside | {f"{at}.{name}": new[f"{at}.{name}"] for name in TORCH.flat(PARAMS)}


@pytest.mark.parametrize(
    ("at", "names", "message"),
    [
        ("", None, "It has GRUs at a, b.rnn: name one"),
        ("c", None, "at c: has no arrays below c. Its places: a.cell, a, b, b.rnn.cell"),
        ("a.cell.hidden", None, "has no arrays below a.cell.hidden"),
        ("b", None, "at b: has the arrays .* it has gain beside.* It has GRUs at rnn: name one"),
        ("a", {"weight_ih": "Wi"}, "at a: has no array called Wi, for weight_ih"),
        ("a", {"weights": "Wi"}, "unknown array 'weights'. Known: weight_ih"),
        ("a", {"weight_ih": "W", "weight_hh": "W"}, "at a: has one name for two arrays of a GRU"),
    ],
)
def test_a_place_without_one_gru_is_refused(at, names, message):
    gru = layouts()["equinox"].tree(PARAMS)
    tree = {"a": gru, "b": {"rnn": gru, "gain": np.ones(2, "f4")}}
    assert same_bits(convert(tree, "b/rnn").params, PARAMS)
    with pytest.raises(TrigruError, match=message):
        convert(tree, at, names)
