"""What a user's function may do, take and return, and what is recorded of it."""

from dataclasses import dataclass
from enum import Enum

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.upgrades.changes import compare_snapshots
from trigru.bench.upgrades.recording import subject_of
from trigru.bench.upgrades.snapshot_file import ArrayStore, Loaded

X = np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3)


class Colour(Enum):
    RED = 1


@dataclass
class Config:
    width: float
    name: str


def until_converged(x):
    return jax.lax.while_loop(lambda x: x.sum() > 0.1, lambda x: x * 0.5, x + 2)


def trained_in_python(x):
    losses = []
    for _ in range(3):
        losses.append(float((x**2).sum()))
        x = x - 0.1 * jax.grad(lambda x: (x**2).sum())(x)
    return losses, x


def by_callback(x):
    spec = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(np.sin, spec, x).sum()


def changed_in_place(x, state):
    state["sum"] = state["sum"] + x.sum()
    return x.mean()


def half(x):
    return x.astype("bfloat16"), x > 0, jnp.argsort(x)


def dropped_out(x, key):
    return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x, 0)


def configured(x, config):
    return Config(x * config.width, config.name), Colour.RED, {"a", "b"}


KEY = jax.random.key(1)
STATE = {"sum": np.float32(1)}
CALLS = {
    "gradient": (until_converged, (X,)),
    "trace": (trained_in_python, (X,)),
    "gradient of a callback": (by_callback, (X,)),
}


def recorded(function, *arguments):
    store = ArrayStore()
    subject = subject_of(function, arguments, store, name="mine")
    assert not subject.problems
    return subject.observations["call"], store, subject


@pytest.mark.parametrize("what", CALLS)
def test_what_cannot_be_had_is_said_and_values_are_recorded(what):
    function, arguments = CALLS[what]
    seen, _, _ = recorded(function, *arguments)
    assert list(seen.lacks) == [what.partition(" ")[0]]
    assert seen.results


@pytest.mark.parametrize(
    ("function", "arguments", "results", "texts"),
    [
        (half, (X,), {"result[0]", "result[1]", "result[2]"}, {}),
        (dropped_out, (X, KEY), {"result"}, {}),
        (jax.jit(dropped_out), (X, KEY), {"result"}, {}),
        (
            changed_in_place,
            (X, STATE),
            {"result", "result: state['sum'] afterwards"},
            {},
        ),
        (lambda x: None, (X,), set(), {"result": "None"}),
        (
            configured,
            (X, Config(2.0, "wide")),
            {"result[0].width"},
            {
                "result[0].name": "wide",
                "result[1]": "Colour.RED",
                "result[2]": "[\"'a'\", \"'b'\"]",
            },
        ),
    ],
)
def test_results_are_recorded_by_their_names(function, arguments, results, texts):
    seen, _, _ = recorded(function, *arguments)
    gradients = {name for name in seen.results if name.startswith("gradient")}
    assert seen.results.keys() - gradients == results
    assert seen.texts == texts
    assert not seen.lacks


def test_arguments_stay_as_they_are():
    state = {"sum": np.float32(1)}
    recorded(changed_in_place, X, state)
    assert state == {"sum": np.float32(1)}


def changes_between(old_function, new_function, *arguments):
    loaded = []
    for function in (old_function, new_function):
        _, store, subject = recorded(function, *arguments)
        loaded.append(Loaded(snapshot_of(subject), store))
    return {change.kind for change in compare_snapshots(*loaded)}


def test_a_thousandth_of_an_update_is_another_function_also_in_float32():
    def trained(x, share):
        losses = []
        for _ in range(3):
            losses.append(float((x**2).sum()))
            x = x - 0.1 * share * jax.grad(lambda x: (x**2).sum())(x)
        return losses, x

    def before(x):
        return trained(x, 1.0)

    def after(x):
        return trained(x, 0.999)

    assert "function" in changes_between(before, after, X)
    assert changes_between(before, before, X) == set()


def test_a_gradient_that_is_zero_in_mathematics_is_no_other_function():
    """Rounding of a sum that is zero, which a quotient magnifies."""

    def in_order(x, axis):
        centred = jax.lax.stop_gradient(x - x.mean(axis, keepdims=True))
        zero = centred.sum(axis)
        return x.mean() + 1 + 0.01 * zero / (jnp.abs(zero) + 1e-6)

    def one_way(x):
        return in_order(x, 1)

    def another_way(x):
        return in_order(x.T[::-1], 0)

    x = np.random.default_rng(0).normal(size=(3, 1000)).astype("float32")
    assert "function" not in changes_between(one_way, another_way, x)


def test_what_a_function_changes_outside_of_it_is_no_rounding():
    """The second run, which measures rounding, starts from what the first one left."""

    def training(rate):
        weights = {"w": X.copy()}

        def train(x):
            weights["w"] = weights["w"] - np.float32(rate) * (weights["w"] - float(x))
            return weights["w"]

        return train

    x = np.float32(2)
    assert changes_between(training(0.1), training(0.1), x) == set()
    assert "function" in changes_between(training(0.1), training(0.1001), x)


def test_other_draws_of_the_same_function_are_draws():
    def drawn(seed):
        return lambda x: x + jax.random.normal(jax.random.key(seed), x.shape)

    assert "draws" in changes_between(drawn(1), drawn(2), X)
    assert "function" not in changes_between(drawn(1), drawn(2), X)
