"""The fused kernel is the same function as the stock one, under every transformation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import Case
from trigru.common.equality.bounds import relative_error
from trigru.common.gru.fused import Weights, fused_scan
from trigru.impls import get_port
from trigru.impls.pure import gru, init

B, T, D, H = 3, 7, 4, 5
LENGTHS, RESETS = np.array([4, T, 0], "i4"), np.arange(B * T).reshape(B, T) % 5 == 3


@pytest.fixture
def float64():
    """JAX computes in the dtype of its arguments, float64."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.usefixtures("float64")
def test_called_alone_it_ignores_a_reset_at_a_step_that_does_not_count(remat):
    """Ports drop such resets before they call it."""
    case = Case.random(B, T, D, H)
    weights = Weights(*get_port("pure").load(case.gru_config, case.params.gru).params[:4])
    x, active = jnp.moveaxis(jnp.asarray(case.x), 1, 0), jnp.arange(T)[:, None] < LENGTHS[None]  # (T, B, ...)
    initial = jnp.asarray(case.d_carry)  # (B, H)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def found(weights, carry, initial, resets):
        last, outputs = fused_scan(weights, carry, initial, x, resets, active, remat=remat)
        return jnp.sum(last * case.carry) + jnp.sum(outputs**2), (last, outputs)

    told = jnp.asarray(RESETS.T)
    with_padding, without = (found(weights, jnp.asarray(case.carry), initial, r) for r in (told | ~active, told))
    (_, (last, _)), _ = with_padding
    np.testing.assert_array_equal(last[2], case.carry[2])  # of length 0
    for got, want in zip(jax.tree.leaves(with_padding), jax.tree.leaves(without), strict=True):
        np.testing.assert_array_equal(got, want)


# Transformations ------------------------------------------------------------------------------------------------------


def along(function, tangent):
    """(primal) -> the derivative of a function along a tangent."""
    return lambda primal: jax.jvp(function, (primal,), (tangent,))[1]


def dotted(tree, other):
    """The sum of the products of two trees' leaves."""
    return sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True))


#: Whether with `remat`, and (scalar function of parameters and inputs, the point, a direction) -> results. Whether the
#: Hessian is right is a check of the contract, `hvp`; here are other ways to it.
TRANSFORMS = {
    "grad of grad": (True, lambda f, point, v: jax.grad(lambda p: dotted(jax.grad(f)(p), v))(point)),
    "jvp of jvp": (False, lambda f, point, v: along(along(f, v), v)(point)),
    "linearize": (True, lambda f, point, v: jax.linearize(f, point)[1](v)),
    "vmap of grad": (
        True,
        lambda f, point, v: jax.vmap(jax.grad(f), ((None, 0),))((point[0], jnp.stack([point[1], v[1]]))),
    ),
}


@pytest.mark.parametrize(("remat", "transform"), TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.usefixtures("float64")
def test_transformed_it_is_what_the_stock_kernel_is(remat, transform):
    """With masks; the sums are not linear in the outputs."""
    case = Case.random(B, T, D, H)
    model = get_port("pure").load(case.gru_config, case.params.gru).params
    point = model, jnp.asarray(case.x)
    direction = jax.tree.map(lambda a: jnp.roll(a, 1), point)
    masks = {"lengths": jnp.asarray(LENGTHS), "resets": jnp.asarray(RESETS)}

    def found(kernel):
        def scalar(point):
            params, x = point
            carry, outputs = gru(params, x, **masks, kernel=kernel, remat=remat)
            return jnp.sum(outputs**2 * case.targets) + jnp.sum(carry**3)

        return jax.tree.leaves(jax.jit(partial(transform, scalar))(point, direction))

    for got, want in zip(found("fused"), found("stock"), strict=True):
        assert np.abs(want).max() > 1e-6
        assert relative_error(got, want) <= 1e-12


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.usefixtures("float64")
def test_any_axis_may_be_the_mapped_one(axis):
    params, x = init(D, H, param_dtype=jnp.float64, key=jax.random.key(0)), jnp.asarray(Case.random(B, T, D, H).x)

    @partial(jax.jit, static_argnums=2)
    @jax.grad
    def found(params, x, axis):
        outputs = jax.vmap(partial(gru, params, kernel="fused"), in_axes=axis)(x)[1]  # (B, T, H)
        return jnp.sum(outputs**2)

    first, other = found(params, x, 0), found(params, jnp.moveaxis(x, 0, axis), axis)
    for got, want in zip(jax.tree.leaves(other), jax.tree.leaves(first), strict=True):
        assert relative_error(got, want) <= 1e-12
