"""Parts of the frameworks as small programs: what is kept of one, and what a change of it is told as."""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.snapshots import snapshot_of
from trigru.bench.upgrades.changes import changes
from trigru.bench.upgrades.counting import TRACES, WAITS
from trigru.bench.upgrades.files import Kept
from trigru.bench.upgrades.functions import Called, Example, collect
from trigru.bench.upgrades.parts import filled, look_at_parts, signatures_of, text_of
from trigru.bench.upgrades.record import KEPT, PARTS_OF, Subject

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


def of(given):
    """A snapshot that has one part, and its arrays."""
    subject, kept = Subject("parts", "pure"), Kept()
    collect(subject, kept, "part", given)
    assert subject.problems == {}
    return snapshot_of(subject), kept.arrays


def told(old, new):
    return {(change.kind, change.what): change for change in changes(of(old), of(new))}


@pytest.mark.parametrize("framework", PARTS_OF)
def test_every_part_works_and_is_the_same_when_looked_at_again(framework):
    first, again = Kept(), Kept()
    old, new = (Subject("parts", framework) for _ in range(2))
    look_at_parts(old, first)
    look_at_parts(new, again)
    assert old.problems == {}
    assert old.signatures
    found = changes((snapshot_of(old), first.arrays), (snapshot_of(new), again.arrays))
    assert [change for change in found if change.kind not in ("calls", "better", "warnings")] == []


def recurrent(step):
    """A loop that starts with zeros, where a term of the first step is 0."""

    def run(w, x):
        return jax.lax.scan(lambda h, x: (step(h, x, w),) * 2, jnp.zeros((4,)), x)

    return Example(run, np.eye(4, dtype="float32") + 0.1, (np.tile(X[:, :1].T, (3, 1)) + X.T,))


def test_a_term_of_a_loop_is_told_by_its_line():
    old = recurrent(lambda h, x, w: jnp.tanh(x + h @ w))
    new = recurrent(lambda h, x, w: jnp.tanh(x + 0.99 * (h @ w)))
    change = told(old, new)["function", "part in float64: result[0] and 1 more result"]
    now, _, before = change.line.partition("; before: ")
    assert "test_parts.py" in now
    assert "(mul of shape 4)" in now
    assert "test_parts.py" in before


def test_a_remat_that_keeps_everything_is_told():
    def twice(x):
        return jnp.sin(jnp.sin(x))

    found = told(Example(jax.checkpoint(twice), X), Example(twice, X))
    assert {kind for kind, _ in found} == {"kept", "program"}
    assert found["kept", f"part: {KEPT}"].old == f"{X.nbytes} B"


def test_what_is_no_array_among_parameters_is_left_as_it_is():
    subject = of(Example(lambda p, x: x * p["w"] if p["on"] else x, {"w": X[:1], "on": True}, (X,)))[0].subjects[0]
    assert list(subject.values["part in float64"]) == ["result", "gradient of ['w']"]


def test_a_call_that_traces_again_or_waits_is_told():
    def traced(ran):
        return lambda: jax.jit(lambda x: ran(jnp.tanh)(x))(X)

    def waiting(ran):
        once = jax.jit(ran(jnp.tanh))
        return lambda: (time.sleep(0.003), once(X))[1]

    def once(ran):
        return partial(jax.jit(ran(jnp.tanh)), X)

    plain = of(Called(once))[0].subjects[0].calls["part"]
    assert (plain[TRACES], plain[WAITS]) == (1, 0)
    assert of(Called(traced))[0].subjects[0].calls["part"][TRACES] > 1
    assert of(Called(waiting))[0].subjects[0].calls["part"][WAITS] >= 2


def test_arguments_are_kept_with_their_defaults():
    optax, nnx = (dict(signatures_of(module)) for module in ("optax", "flax.nnx"))
    assert optax["optax.adam"]["learning_rate"] == ""
    assert optax["optax.adam"]["nesterov"] == "False"
    assert nnx["flax.nnx.RNN"]["unroll"] == "1", "its metaclass takes anything"
    assert "wrt" in nnx["flax.nnx.Optimizer"], "and so do methods"
    assert "grads" in nnx["flax.nnx.Optimizer.update"]
    assert text_of(frozenset("ba")) == "{'a', 'b'}"


def test_what_is_filled_depends_on_no_name_and_no_two_arrays_are_alike():
    first, other = (filled({name: np.zeros(3, "f4") for name in names} | {"n": np.arange(2)}) for names in ("ab", "xy"))
    assert np.array_equal(first["a"], other["x"])
    assert np.array_equal(first["b"], other["y"])
    assert not np.array_equal(first["a"], first["b"])
    assert np.array_equal(first["n"], np.arange(2))
