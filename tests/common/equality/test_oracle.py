"""The oracle against central finite differences, a second writing of its equations, and the vectors that are kept."""

import runpy
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.cases import Case
from trigru.common.equality import checks, oracle
from trigru.common.equality.measurement import accuracy_bound, relative_error
from trigru.common.parameters.record import from_leaves, leaves

sizes = st.integers(1, 4)


def scalar_cell(p, x, h):
    """The equations for one unit at a time, without a matrix product."""
    H = len(h)

    def row(weight, gate, unit, vector):
        return sum(weight[gate * H + unit, k] * vector[k] for k in range(len(vector)))

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    after = []
    for j in range(H):
        r = sigmoid(row(p.weight_ih, 0, j, x) + p.bias[j] + row(p.weight_hh, 0, j, h))
        z = sigmoid(
            row(p.weight_ih, 1, j, x) + p.bias[H + j] + row(p.weight_hh, 1, j, h)
        )
        n = np.tanh(
            row(p.weight_ih, 2, j, x)
            + p.bias[2 * H + j]
            + r * (row(p.weight_hh, 2, j, h) + p.bias_n[j])
        )
        after.append((1 - z) * n + z * h[j])
    return np.array(after)


def scalar_run(p, x, carry, length, resets, reverse):
    h = p.initial_carry if carry is None else carry
    outputs = np.zeros((len(x), len(h)))
    for t in range(min(length, len(x)))[:: -1 if reverse else 1]:
        outputs[t] = h = scalar_cell(p, x[t], p.initial_carry if resets[t] else h)
    return h, outputs


@given(
    st.tuples(sizes, sizes, sizes, sizes),
    st.integers(0, 2**16),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_forward_is_the_equations(shape, seed, passed, reverse):
    case = Case.random(*shape, seed=seed)
    carry = case.carry if passed else None
    result = oracle.forward(
        case.params, case.x, carry, case.lengths, case.resets, reverse=reverse
    )
    for b in range(shape[0]):
        start = case.carry[b] if passed else None
        carry, outputs = scalar_run(
            case.params, case.x[b], start, case.lengths[b], case.resets[b], reverse
        )
        np.testing.assert_allclose(result.carry[b], carry, rtol=0, atol=1e-14)
        np.testing.assert_allclose(result.outputs[b], outputs, rtol=0, atol=1e-14)


def assert_central_differences(gradient, function, at, step=1e-6):
    """The gradient of a function of arrays by name: for each, along a random direction."""
    for name, array in at.items():
        way = np.random.default_rng(array.size).normal(size=array.shape)
        after, before = (
            function(at | {name: array + moved * way}) for moved in (step, -step)
        )
        expected = (after - before) / (2 * step)
        np.testing.assert_allclose(
            np.sum(gradient[name] * way), expected, rtol=0, atol=5e-8, err_msg=name
        )


@pytest.mark.parametrize("passed", [False, True])
@pytest.mark.parametrize(
    ("masked", "reverse"), [(False, False), (True, False), (True, True)]
)
def test_gradients_are_finite_differences(passed, masked, reverse):
    case = Case.random(3, 5, 2, 3, seed=4)
    masks = (case.lengths, case.resets) if masked else (None, None)
    at = leaves(case.params) | {"x": case.x} | ({"carry": case.carry} if passed else {})

    def forward_of(arrays):
        return oracle.forward(
            from_leaves(arrays),
            arrays["x"],
            arrays.get("carry"),
            *masks,
            reverse=reverse,
        )

    def scalar(arrays):
        result = forward_of(arrays)
        return np.sum(result.outputs * case.targets) + np.sum(
            result.carry * case.d_carry
        )

    found = oracle.backward(case.params, forward_of(at), case.targets, case.d_carry)
    assert (found.carry is not None) == passed
    assert_central_differences(
        leaves(found.params) | {"x": found.x, "carry": found.carry}, scalar, at
    )


def test_loss_gradients_are_finite_differences():
    case = Case.random(3, 4, 2, 3, seed=5)
    params = case.params
    _, gradient = oracle.loss_and_grad(params, case.x, case.targets, case.lengths)

    def value(arrays):
        moved = from_leaves(arrays)
        loss, _ = oracle.loss_and_grad(moved, case.x, case.targets, case.lengths)
        return loss

    assert_central_differences(leaves(gradient), value, leaves(params))


def test_it_computes_in_the_dtype_that_it_is_given():
    case = Case.random(2, 4, 2, 3).astype("float32")
    result = oracle.forward(case.params, case.x, case.carry)
    gradients = oracle.backward(case.params, result, case.targets, case.d_carry)
    arrays = [
        result.carry,
        result.outputs,
        gradients.x,
        gradients.carry,
        *gradients.params,
    ]
    loss, gradient = oracle.loss_and_grad(case.params, case.x, case.targets)
    arrays += [np.asarray(loss), *gradient]
    assert {a.dtype.name for a in arrays} == {"float32"}


def test_what_goes_into_a_product_is_rounded():
    """To the significant bits that are asked for, those of TF32 or bfloat16, in each product."""
    case = Case.random(2, 4, 2, 3).astype("float32")
    params = case.params
    exact = oracle.forward(params, case.x)
    tf32 = oracle.forward(params, case.x, operand_bits=11)
    short = oracle.forward(params, case.x, operand_bits=8)
    off = np.abs(tf32.outputs - exact.outputs).max()
    assert 2 < np.abs(short.outputs - exact.outputs).max() / off < 40
    assert tf32.outputs.dtype == np.float32

    step = case.x[:, :1].astype(ml_dtypes.bfloat16).astype(np.float32)
    weights = {}
    for name in ("weight_ih", "weight_hh", "initial_carry"):
        array = getattr(params, name)
        weights[name] = array.astype(ml_dtypes.bfloat16).astype(np.float32)
    rounded = params._replace(**weights)
    first = oracle.forward(rounded, step).steps[0]
    np.testing.assert_array_equal(short.steps[0].gh_n, first.gh_n)


def test_gradients_round_what_goes_into_their_products():
    case = Case.random(2, 4, 2, 3).astype("float32")
    arguments = case.params, case.x, case.targets
    _, exact = oracle.loss_and_grad(*arguments)
    _, short = oracle.loss_and_grad(*arguments, operand_bits=8)
    off = relative_error(short.weight_ih, exact.weight_ih)
    assert 1e-5 < off < 1e-1


def test_a_bound_is_no_finer_than_what_goes_into_products():
    exact = np.array([1.0, 2.0])
    assert accuracy_bound(exact, exact, "float32") == 4 * 2.0**-23
    assert accuracy_bound(exact, exact, "float32", 11) == 4 * 2.0**-10
    assert accuracy_bound(exact, exact, "bfloat16", 11) == 4 * 2.0**-7
    assert (
        accuracy_bound(np.array([1.0, 2.5]), exact, "float32", 8)
        == 4 * 0.25 + 4 * 2.0**-7
    )


def test_it_still_gives_the_golden_vectors_whose_file_can_be_made_again(tmp_path):
    runpy.run_path(str(Path(__file__).parents[3] / ".ci" / "golden.py"))["write"](
        tmp_path / "again"
    )
    again = checks.load((tmp_path / "again").read_bytes())
    assert set(again) == set(checks.golden())
    for name, kept in checks.golden().items():
        np.testing.assert_allclose(
            again[name], kept, rtol=0, atol=1e-14 * np.abs(kept).max(), err_msg=name
        )
