"""The line for somebody's own test: of a function, and of a port."""

import warnings

import jax
import jax.numpy as jnp
import pytest
from support.snapshots import leave
from trigru.bench.upgrades import assert_unchanged, facts, take_snapshot
from trigru.bench.upgrades.folder import CHECKPOINTS, SnapshotError, load
from trigru.bench.upgrades.record import Subject
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
    assert list(subject.values) == ["forward jit", "gradient jit"]
    assert subject.problems == {}
    assert subject.calls["forward jit"]["traces in three calls"] == 1


def same_name(function):
    function.__qualname__ = loss.__qualname__
    return function


def test_another_function_is_told_whatever_its_name(folder):
    def other(params, x):
        return loss(params, x) * 1.01

    with pytest.raises(AssertionError, match=r"function: loss: forward jit: first .*, was the same bits"):
        assert_unchanged(folder, other, PARAMS, X)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_another_function_is_told_also_in_half_precision(tmp_path, dtype):
    params, x = jax.tree.map(lambda a: a.astype(dtype), (PARAMS, X))
    take_snapshot(tmp_path / "half", loss, params, x)
    with pytest.raises(AssertionError, match="function: loss: forward jit"):
        assert_unchanged(tmp_path / "half", same_name(lambda params, x: 2 * loss(params, x)), params, x)


def test_a_gradient_alone_is_told(folder):
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

    with pytest.raises(AssertionError, match="broken: loss: values forward jit: TypeError in .*: no more"):
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


def test_the_checkpoints_of_then_are_read_now(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "FACTS", {"checkpoints": facts.FACTS["checkpoints"]})
    port = get_port("linen")
    take_snapshot(tmp_path, port, equality=False)
    assert_unchanged(tmp_path, port)
    kept = min((tmp_path / CHECKPOINTS).iterdir())
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(AssertionError, match=f"checkpoints: linen: reading {kept.name}: "):
        assert_unchanged(tmp_path, port)


def test_integer_parameters_have_no_gradient(tmp_path):
    params = {"table": jnp.arange(4.0), "index": jnp.array([1, 2])}
    take_snapshot(tmp_path / "f", lambda p: p["table"][p["index"]], params)
    (subject,) = load(tmp_path / "f")[0].subjects
    assert subject.problems == {}
    assert list(subject.values["gradient jit"]) == ["['table']"]


def test_a_function_that_fails_is_not_kept(tmp_path):
    with pytest.raises(SnapshotError, match="the function fails, so that nothing is kept: KeyError"):
        take_snapshot(tmp_path / "f", lambda p: p["nope"], PARAMS)
    assert not (tmp_path / "f" / "snapshot.json").exists()


@pytest.mark.parametrize("lost", [{"a"}, {"b"}, {"a", "c"}])
def test_lost_and_renamed_results_are_told(tmp_path, lost):
    def results(names):
        return lambda params: {name: params["bias"].astype(int) for name in names}

    take_snapshot(tmp_path / "f", results("ab"), PARAMS)
    with pytest.raises(AssertionError, match="forward jit: results"):
        assert_unchanged(tmp_path / "f", results(lost), PARAMS)


def test_a_snapshot_of_something_else_is_no_proof(tmp_path):
    take_snapshot(tmp_path / "f", loss, PARAMS, X)
    with pytest.raises(AssertionError, match="unknown port 'loss'"):
        assert_unchanged(tmp_path / "f")
    leave(tmp_path, Subject("pure", "pure"), Subject("nnx", "nnx"))
    with pytest.raises(SnapshotError, match="has nothing of what was passed: it is of pure"):
        assert_unchanged(tmp_path, loss, PARAMS, X)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32", "complex64", "bool"])
def test_results_of_any_dtype(tmp_path, dtype):
    def results(params):
        return params["bias"].astype(dtype)

    params = {"bias": jnp.array([0.0, 1.0]), "scale": 2.0}
    take_snapshot(tmp_path / "f", results, params)
    assert_unchanged(tmp_path / "f", results, params)
    with pytest.raises(AssertionError, match="function: "):
        assert_unchanged(tmp_path / "f", results, {"bias": jnp.array([1.0, 0.0]), "scale": 2.0})


def test_infinities_that_are_alike_are_no_difference(tmp_path):
    def logits(params, factor=1.0):
        return jnp.where(jnp.arange(2) == 0, -jnp.inf, params["bias"] * factor)

    params = {"bias": jnp.array([1.0, 3.0])}
    take_snapshot(tmp_path / "f", logits, params)
    near = lambda params: logits(params, 1 + 2e-7)  # noqa: E731
    assert_unchanged(tmp_path / "f", near, params)
    with pytest.raises(AssertionError, match=r"bits: .* by \d ulp"):
        assert_unchanged(tmp_path / "f", near, params, fail_on=("bits",))
