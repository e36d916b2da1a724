"""The fused kernel is the same function as any other; what it is for is how its gradient is computed."""

import os
import re
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trigru.common.config import GRUConfig
from trigru.common.equality.bounds import relative_error
from trigru.common.equality.cases import Case
from trigru.common.equality.checks import get_checks
from trigru.common.equality.checks.sequences import SequenceQuestion, sequence_check
from trigru.common.equality.verification import assert_equivalent
from trigru.common.errors import InputError
from trigru.common.gru.kernels import FusedKernel, fused_kernel
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port
from trigru.impls.pure import gru, init

B, T, D, H = 3, 7, 4, 5
LENGTHS, RESETS = np.array([4, T, 0], "i4"), np.arange(B * T).reshape(B, T) % 5 == 3


def masks():
    """Lengths and resets for a batch of three."""
    return {"lengths": jnp.asarray(LENGTHS), "resets": jnp.asarray(RESETS)}


@pytest.fixture
def float64():
    """JAX computes in the dtype of its arguments, float64."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def fused(choices=""):
    """Plain JAX with the fused kernel."""
    return WithKernel(get_port("pure"), f"fused@{choices}" if choices else "fused")


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("stock", None),
        ("fused", FusedKernel(save="all", hoist=False, chunk=None, unroll=None)),
        ("fused@save=some", FusedKernel(save="some")),
        ("fused@save=none,chunk=16", FusedKernel(save="none", chunk=16)),
        ("fused@hoist=true,unroll=4", FusedKernel(hoist=True, unroll=4)),
        ("fused@hoist=false", FusedKernel()),
    ],
)
def test_a_name_holds_the_choices(name, kernel):
    assert fused_kernel(name) == kernel


@pytest.mark.parametrize(
    "name", ["", "fast", "Fused", "fused@", "fused@steps=3", "fused @chunk=2", "stock@save=none", "fused,save=none"]
)
def test_other_names_are_refused(name):
    with pytest.raises(
        InputError, match=re.escape(f"kernel is {name!r}, expected stock, fused, or fused with some of")
    ):
        fused_kernel(name)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("save=most", "save is 'most', expected one of all, some, none"),
        ("save=true", "save is True, expected one of all, some, none"),
        ("hoist=1", "hoist is 1, expected True or False"),
        ("hoist=yes", "hoist is 'yes', expected True or False"),
        ("chunk=0", "chunk is 0, expected a whole number of at least 1"),
        ("chunk=-4", "chunk is '-4', expected a whole number of at least 1"),
        ("chunk", "chunk is '', expected a whole number of at least 1"),
        ("unroll=1.5", "unroll is '1.5', expected a whole number of at least 1"),
        ("save=none@chunk=3", "save is 'none@chunk=3', expected one of all, some, none"),
        ("chunk=3,chunk=4", "kernel is 'fused@chunk=3,chunk=4', which says chunk twice"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_other_choices_are_refused(choice, message):
    with pytest.raises(InputError, match=re.escape(message)):
        fused_kernel(f"fused@{choice}")


def test_remat_saves_nothing_whatever_the_name_says():
    assert fused_kernel("fused@save=all,hoist=true,chunk=4", remat=True) == FusedKernel("none", hoist=True, chunk=4)
    assert fused_kernel("stock", remat=True) is None


# The same function ----------------------------------------------------------------------------------------------------

#: The cases have 17 steps, which chunks divide or don't.
EVERY_CHOICE = {
    "save=some": ("masks", "hvp"),
    "save=none": ("reverse", "vmap"),
    "hoist=true": ("inference",),
    "chunk=1": ("reverse",),
    "chunk=5": ("masks", "jvp", "inference"),
    "chunk=17,unroll=3": ("masks",),
    "chunk=99": ("reverse",),
    "save=some,hoist=true,chunk=4": ("masks",),
    "save=none,hoist=true,chunk=8": ("masks",),
}


@pytest.mark.parametrize(("choices", "names"), EVERY_CHOICE.items(), ids=EVERY_CHOICE)
def test_no_choice_changes_what_is_computed(choices, names):
    assert_equivalent(fused(choices), dtypes=["float64"], checks=get_checks(*names))


@pytest.mark.usefixtures("optimized")  # LLVM decides how tanh and sums are rounded
@pytest.mark.parametrize(("choices", "name"), [("", "sequence"), ("", "masks"), ("save=some,hoist=true", "sequence")])
def test_it_is_as_accurate_as_the_dtype_allows(choices, name):
    assert_equivalent(fused(choices), dtypes=["float32", "bfloat16"], checks=get_checks(name))


@st.composite
def calls(draw):
    """Choices, a question and a case."""
    batch, time, input_size = (draw(st.integers(1, most)) for most in (3, 6, 3))
    kernel = {
        "save": draw(st.sampled_from(["all", "some", "none"])),
        "hoist": draw(st.sampled_from(["true", "false"])),
        "chunk": draw(st.integers(1, 7)),
        "unroll": draw(st.integers(1, 4)),
    }
    asked = {name: draw(st.booleans()) for name in ("passed", "lengths", "resets", "reverse")}
    # of one unit alone, a sum can cancel by chance, and leave no magnitude to be relative to
    return kernel, asked, (batch, time, input_size, draw(st.integers(2, 4))), draw(st.integers(0, 2**16))


@given(calls())
@example(({"save": "some", "chunk": 2}, {"lengths": True, "resets": True, "reverse": True}, (1, 5, 2, 3), 1))
@example(({"save": "none"}, {"passed": True, "resets": True}, (2, 1, 2, 3), 2))
@example(({"save": "all", "chunk": 1, "unroll": 2}, {}, (1, 1, 1, 1), 7))
@settings(max_examples=4, deadline=None)
def test_any_call_with_any_choices_is_the_oracles(call):
    kernel, asked, sizes, seed = call
    check = sequence_check("any call", "anything", SequenceQuestion(**asked))
    port = fused(",".join(f"{name}={value}" for name, value in kernel.items()))
    assert_equivalent(port, dtypes=["float64"], checks=[check], cases=[Case.random(*sizes, seed=seed)])


@pytest.mark.parametrize("choices", ["", "save=none,chunk=3"], ids=["plain", "chunks"])
def test_what_stands_in_the_padding_changes_no_bit_of_the_gradient_either(choices):
    port, case = fused(choices), Case.random(B, T, D, H).astype("float32")
    model = port.load(case.gru_config, case.params.gru)
    padding = (np.arange(T) >= LENGTHS[:, None])[..., None]

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def found(model, x):
        carry, outputs = port.apply(model, x, **masks())
        return jnp.sum(outputs * case.targets) + jnp.sum(carry * case.d_carry), (carry, outputs)

    clean, filled = (jax.tree.leaves(found(model, jnp.where(padding, value, case.x))) for value in (0, np.nan))
    for got, want in zip(filled, clean, strict=True):
        assert np.isfinite(want).all()
        np.testing.assert_array_equal(got, want)


# Transformations ------------------------------------------------------------------------------------------------------


def along(function, tangent):
    """(primal) -> the derivative of a function along a tangent."""
    return lambda primal: jax.jvp(function, (primal,), (tangent,))[1]


def dotted(tree, other):
    """The sum of the products of two trees' leaves."""
    return sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True))


#: A kernel and (scalar function of parameters and inputs, the point, a direction) -> results. Whether the Hessian is
#: right is a check of the contract, `hvp`; here are other ways to it.
TRANSFORMS = {
    "grad of grad": (
        "fused@save=none,chunk=3",
        lambda f, point, v: jax.grad(lambda p: dotted(jax.grad(f)(p), v))(point),
    ),
    "jvp of jvp": ("fused", lambda f, point, v: along(along(f, v), v)(point)),
    "linearize": ("fused@chunk=3", lambda f, point, v: jax.linearize(f, point)[1](v)),
    "checkpoint": ("fused", lambda f, point, v: jax.grad(jax.checkpoint(f))(point)),
    "vmap of grad": (
        "fused@save=none,chunk=3",
        lambda f, point, v: jax.vmap(jax.grad(f), ((None, 0),))((point[0], jnp.stack([point[1], v[1]]))),
    ),
}


@pytest.mark.parametrize(("kernel", "transform"), TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.usefixtures("float64")
def test_transformed_it_is_what_the_stock_kernel_is(kernel, transform):
    """With masks; the sums are not linear in the outputs."""
    case = Case.random(B, T, D, H)
    model = get_port("pure").load(case.gru_config, case.params.gru).params
    point = model, jnp.asarray(case.x)
    direction = jax.tree.map(lambda a: jnp.roll(a, 1), point)

    def found(kernel):
        def scalar(point):
            params, x = point
            carry, outputs = gru(params, x, **masks(), kernel=kernel)
            return jnp.sum(outputs**2 * case.targets) + jnp.sum(carry**3)

        return jax.tree.leaves(jax.jit(partial(transform, scalar))(point, direction))

    for got, want in zip(found(kernel), found("stock"), strict=True):
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


@pytest.mark.usefixtures("float64")
def test_each_gradient_alone_is_that_of_all_together():
    case = Case.random(B, T, D, H)
    params = get_port("pure").load(case.gru_config, case.params.gru).params
    everything = dict(params._asdict(), x=jnp.asarray(case.x), carry=jnp.asarray(case.carry))

    def scalar(some, rest):
        arrays = some | rest
        x, carry = arrays.pop("x"), arrays.pop("carry")
        carry, outputs = gru(type(params)(**arrays), x, carry, **masks(), kernel="fused")
        return jnp.sum(outputs * case.targets) + jnp.sum(carry * case.d_carry)

    @jax.jit
    def gradients(everything):
        alone = {}
        for name in everything:
            rest = {other: array for other, array in everything.items() if other != name}
            alone |= jax.grad(scalar)({name: everything[name]}, rest)
        return alone, jax.grad(scalar)(everything, {})

    alone, together = gradients(everything)
    for name in everything:
        assert np.abs(together[name]).max() > 1e-3
        assert relative_error(alone[name], together[name]) <= 1e-12


# What is computed -----------------------------------------------------------------------------------------------------


def equations(jaxpr, loops=0):
    """Every equation of a program, however deep, with the number of loops around it."""
    for equation in jaxpr.eqns:
        yield equation, loops
        inside = loops + (equation.primitive.name in ("scan", "while"))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner, inside)


def made_in_loops(program, shapes):
    """The primitives whose results have one of these shapes, in loops."""
    return {e.primitive.name for e, loops in equations(program) if loops and e.outvars[0].aval.shape in shapes}


def summed_in_loops(hlo, shapes):
    """Additions and matrix products in the bodies of optimised loops, by their shape."""
    bodies = dict(re.findall(r"^(?:ENTRY )?%?([\w.\-]+) \([^\n]*\{\n(.*?)^\}", hlo, re.MULTILINE | re.DOTALL))
    reached, waiting = set(), re.findall(r"body=%?([\w.\-]+)", hlo)
    assert waiting
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += re.findall(r"(?:calls|body|to_apply)=%?([\w.\-]+)", bodies[name])
    inside = "\n".join(bodies[name] for name in reached)
    found = re.findall(r"= f32\[([\d,]+)\]\S* (?:add|dot)\(", inside)
    return shapes & {tuple(sorted(map(int, shape.split(",")))) for shape in found}


def program_of(port, kernel, sizes=(B, T, D, H), **options):
    """The gradient of a loss on all outputs, with respect to a model: (function, arguments)."""
    batch, time, input_size, hidden_size = sizes
    config = GRUConfig(input_size, hidden_size, kernel=kernel)
    model = jax.eval_shape(lambda key: port.make(config, key), jax.random.key(0))  # nothing is drawn, nothing run

    def loss(model, x, targets):
        _, outputs = port.apply(model, x, **options)
        return jnp.mean((outputs - targets) ** 2)

    arrays = (jax.ShapeDtypeStruct((batch, time, size), "float32") for size in (input_size, hidden_size))
    return jax.value_and_grad(loss), (model, *arrays)


def test_the_loop_adds_nothing_of_a_weights_shape_up(port):
    """Nor does it multiply to one: all steps of a chunk become one product after its loop."""
    weights = {(D, 3 * H), (H, 3 * H), (3 * H, D), (3 * H, H)} | {(D, H), (H, H)}

    def sums(kernel):
        function, arguments = program_of(port, kernel, lengths=jnp.asarray(LENGTHS))
        return made_in_loops(jax.make_jaxpr(function)(*arguments).jaxpr, weights) & {"add_any", "add", "dot_general"}

    assert sums("stock")
    for kernel in ("fused", "fused@save=some", "fused@hoist=true,unroll=2"):
        assert not sums(kernel), kernel
    assert sums("fused@chunk=3"), "chunks are added up"


def test_the_compiled_loop_adds_nothing_of_a_weights_shape_up():
    weights = {(D, 3 * H), (H, 3 * H)}

    def sums(kernel):
        function, arguments = program_of(get_port("pure"), kernel)
        return summed_in_loops(jax.jit(function).lower(*arguments).compile().as_text(), weights)

    assert sums("stock") == weights
    assert not sums("fused")


def test_under_vmap_a_weights_gradient_is_one_product():
    """Not one for each example, to be summed: those would be as many arrays of a weight's shape."""
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))

    def scalar(params, kernel):
        return jnp.sum(jax.vmap(partial(gru, params, kernel=kernel))(x)[1] ** 2)

    def shapes(kernel):
        program = jax.make_jaxpr(jax.grad(partial(scalar, kernel=kernel)))(params)
        return {e.outvars[0].aval.shape for e, _ in equations(program.jaxpr) if e.primitive.name == "dot_general"}

    by_example = {tuple(sorted((B, size, 3 * H))) for size in (D, H)}
    found = shapes("fused")
    assert {(D, 3 * H), (H, 3 * H)} <= found
    assert not by_example & {tuple(sorted(shape)) for shape in found}


def test_the_gradient_has_the_precision_of_the_call():
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))

    def scalar(params, x):
        with jax.default_matmul_precision("highest"):
            return jnp.sum(gru(params, x, kernel="fused")[1] ** 2)

    program = jax.make_jaxpr(jax.grad(scalar, argnums=(0, 1)))(params, x)
    asked = [str(e.params["precision"]) for e, _ in equations(program.jaxpr) if e.primitive.name in PRODUCTS]
    assert len(asked) >= 6
    assert all("highest" in precision.lower() for precision in asked), asked


#: In a program's text, before it is lowered.
PRODUCTS = ("dot_general", "all_steps_product")


def products(function, *arguments):
    """Matrix products in a program's text: of weights, since there are no others."""
    names = [e.primitive.name for e, _ in equations(jax.make_jaxpr(function)(*arguments).jaxpr)]
    return sum(name in PRODUCTS for name in names)


@pytest.mark.parametrize("jit", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("kernel", ["fused", "fused@save=some", "fused@chunk=3", "fused@save=none"])
def test_what_is_not_differentiated_costs_no_product(kernel, jit):
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, 6, D))

    def scalar(kernel_i, kernel_h, x):
        _, outputs = gru(params._replace(kernel_i=kernel_i, kernel_h=kernel_h), x, kernel=kernel)
        return jnp.sum(outputs**2)

    def asked(*argnums):
        return products(jax.grad(jit(scalar), argnums), params.kernel_i, params.kernel_h, x)

    without_inputs = asked(0, 1)
    assert [asked(0, 1, 2) - without_inputs, without_inputs - asked(0), without_inputs - asked(1)] == [1, 1, 1]


def loops_of(function, *arguments):
    return [e for e, _ in equations(jax.make_jaxpr(function)(*arguments).jaxpr) if e.primitive.name == "scan"]


def stacked(loop):
    """How many arrays a loop gives out at each step."""
    return sum(v.aval.ndim > 2 for v in loop.outvars)  # the carry is (B, H)


@pytest.mark.parametrize(("save", "arrays"), [("all", 5), ("some", 3)])
def test_a_step_keeps_the_state_and_the_gates_that_are_saved(save, arrays):
    function, arguments = program_of(get_port("pure"), f"fused@save={save}")
    first, *_ = loops_of(function, *arguments)
    assert stacked(first) == arrays


@pytest.mark.parametrize("save", ["all", "some", "none"])
def test_without_a_derivative_nothing_but_the_outputs_is_kept(save):
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))
    loops = loops_of(partial(gru, kernel=f"fused@save={save}"), params, x)
    assert {stacked(loop) for loop in loops} == {1}


@pytest.mark.parametrize(
    ("choices", "lengths"),
    [("chunk=3", [2, 3, 1]), ("chunk=7", [7]), ("chunk=99", [7]), ("save=none", [2, 3, 1]), ("save=some", [7])],
)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_chunks_are_as_long_as_said_and_the_rest_comes_last(choices, lengths, reverse):
    """A loop over the chunks, and in it one over their steps; then one over those left over."""
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, 7, D))
    loops = loops_of(partial(gru, kernel=f"fused@{choices}", reverse=reverse), params, x)
    assert [loop.params["length"] for loop in loops] == lengths
    assert {loop.params["reverse"] for loop in loops} == {reverse}


@pytest.mark.parametrize(("hoist", "inside"), [("false", 2), ("true", 1)])
def test_hoisted_the_inputs_are_multiplied_before_the_loop(hoist, inside):
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))
    program = jax.make_jaxpr(partial(gru, kernel=f"fused@hoist={hoist}"))(params, x)
    assert sum(e.primitive.name == "dot_general" and loops > 0 for e, loops in equations(program.jaxpr)) == inside


@pytest.mark.parametrize(("choices", "unroll"), [("", 2), ("unroll=3", 3)], ids=["model's", "kernel's"])
def test_the_kernels_unroll_goes_before_the_models(choices, unroll):
    kernel = f"fused@{choices}" if choices else "fused"
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))
    function = jax.grad(lambda params: jnp.sum(gru(params, x, kernel=kernel, unroll=2)[1]))
    assert {loop.params["unroll"] for loop in loops_of(function, params)} == {unroll}


@pytest.mark.parametrize(("choices", "unroll", "tanhs"), [("chunk=99", 7, 2 * 7), ("chunk=3", 1, 2 + 2)])
def test_what_is_saved_nowhere_is_computed_again_in_the_compiled_program_too(choices, unroll, tanhs):
    """Where there is no loop around it, as after the last whole chunk, XLA might take it from the forward pass."""
    params, x = init(D, H, key=jax.random.key(0)), jnp.ones((B, T, D))
    kernel = f"fused@save=none,{choices}"
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(gru(params, x, kernel=kernel, unroll=unroll)[1] ** 2)))
    assert len(re.findall(r" tanh\(", gradient.lower(params).compile().as_text())) == tanhs


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pure", "equinox"])
def test_it_takes_less_memory_the_less_it_saves(name):
    """By XLA's analysis, for 32 sequences of 128 steps; Equinox has its batch from jax.vmap."""

    def temporary_bytes(kernel):
        function, arguments = program_of(get_port(name), kernel, (32, 128, 64, 128))
        return jax.jit(function).lower(*arguments).compile().memory_analysis().temp_size_in_bytes

    stock, everything, some, nothing = map(temporary_bytes, ("stock", "fused", "fused@save=some", "fused@save=none"))
    assert some < everything <= stock
    assert nothing <= stock / 2


# Devices --------------------------------------------------------------------------------------------------------------

SHARDED = """
import re
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from trigru.impls.pure import gru, init

params = init(4, 6, key=jax.random.key(0))
x = jax.random.normal(jax.random.key(1), (4, 9, 4))
lengths = jnp.array([9, 3, 0, 5])
mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
spread, everywhere = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())
arrays = jax.device_put(params, everywhere), jax.device_put(x, spread), jax.device_put(lengths, spread)


def gradient(kernel):
    return jax.jit(jax.grad(lambda p, x, n: jnp.sum(gru(p, x, lengths=n, kernel=kernel)[1] ** 2), argnums=(0, 1)))


alone = gradient("stock")(params, x, lengths)
for kernel in ("fused", "fused@save=none,chunk=4"):
    compiled = gradient(kernel).lower(*arrays).compile()
    print(sorted(set(re.findall(r"all-reduce|all-gather|all-to-all|collective-permute", compiled.as_text()))))
    for got, want in zip(jax.tree.leaves(compiled(*arrays)), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())

carry = jax.random.normal(jax.random.key(2), (4, 6))


def from_carry(kernel):  # without one, a scan that starts from replicated parameters has no right type in a shard_map
    return jax.grad(lambda p, x, h: jnp.sum(gru(p, x, h, kernel=kernel)[1] ** 2), argnums=(0, 2))


for kernel in ("fused", "fused@save=some,chunk=4"):
    parts = {"in_specs": (P(), P("batch"), P("batch")), "out_specs": (P(), P("batch"))}
    mapped = jax.jit(jax.shard_map(from_carry(kernel), mesh=mesh, **parts))(params, x, carry)
    for got, want in zip(jax.tree.leaves(mapped), jax.tree.leaves(from_carry("stock")(params, x, carry)), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.abs(want).max())
"""


def test_a_batch_over_two_devices_sums_weight_gradients_and_moves_nothing_else():
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run([sys.executable, "-c", SHARDED], env=os.environ | flags, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['all-reduce']"] * 2
