"""Without a dtype of its own, a model computes in that of inputs, carry and parameters, promoted; none is rounded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.equality.bounds import accuracy_bound, relative_error
from trigru.common.equality.cases import Case

#: Of inputs, parameters, and a passed carry or None: each of them the widest, and two that promote to a third.
MIXES = [
    ("float64", "float32", None),
    ("float32", "bfloat16", None),
    ("float64", "bfloat16", "float32"),
    ("bfloat16", "float32", "float32"),
    ("float32", "float64", "float32"),
    ("float32", "float32", "float64"),
    ("bfloat16", "bfloat16", "float32"),
    ("float16", "bfloat16", "float16"),
]


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in the dtype of its arguments."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def promoted(*dtypes):
    return str(jnp.result_type(*[jnp.zeros((), dtype) for dtype in dtypes if dtype]))


@pytest.mark.parametrize("kernel", ["stock", "fused"])
@pytest.mark.parametrize(("of_x", "of_params", "of_carry"), MIXES)
def test_the_widest_decides_and_nothing_is_rounded(port, kernel, of_x, of_params, of_carry):
    case = Case.random(3, 7, 5, 6)
    params = jax.tree.map(lambda p: p.astype(of_params), case.params.gru)
    x, carry = case.x.astype(of_x), None if of_carry is None else case.carry.astype(of_carry)
    dtype = promoted(of_x, of_params, of_carry)
    wide, in_dtype = (
        oracle.forward(
            *jax.tree.map(lambda a, to=to: a.astype(to), (params, x, carry)), resets=case.resets, lengths=case.lengths
        )
        for to in ("float64", dtype)
    )
    model = port.load(GRUConfig(5, 6, kernel=kernel, param_dtype=of_params), params)
    x, carry, resets, lengths = jax.tree.map(jnp.asarray, (x, carry, case.resets, case.lengths))
    found = {"carry": None, "outputs": None}
    found["carry"], found["outputs"] = port.apply(model, x, carry, resets=resets, lengths=lengths)
    for name, got in found.items():
        want = getattr(wide, name)
        assert str(got.dtype) == dtype
        bound = accuracy_bound(getattr(in_dtype, name), want, dtype)
        assert relative_error(got, want) <= bound, name
    one, _ = port.step(model, x[:, 0], carry, reset=resets[:, 0])
    alone = oracle.forward(
        *jax.tree.map(lambda a: np.asarray(a, "float64"), (params, x[:, :1], carry)), resets=case.resets[:, :1]
    )
    assert str(one.dtype) == dtype
    assert relative_error(one, alone.carry) <= 16 * float(jnp.finfo(dtype).eps)


@pytest.mark.parametrize("kernel", ["stock", "fused"])
def test_what_counts_is_what_the_parameters_are_and_not_as_what_they_were_made(port, kernel):
    """As after a cast of the whole tree."""
    case = Case.random(3, 7, 5, 6).astype("float32")
    made = port.load(GRUConfig(5, 6, kernel=kernel), case.params.gru)
    for dtype in ("bfloat16", "float64"):
        model = jax.tree.map(lambda p, to=dtype: p.astype(to), made)
        x = jnp.asarray(case.x, "bfloat16")
        for found in (port.apply(model, x), port.step(model, x[:, 0])):
            assert {str(array.dtype) for array in found} == {dtype}


def test_a_dtype_that_is_asked_for_is_that_of_everything(port):
    case = Case.random(3, 7, 5, 6)
    model = port.load(GRUConfig(5, 6, dtype="float32", param_dtype="float64"), case.params.gru)
    for found in (
        port.apply(model, jnp.asarray(case.x), jnp.asarray(case.carry)),
        port.step(model, jnp.asarray(case.x[:, 0]), jnp.asarray(case.carry)),
    ):
        assert {str(array.dtype) for array in found} == {"float32"}
