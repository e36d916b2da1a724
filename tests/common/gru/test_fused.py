"""The fused kernel is a better program than the stock one; that it is the same
function, `verify` checks.
"""

import platform
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import Case
from trigru.common.config import GRUConfig
from trigru.common.equality.measurement import relative_error
from trigru.common.gru.fused import Weights, fused_scan
from trigru.common.gru.kernels import is_fused
from trigru.common.parameters.record import config_of
from trigru.common.program import equations
from trigru.impls import get_port
from trigru.impls.pure import gru, init

B, T, D, H = 3, 7, 4, 5
LENGTHS, RESETS = np.array([4, T, 0], "i4"), np.arange(B * T).reshape(B, T) % 5 == 3
PARAMS, X = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))
#: Primitives that are matrix products: of weights, since there are no others.
PRODUCTS = ("dot_general", "all_steps_product", "all_steps_gradient")


@pytest.fixture
def float64():
    """JAX computes in the dtype of its arguments, float64."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def along(function, tangent):
    return lambda primal: jax.jvp(function, (primal,), (tangent,))[1]


#: Whether with `remat`, and (scalar function of parameters and inputs, the point, a
#: direction) -> results. Others, as the gradient along a direction and that of each
#: example, are checks of the contract.
@pytest.mark.parametrize(
    ("remat", "transform"),
    [
        (False, lambda f, point, v: along(along(f, v), v)(point)),
        (True, lambda f, point, v: jax.linearize(f, point)[1](v)),
    ],
)
@pytest.mark.usefixtures("float64")
def test_transformed_it_is_what_the_stock_kernel_is(remat, transform):
    """With masks; the sums are not linear in the outputs."""
    case = Case.random(B, T, D, H)
    model = get_port("pure").load(config_of(case.params), case.params).params
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


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.usefixtures("float64")
def test_called_alone_it_ignores_a_reset_at_a_step_that_does_not_count(remat):
    """Ports drop such resets before they call it."""
    case = Case.random(B, T, D, H)
    weights = Weights(
        *get_port("pure").load(config_of(case.params), case.params).params[:4]
    )
    x, active = (
        jnp.moveaxis(jnp.asarray(case.x), 1, 0),
        jnp.arange(T)[:, None] < LENGTHS[None],
    )  # (T, B, ...)

    def scalar(weights, carry, initial, resets):
        last, outputs = fused_scan(
            weights, carry, initial, x, resets, active, remat=remat
        )
        return jnp.sum(last * case.carry) + jnp.sum(outputs**2), (last, outputs)

    run = jax.jit(jax.value_and_grad(scalar, argnums=(0, 1, 2), has_aux=True))
    states = jnp.asarray(case.carry), jnp.asarray(case.d_carry)  # (B, H)
    with_padding, without = (
        run(weights, *states, resets)
        for resets in (RESETS.T | ~active, jnp.asarray(RESETS.T))
    )
    np.testing.assert_array_equal(without[0][1][0][2], case.carry[2])  # of length 0
    jax.tree.map(np.testing.assert_array_equal, with_padding, without)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.usefixtures("float64")
def test_any_axis_may_be_the_mapped_one(axis):
    params, x = (
        init(D, H, param_dtype=jnp.float64, key=jax.random.key(0)),
        jnp.asarray(Case.random(B, T, D, H).x),
    )

    @partial(jax.jit, static_argnums=2)
    @jax.grad
    def found(params, x, axis):
        outputs = jax.vmap(
            partial(gru, params, kernel="fused", remat=True), in_axes=axis
        )(x)[1]  # (B, T, H)
        return jnp.sum(outputs**2)

    first, other = found(params, x, 0), found(params, jnp.moveaxis(x, 0, axis), axis)
    for got, want in zip(jax.tree.leaves(other), jax.tree.leaves(first), strict=True):
        assert relative_error(got, want) <= 1e-12


def equations_of(function, *arguments):
    return list(equations(jax.make_jaxpr(function)(*arguments).jaxpr))


def loops_of(function, *arguments):
    return [
        e for e, _ in equations_of(function, *arguments) if e.primitive.name == "scan"
    ]


def program_of(port, kernel, **options):
    """The gradient of a loss on all outputs, with respect to a model: (function,
    arguments).
    """
    config = GRUConfig(D, H, kernel=kernel)
    model = jax.eval_shape(
        lambda key: port.make(config, key), jax.random.key(0)
    )  # nothing is drawn, nothing run

    def loss(model, x, targets):
        _, outputs = port.apply(model, x, **options)
        return jnp.mean((outputs - targets) ** 2)

    arrays = (jax.ShapeDtypeStruct((B, T, size), "float32") for size in (D, H))
    return jax.value_and_grad(loss), (model, *arrays)


def test_the_loop_adds_nothing_of_a_weights_shape_up(port):
    """Nor does it multiply to one: all steps become one product after the loop."""
    weights = {(D, 3 * H), (H, 3 * H), (3 * H, D), (3 * H, H)} | {(D, H), (H, H)}

    def sums(kernel):
        function, arguments = program_of(port, kernel, lengths=jnp.asarray(LENGTHS))
        found = equations_of(function, *arguments)
        made = {
            e.primitive.name
            for e, loops in found
            if loops and e.outvars[0].aval.shape in weights
        }
        return made & {"add_any", "add", "dot_general"}

    assert sums("stock")
    assert not sums("fused")


def test_under_vmap_a_weights_gradient_is_one_product():
    """Not one for each example, to be summed: those would be as many arrays of a
    weight's shape.
    """

    def scalar(params):
        return jnp.sum(jax.vmap(partial(gru, params, kernel="fused"))(X)[1] ** 2)

    by_example = {tuple(sorted((B, size, 3 * H))) for size in (D, H)}
    products = [
        e
        for e, _ in equations_of(jax.grad(scalar), PARAMS)
        if e.primitive.name in PRODUCTS
    ]
    found = {e.outvars[0].aval.shape for e in products}
    assert {(D, 3 * H), (H, 3 * H)} <= found
    assert not by_example & {tuple(sorted(shape)) for shape in found}


def test_the_gradient_has_the_precision_of_the_call():
    def scalar(params, x):
        with jax.default_matmul_precision("highest"):
            return jnp.sum(gru(params, x, kernel="fused")[1] ** 2)

    found = equations_of(jax.grad(scalar, argnums=(0, 1)), PARAMS, X)
    asked = [
        str(e.params["precision"]) for e, _ in found if e.primitive.name in PRODUCTS
    ]
    assert len(asked) >= 6
    assert all("highest" in precision.lower() for precision in asked), asked


@pytest.mark.parametrize("jit", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("remat", [False, True])
def test_what_is_not_differentiated_costs_no_product(remat, jit):
    def scalar(kernel_i, kernel_h, x):
        params = PARAMS._replace(kernel_i=kernel_i, kernel_h=kernel_h)
        return jnp.sum(gru(params, x, kernel="fused", remat=remat)[1] ** 2)

    def asked(*argnums):
        arguments = PARAMS.kernel_i, PARAMS.kernel_h, jnp.ones((B, 6, D))
        return sum(
            e.primitive.name in PRODUCTS
            for e, _ in equations_of(jax.grad(jit(scalar), argnums), *arguments)
        )

    without_inputs = asked(0, 1)
    assert [
        asked(0, 1, 2) - without_inputs,
        without_inputs - asked(0),
        without_inputs - asked(1),
    ] == [1, 1, 1]


@pytest.mark.parametrize("remat", [False, True])
def test_a_step_keeps_the_state_and_the_gates_and_without_a_derivative_the_outputs(
    remat,
):
    def stacked(loop):
        return sum(v.aval.ndim > 2 for v in loop.outvars)  # the carry is (B, H)

    function, arguments = program_of(get_port("pure"), "fused")
    assert stacked(loops_of(function, *arguments)[0]) == 5
    loops = loops_of(partial(gru, kernel="fused", remat=remat), PARAMS, X)
    assert {stacked(loop) for loop in loops} == {1}


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_with_remat_it_runs_in_chunks_and_the_rest_comes_last(reverse):
    """A loop over the chunks, and in it one over their steps; then one over those left
    over.
    """
    loops = loops_of(
        partial(gru, kernel="fused", remat=True, reverse=reverse), PARAMS, X
    )
    assert [loop.params["length"] for loop in loops] == [2, 3, 1]
    assert {loop.params["reverse"] for loop in loops} == {reverse}


STEPS, EXAMPLES = jax.export.symbolic_shape("steps, examples")


@pytest.mark.parametrize(
    ("shape", "is_chosen"),
    [
        ((16, 16, 8), True),  # (T, *batch, D)
        ((15, 16, 8), False),
        ((15, 4, 4, 8), False),
        ((1, 15, 8), True),
        ((1, 3, 5, 8), True),
        ((1, 8), False),  # jax.vmap may map an axis of a batch
        ((16, 8), True),
        ((STEPS, 4, 8), False),
        ((16, EXAMPLES, 8), False),
    ],
)
@pytest.mark.parametrize(
    ("backend", "machine", "dtype", "is_measured"),
    [
        ("cpu", "x86_64", "float32", True),
        ("cpu", "AMD64", "float32", True),
        ("cpu", "aarch64", "float32", False),
        ("gpu", "x86_64", "float32", False),
        ("cpu", "x86_64", "bfloat16", False),
        ("cpu", "x86_64", "float64", False),
    ],
)
def test_auto_is_fused_where_it_is_expected_to_gain(
    monkeypatch, shape, is_chosen, backend, machine, dtype, is_measured
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with jax.enable_x64(True):
        x = jax.ShapeDtypeStruct(shape, dtype)
    assert is_fused("auto", x) is (is_chosen and is_measured)
    assert is_fused("fused", x)
    assert not is_fused("stock", x)
