"""The gradient that reaches the initial state."""

import jax
import msgspec
import numpy as np
import pytest
from trigru.bench.training import FRAMEWORKS
from trigru.bench.training.tables import vanishing_table
from trigru.bench.training.vanishing import CONFIG, Norm, Vanishing, _draw, _euclidean, vanishing
from trigru.common.equality import oracle


@pytest.fixture(scope="module")
def found():
    return vanishing(FRAMEWORKS, lengths=(1, 24), seeds=2)


def test_norms_are_the_oracles(found):
    with jax.enable_x64(True):
        params, x, targets = _draw(24, 1)
    tape = oracle.forward(params, x)
    for loss, weight in (("every-step", np.ones(24)), ("last-step", 24.0 * (np.arange(24) == 23))):
        d_outputs = 2 * (tape.outputs - targets) * weight[:, None] / targets.size
        want = oracle.backward(params, tape, d_outputs, np.zeros_like(tape.carry)).params
        (norm,) = (n for n in found.norms if (n.framework, n.loss, n.length, n.seed) == ("linen", loss, 24, 1))
        np.testing.assert_allclose(norm.gradient, np.linalg.norm(want.initial_carry), rtol=1e-5)
        np.testing.assert_allclose(norm.weights, np.linalg.norm(want.weight_hh), rtol=1e-5)


def test_norms_of_gradients_that_have_nearly_faded_are_not_zero():
    np.testing.assert_allclose(_euclidean(np.array([3e-200, 4e-200])), 5e-200, rtol=1e-12)
    assert _euclidean(np.zeros(2)) == 0


def test_frameworks_agree(found):
    assert found.spread() < 1e-5  # the file has six digits
    assert len(found.norms) == 3 * 2 * 2 * 2


def test_with_one_step_both_losses_are_one(found):
    one, other = (found.of(loss, "gradient")[1][0] for loss in ("last-step", "every-step"))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_the_last_steps_gradient_fades_much_faster_than_the_mean_over_steps(found):
    lengths, last = found.of("last-step", "gradient")
    _, every = found.of("every-step", "gradient")
    assert lengths == [1, 24]
    assert (last[1] < 1e-3 * last[0]).all()
    assert (every[1] > 1e-2 * every[0]).all()


def test_a_rate_scaled_by_length_undoes_the_mean(found):
    for loss in ("last-step", "every-step"):
        lengths, gradient = found.of(loss, "gradient")
        _, update = found.of(loss, "update")
        np.testing.assert_allclose(update, gradient * np.array(lengths)[:, None], rtol=1e-5)


def test_a_table_has_a_row_for_each_length(found):
    table = vanishing_table(found)
    assert [row[0] for row in table.rows] == ["1", "24"]
    assert len(table.columns) == len(table.rows[0]) == 6
    fields = [(loss, field) for loss in ("last-step", "every-step") for field in ("gradient", "update")]
    fields.append(("every-step", "weights"))
    assert table.rows[1][1:] == tuple(f"{np.median(found.of(*field)[1][1]):.2g}" for field in fields)


def test_norms_are_looked_up_by_framework():
    norms = [Norm(name, "last-step", 1, 0, size, size, 1.0) for name, size in (("linen", 2.0), ("nnx", 1.0))]
    assert Vanishing(norms).of("last-step", "gradient")[1].tolist() == [[2.0]]
    assert Vanishing(norms).of("last-step", "gradient", "nnx")[1].tolist() == [[1.0]]


@pytest.mark.parametrize("field", ["gradient", "update", "weights"])
def test_frameworks_that_part_in_one_norm_alone_would_show(field):
    sizes = {"gradient": 1.0, "update": 1.0, "weights": 1.0}
    norms = [Norm("linen", "last-step", 1, 0, **sizes), Norm("nnx", "last-step", 1, 0, **sizes | {field: 2.0})]
    assert Vanishing(norms).spread() == 0.5


@pytest.mark.parametrize(("size", "seeds", "draws"), [(0.0, 1, "one draw"), (1.0, 2, "medians of 2 draws")])
def test_a_table_explains_what_stands_in_it(size, seeds, draws):
    norms = [
        Norm("linen", loss, 1, seed, size, size, size) for loss in ("last-step", "every-step") for seed in range(seeds)
    ]
    (note,) = vanishing_table(Vanishing(norms)).notes
    assert f"Euclidean norms, {draws}, float64" in note
    assert ("Underflow: " in note) == (size == 0)


ONE = Norm("linen", "last-step", 1, 0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("norms", "said"),
    [
        ([ONE, ONE], "linen last-step 1 seed 0 is there twice"),
        ([ONE, msgspec.structs.replace(ONE, length=2), msgspec.structs.replace(ONE, length=2, seed=1)], "lacks a seed"),
        ([ONE, msgspec.structs.replace(ONE, framework="nnx", length=2)], "lacks a seed"),
        ([msgspec.to_builtins(ONE) | {"framework": "torch"}], "torch last-step is no framework and loss"),
        ([msgspec.to_builtins(ONE) | {"update": -1.0}], ">= 0.0"),
        ([], "length >= 1"),
    ],
)
def test_norms_that_cannot_be_of_one_run_are_refused(norms, said):
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(msgspec.to_builtins({"norms": norms}), Vanishing)


def test_the_model_is_that_of_the_question():
    assert (CONFIG.input_size, CONFIG.hidden_size) == (20, 200)
