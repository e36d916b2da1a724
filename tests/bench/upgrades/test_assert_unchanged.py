"""The line for somebody's own test: of a function, and of a port."""

import warnings

import jax.numpy as jnp
import pytest
from trigru.bench.upgrades import assert_unchanged, take_snapshot
from trigru.bench.upgrades.folder import SnapshotError, load
from trigru.impls import get_port

PARAMS = {"kernel": jnp.full((3, 2), 0.5), "bias": jnp.zeros(2)}
X = jnp.linspace(-1, 1, 12).reshape(4, 3)


def loss(params, x):
    return jnp.mean(jnp.tanh(x @ params["kernel"] + params["bias"][None]) ** 2)


@pytest.fixture
def folder(tmp_path):
    take_snapshot(tmp_path / "loss", loss, PARAMS, X)
    return tmp_path / "loss"


def test_what_did_not_change_passes(folder):
    assert_unchanged(folder, loss, PARAMS, X)
    (subject,) = load(folder)[0].subjects
    assert [str(values.where) for values in subject.values] == ["forward jit float32", "gradient jit float32"]
    assert subject.problems == []
    assert subject.calls[0].traces == 1


def same_name(function):
    function.__qualname__ = loss.__qualname__
    return function


def test_another_function_is_told(folder):
    other = same_name(lambda params, x: loss(params, x) * 1.01)
    with pytest.raises(AssertionError, match=r"function: loss: forward jit float32: first .*, was the same bits"):
        assert_unchanged(folder, other, PARAMS, X)


def test_a_gradient_alone_is_told(folder):
    import jax

    @same_name
    @jax.custom_vjp
    def other(params, x):
        return loss(params, x)

    def backward(saved, d):
        grads = jax.grad(loss)(*saved)
        return jax.tree.map(lambda g: 2 * d * g, grads), jnp.zeros_like(saved[1])

    other.defvjp(lambda params, x: (loss(params, x), (params, x)), backward)
    with pytest.raises(AssertionError) as raised:
        assert_unchanged(folder, other, PARAMS, X)
    assert "gradient jit" in str(raised.value)
    assert "forward jit" not in str(raised.value)


def test_other_leaves_are_told(folder):
    with pytest.raises(AssertionError, match=r"tree: loss: leaves: \['extra'\], was none"):
        assert_unchanged(folder, loss, {**PARAMS, "extra": jnp.zeros(())}, X)


def test_what_fails_now_is_told(folder):
    @same_name
    def broken(params, x):
        raise TypeError("no more")

    with pytest.raises(AssertionError, match="broken: loss: values forward jit float32: TypeError in .*: no more"):
        assert_unchanged(folder, broken, PARAMS, X)


def test_the_kinds_that_count_can_be_chosen(folder):
    @same_name
    def warns(params, x):
        warnings.warn("soon", FutureWarning, stacklevel=1)
        return loss(params, x)

    assert_unchanged(folder, warns, PARAMS, X)
    with pytest.raises(AssertionError, match="warnings: loss: at call, .*: FutureWarning: soon, was none"):
        assert_unchanged(folder, warns, PARAMS, X, fail_on=("warnings",))


def test_without_a_snapshot_nothing_is_compared(tmp_path):
    with pytest.raises(SnapshotError, match="Pass a folder"):
        assert_unchanged(tmp_path, loss, PARAMS, X)


def test_a_port_is_compared_in_this_process(tmp_path):
    port = get_port("pure")
    take_snapshot(tmp_path / "port", port, equality=False)
    assert_unchanged(tmp_path / "port", port)


def test_integer_parameters_have_no_gradient(tmp_path):
    params = {"table": jnp.arange(4.0), "index": jnp.array([1, 2])}
    take_snapshot(tmp_path / "f", lambda p: p["table"][p["index"]], params)
    (subject,) = load(tmp_path / "f")[0].subjects
    assert subject.problems == []
    assert list(subject.values[1].arrays) == ["['table']"]
