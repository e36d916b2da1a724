"""What the fused kernel is for: how its gradient is computed, what it keeps, and what it costs."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from trigru.common.config import GRUConfig
from trigru.impls import get_port
from trigru.impls.pure import gru, init

from ...support.jaxprs import equations, loops_of

B, T, D, H = 3, 7, 4, 5
LENGTHS = [4, T, 0]
PARAMS, X = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))


def made_in_loops(program, shapes):
    """The primitives whose results have one of these shapes, in loops."""
    return {e.primitive.name for e, loops in equations(program) if loops and e.outvars[0].aval.shape in shapes}


def program_of(port, kernel, **options):
    """The gradient of a loss on all outputs, with respect to a model: (function, arguments)."""
    config = GRUConfig(D, H, kernel=kernel)
    model = jax.eval_shape(lambda key: port.make(config, key), jax.random.key(0))  # nothing is drawn, nothing run

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
        return made_in_loops(jax.make_jaxpr(function)(*arguments).jaxpr, weights) & {"add_any", "add", "dot_general"}

    assert sums("stock")
    assert not sums("fused")


def test_under_vmap_a_weights_gradient_is_one_product():
    """Not one for each example, to be summed: those would be as many arrays of a weight's shape."""

    def scalar(params, kernel):
        return jnp.sum(jax.vmap(partial(gru, params, kernel=kernel))(X)[1] ** 2)

    def shapes(kernel):
        program = jax.make_jaxpr(jax.grad(partial(scalar, kernel=kernel)))(PARAMS)
        return {e.outvars[0].aval.shape for e, _ in equations(program.jaxpr) if e.primitive.name in PRODUCTS}

    by_example = {tuple(sorted((B, size, 3 * H))) for size in (D, H)}
    found = shapes("fused")
    assert {(D, 3 * H), (H, 3 * H)} <= found
    assert not by_example & {tuple(sorted(shape)) for shape in found}


def test_the_gradient_has_the_precision_of_the_call():

    def scalar(params, x):
        with jax.default_matmul_precision("highest"):
            return jnp.sum(gru(params, x, kernel="fused")[1] ** 2)

    program = jax.make_jaxpr(jax.grad(scalar, argnums=(0, 1)))(PARAMS, X)
    asked = [str(e.params["precision"]) for e, _ in equations(program.jaxpr) if e.primitive.name in PRODUCTS]
    assert len(asked) >= 6
    assert all("highest" in precision.lower() for precision in asked), asked


#: In a program's text, before it is lowered.
PRODUCTS = ("dot_general", "all_steps_product", "all_steps_gradient")


def products(function, *arguments):
    """Matrix products in a program's text: of weights, since there are no others."""
    names = [e.primitive.name for e, _ in equations(jax.make_jaxpr(function)(*arguments).jaxpr)]
    return sum(name in PRODUCTS for name in names)


@pytest.mark.parametrize("jit", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("remat", [False, True])
def test_what_is_not_differentiated_costs_no_product(remat, jit):
    def scalar(kernel_i, kernel_h, x):
        params = PARAMS._replace(kernel_i=kernel_i, kernel_h=kernel_h)
        return jnp.sum(gru(params, x, kernel="fused", remat=remat)[1] ** 2)

    def asked(*argnums):
        arguments = PARAMS.kernel_i, PARAMS.kernel_h, jnp.ones((B, 6, D))
        program = jax.make_jaxpr(jax.grad(jit(scalar), argnums))(*arguments).jaxpr
        return sum(e.primitive.name in PRODUCTS for e, _ in equations(program))

    without_inputs = asked(0, 1)
    assert [asked(0, 1, 2) - without_inputs, without_inputs - asked(0), without_inputs - asked(1)] == [1, 1, 1]


@pytest.mark.parametrize("remat", [False, True])
def test_a_step_keeps_the_state_and_the_gates_and_without_a_derivative_the_outputs(remat):
    def stacked(loop):
        return sum(v.aval.ndim > 2 for v in loop.outvars)  # the carry is (B, H)

    function, arguments = program_of(get_port("pure"), "fused")
    assert stacked(loops_of(function, *arguments)[0]) == 5
    loops = loops_of(partial(gru, kernel="fused", remat=remat), PARAMS, X)
    assert {stacked(loop) for loop in loops} == {1}


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_with_remat_it_runs_in_chunks_and_the_rest_comes_last(reverse):
    """A loop over the chunks, and in it one over their steps; then one over those left over."""
    loops = loops_of(partial(gru, kernel="fused", remat=True, reverse=reverse), PARAMS, X)
    assert [loop.params["length"] for loop in loops] == [2, 3, 1]
    assert {loop.params["reverse"] for loop in loops} == {reverse}


@pytest.mark.parametrize(
    ("vendor", "dtype", "stands_for"),
    [("AuthenticAMD", "float32", "fused"), ("AuthenticAMD", "bfloat16", "stock"), ("GenuineIntel", "float32", "stock")],
)
def test_auto_runs_the_program_that_was_measured_to_be_the_faster(port, monkeypatch, vendor, dtype, stands_for):
    monkeypatch.setattr("trigru.common.gru.kernels.vendor", lambda: vendor)
    monkeypatch.setattr(type(port), "kernels", ("stock", "fused", "auto"))  # proofs do not take auto

    def program(kernel):
        model = port.make(GRUConfig(D, H, dtype=dtype, kernel=kernel), jax.random.key(0))
        return jax.jit(lambda x: port.apply(model, x)).lower(X).as_text()

    assert program("auto") == program(stands_for)
    assert program("stock") != program("fused")
