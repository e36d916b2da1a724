"""The evaluator gives what JAX gives: for each primitive, call and loop, and for
several sets of values at once.
"""

from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import Primitive
from trigru.common.compat import enable_x64
from trigru.common.program import Traced, code_lines, equations, evaluate
from trigru.common.program.numpy_rules import RULES

X = np.random.default_rng(0).normal(size=(3, 4))
POSITIVE, Y = np.abs(X) + 0.1, np.random.default_rng(1).normal(size=(3, 4))
N = np.random.default_rng(2).integers(-9, 9, (3, 4))
BITS, ENDS = N.astype(np.int32), ((-2, -3), (-9, 9), (1, -3))
BOOLS = N > 0
SETS = np.stack([X, 2 * X, -X])
IMAGES = np.random.default_rng(3).normal(size=(2, 7, 8, 6))
KERNEL = np.random.default_rng(4).normal(size=(3, 2, 6, 4))
#: Options of convolutions of images with a kernel.
CONVOLUTIONS = (
    {"window_strides": (2, 3), "padding": ((1, 0), (2, 1))},
    {"window_strides": (1, 2), "padding": ((0, 0), (0, 0)), "rhs_dilation": (2, 3)},
    {"window_strides": (1, 1), "padding": ((2, -1), (3, 0)), "lhs_dilation": (3, 2)},
    {"window_strides": (2, 1), "padding": "SAME", "feature_group_count": 2},
)


@pytest.fixture(autouse=True)
def wide():
    with enable_x64(True):
        yield


def convolutions(images, kernel):
    results = []
    for options in CONVOLUTIONS:
        groups = options.get("feature_group_count", 1)
        convolved = lax.conv_general_dilated(
            images,
            kernel[:, :, : 6 // groups],
            dimension_numbers=("NHWC", "HWIO", "NCHW"),
            **options,
        )
        results.append(convolved)
    return results


def of_all_convolutions(images, kernel):
    return sum(jnp.sum(jnp.sin(result)) for result in convolutions(images, kernel))


#: By primitive: functions with their arguments, whose traces have it.
PROGRAMS = {
    "add": (lambda x: x + 2.0, X),
    "add_any": (jax.grad(lambda x: (x * x + jnp.sin(x)).sum()), X),
    "sub": (lambda x, y: x - y, X, Y),
    "mul": (lambda x, y: x * y, X, Y),
    "neg": (lambda x: -x, X),
    "div": (lambda x, y: x / y, X, Y),
    "exp": (jnp.exp, X),
    "exp2": (jnp.exp2, X),
    "log": (jnp.log, POSITIVE),
    "log1p": (jnp.log1p, POSITIVE),
    "expm1": (jnp.expm1, X),
    "tanh": (jnp.tanh, X),
    "sinh": (jnp.sinh, X),
    "cosh": (jnp.cosh, X),
    "sin": (jnp.sin, X),
    "cos": (jnp.cos, X),
    "tan": (jnp.tan, X),
    "asin": (jnp.arcsin, X / 4),
    "acos": (jnp.arccos, X / 4),
    "atan": (jnp.arctan, X),
    "atan2": (jnp.arctan2, X, Y),
    "sign": (lambda x, n: (jnp.sign(x), jnp.sign(n)), X, N),
    "abs": (jnp.abs, X),
    "sqrt": (jnp.sqrt, POSITIVE),
    "cbrt": (jnp.cbrt, X),
    "rsqrt": (lax.rsqrt, POSITIVE),
    "max": (lambda x: jnp.maximum(x, 0.0), X),
    "min": (jnp.minimum, X, Y),
    "floor": (jnp.floor, X),
    "ceil": (jnp.ceil, X),
    "is_finite": (jnp.isfinite, np.array([1.0, np.inf, -np.inf, np.nan])),
    "eq": (lambda n: n == 1, N),
    "ne": (lambda n: n != 1, N),
    "lt": (lambda x, y: x < y, X, Y),
    "le": (lambda x, y: x <= y, X, Y),
    "gt": (lambda x: x > 0.5, X),
    "ge": (lambda x: x >= 0.5, X),
    "and": (lambda a, n: (a & a[::-1], n & 6), BOOLS, N),
    "or": (lambda a, n: (a | a[::-1], n | 6), BOOLS, N),
    "xor": (lambda a, n: (a ^ a[::-1], n ^ 6), BOOLS, N),
    "not": (lambda a, n: (~a, ~n), BOOLS, N),
    "rem": (
        lambda x, n: (
            lax.rem(x, jnp.full_like(x, 0.7)),
            lax.rem(n, jnp.full_like(n, 4)),
        ),
        X,
        N,
    ),
    "conv_general_dilated": (
        lambda *arrays: (
            convolutions(*arrays),
            jax.grad(of_all_convolutions, (0, 1))(*arrays),
        ),
        IMAGES,
        KERNEL,
    ),
    "real": (lambda x, y: jnp.real(x + 1j * y), X, Y),
    "imag": (lambda x, y: jnp.imag(x + 1j * y), X, Y),
    "conj": (lambda x, y: jnp.conj(x + 1j * y), X, Y),
    "nextafter": (jnp.nextafter, X, Y),
    "shift_left": (lambda n: n << 3, BITS),
    "shift_right_arithmetic": (lambda n: n >> 1, BITS),
    "shift_right_logical": (
        lambda n: lax.shift_right_logical(n, jnp.full_like(n, 3)),
        BITS,
    ),
    "pow": (lambda x, y: x**y, POSITIVE, Y),
    "square": (jnp.square, X),
    "logistic": (jax.nn.sigmoid, 9 * X),
    "erf": (lax.erf, X),
    "erf_inv": (lax.erf_inv, X / 4),
    "select_n": (
        lambda n, x, y: (
            jnp.where(n > 0, x, y),
            lax.select_n(n[0] % 3, x[0], x[1], x[2]),
        ),
        BITS,
        X,
        Y,
    ),
    "bitcast_convert_type": (lambda n: lax.bitcast_convert_type(n, jnp.float32), BITS),
    "integer_pow": (lambda x: (x**3, x**-2), X),
    "convert_element_type": (lambda x: x.astype("float32"), X),
    "iota": (lambda: lax.broadcasted_iota(jnp.int32, (3, 4), 1),),
    "broadcast_in_dim": (lambda x: x[:, None] + x[None], X),
    "reshape": (lambda x: x.reshape(2, 6), X),
    "squeeze": (lambda x: jnp.squeeze(x[:1], 0), X),
    "expand_dims": (lambda x: jnp.expand_dims(x, (0, 2)), X),
    "transpose": (lambda x: jnp.transpose(x), X),
    "slice": (lambda x: x[1:, ::2], X),
    "rev": (lambda x: x[::-1], X),
    "concatenate": (lambda x, y: jnp.concatenate([x, y], 1), X, Y),
    "stack": (lambda x, y: jnp.stack([x, y], 1), X, Y),
    "unstack": (lambda x: jnp.unstack(x, axis=1), X),
    "split": (lambda x: jnp.split(x, [1, 3], axis=1), X),
    "pad": (lambda x: jnp.pad(x, ((1, 2), (0, 1))), X),
    "clamp": (lambda x: lax.clamp(-0.5, x, 0.5), X),
    "reduce_sum": (lambda x: (x.sum(0), x.sum()), X),
    "reduce_prod": (lambda x: x.prod(1), X),
    "reduce_max": (lambda x: x.max(1), X),
    "reduce_min": (lambda n: n.min(0), N),
    "reduce_or": (lambda a: a.any(0), BOOLS),
    "reduce_and": (lambda a: a.all(1), BOOLS),
    "dot_general": (
        lambda x, y: (
            x @ y.T,
            jnp.einsum("bij,bkj->bik", x[None], y[None]),
            jnp.einsum("ij,kl->ikjl", x, y),
        ),
        X,
        Y,
    ),
}
HALF = (
    "tanh",
    "logistic",
    "dot_general",
    "reduce_sum",
    "mul",
    "div",
    "exp",
    "erf",
    "select_n",
    "integer_pow",
)


def assert_as_jax(function, *arguments, tolerance=1e-13):
    got, want = evaluate(function, *arguments), jax.jit(function)(*arguments)
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        b = np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = tolerance * max(
            1,
            np.abs(np.nan_to_num(b.astype(np.complex128), posinf=0, neginf=0)).max(
                initial=0
            ),
        )
        np.testing.assert_allclose(
            a.astype(np.complex128), b.astype(np.complex128), rtol=0, atol=scale
        )


def test_every_rule_has_a_program():
    assert set(PROGRAMS) == set(RULES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_primitive_gives_what_jax_gives(name):
    function, *arguments = PROGRAMS[name]
    closed = jax.make_jaxpr(function)(*arguments)
    with_name = []
    for equation, _ in equations(closed.jaxpr):
        if equation.primitive.name == name:
            with_name.append(equation)
    if not with_name:
        pytest.skip("this JAX traces it as other primitives")

    for equation in with_name:
        assert RULES[name](equation, np.dtype) is not None, "JAX would evaluate it"
    assert_as_jax(function, *arguments)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", HALF)
def test_narrow_dtypes_round_as_jax_rounds_them(name, dtype):
    function, *arguments = PROGRAMS[name]
    narrow = [a.astype(dtype) if a.dtype == np.float64 else a for a in arguments]
    assert_as_jax(function, *narrow, tolerance=4 * float(jnp.finfo(dtype).eps))


def loop(x, n):
    def body(carry, a):
        return jnp.tanh(carry + a) * n, (carry, carry.sum())

    return lax.scan(body, x[0], x), lax.scan(body, x[0], x, reverse=True, unroll=2)


def until(x):
    return lax.while_loop(
        lambda state: state[1] < 20,
        lambda state: (state[0] * 1.1, state[1] + state[0].sum()),
        (x, 1.0),
    )


def branch(x, n):
    return lax.cond(n > 0, lambda x: x * 2, lambda x: -x, x), lax.switch(
        n, [jnp.sin, jnp.cos, jnp.tanh], x
    )


@jax.custom_vjp
def clipped(x):
    return x


clipped.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -0.1, 0.1),))
KEYS, UNFIT = (
    jax.random.split(jax.random.key(1), 3),
    np.array([2.0**31 - 1, -1e20, np.inf, -np.inf, np.nan, 2.7, 1e20]),
)
#: By what is evaluated: functions with their arguments.
CALLS = {
    "a scan": (loop, X, 0.5),
    "an empty scan": (lambda x: lax.scan(lambda c, a: (c + a, c), x[0], x[:0]), X),
    "a while loop": (until, POSITIVE),
    "a condition": (branch, X, 2),
    "a condition with a large index": (branch, X, 9),
    "a gradient of a scan": (jax.grad(lambda x: loop(x, 0.5)[0][0].sum()), X),
    "a remat": (jax.grad(jax.checkpoint(lambda x: jnp.tanh(x * x).sum())), X),
    "a custom gradient": (jax.grad(lambda x: (clipped(x) ** 2).sum()), X),
    "a softmax": (jax.nn.softmax, X),
    "a relu": (jax.grad(lambda x: jax.nn.gelu(jax.nn.relu(x)).sum()), X),
    "a mapped function": (jax.vmap(lambda x, y: x @ y), X, Y),
    "no arguments": (lambda: jnp.arange(3) * 2,),
    "a result that is an argument": (lambda x: (x, x, 1.0), X),
    "a constant": (lambda x: x + jnp.asarray(Y), X),
    "a nested jit": (
        jax.jit(lambda x: jax.jit(jnp.sin)(x) + jax.jit(jnp.sin)(x[::-1])),
        X,
    ),
    "an overflow on the way": (lambda x: x**-2 * 1e38, np.float32(1e20)),
    "a sort": (lambda x: jnp.sort(x, axis=1), X),
    "a gather": (lambda x, n: x[n % 3, n % 4], X, N),
    "a scatter": (lambda x: x.at[1].add(2.0), X),
    "a convolution": (lambda x: jnp.convolve(x[0], x[1]), X),
    "a QR decomposition": (jnp.linalg.qr, X),
    "cumulated": (
        lambda x: (jnp.cumsum(x, 1), lax.cumsum(x, 0, reverse=True), lax.cummax(x, 1)),
        X,
    ),
    "a moving window": (
        lambda x, n: lax.dynamic_slice(x, (n[0, 0] % 3, 9), (2, 3)),
        X,
        N,
    ),
    "the largest": (lambda x: jnp.argmax(x, 1), X),
    "draws": (lambda: jax.random.normal(jax.random.key(3), (2, 3)),),
    "several keys": (
        lambda: [
            jax.random.bits(key, (2,)) for key in jax.random.split(jax.random.key(0), 3)
        ],
    ),
    "a key": (lambda key: jax.random.uniform(key, (3,)), KEYS[0]),
    "a loop over keys": (
        lambda keys: lax.scan(lambda key, k: (k, jax.random.bits(key)), keys[0], keys)[
            1
        ],
        KEYS,
    ),
    "integers": (
        lambda n: lax.div(n, jnp.full_like(n, 3)),
        np.array([2**62 + 1, -(2**62) - 1, 7, -7]),
    ),
    "padding within": (
        lambda x: [lax.pad(x, 0.0, ((*ends, 1), (-3, 0, 2))) for ends in ENDS],
        X,
    ),
    "too large for an integer": (lambda x: x.astype("int32"), UNFIT),
    "an index that is clipped": (
        lambda n: lax.select_n(n, *jnp.eye(3, 4)),
        np.array([-1, 5, 1, 2], np.int32),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_a_loop_or_what_has_no_rule_gives_what_jax_gives(name):
    assert_as_jax(*CALLS[name])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_added_up_in_float32(dtype):
    assert float(evaluate(jnp.sum, jnp.ones(2000, dtype))) == float(
        jnp.asarray(2000, dtype)
    )


def test_a_primitive_of_ones_own_is_its_implementation():
    twice = Primitive("twice")
    twice.def_abstract_eval(lambda x: x)
    twice.def_impl(lambda x: x * 2)
    np.testing.assert_array_equal(evaluate(twice.bind, X), 2 * X)


def test_a_trace_that_an_operation_evaluates_is_entered():
    """As in a rematerialized function of Equinox, from jax 0.11 on."""
    evaluated = Primitive("eval_jaxpr")  # without an implementation
    evaluated.multiple_results = True
    evaluated.def_abstract_eval(lambda *_, call_jaxpr: call_jaxpr.out_avals)
    trace = jax.make_jaxpr(jnp.sin)(X)
    (result,) = evaluate(lambda x: evaluated.bind(x, call_jaxpr=trace), X)
    np.testing.assert_array_equal(result, np.sin(X))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: loop(x, n),
        lambda x, n: until(jnp.abs(x) + 0.1),
        lambda x, n: branch(x, (n * 3).astype(int)),
        lambda x, n: lax.dynamic_slice(x, ((n * 3).astype(int), 0), (2, 2)),
        lambda x, n: x.at[(n * 3).astype(int)].set(0.0),
        lambda x, n: lax.dynamic_update_slice(x, x[:1], ((n * 3).astype(int), 0)),
        lambda x, n: lax.clamp(-n, x, n),
        lambda x, n: jnp.pad(x, 1, constant_values=n),
        lambda x, n: jnp.where(n > 0.4, x, n),
        lambda x, n: n * x @ x.T,
    ],
)
def test_sets_of_values_are_each_for_itself(function):
    numbers = np.array([0.1, 0.5, 0.9])
    traced = Traced(function, X, numbers[0])
    together = traced.of_sets((SETS, numbers), 3)
    for n, found in enumerate(together):
        alone, shared = (
            traced(SETS[n], numbers[n]),
            traced.of_sets((SETS[n : n + 1], numbers), 3)[n],
        )
        for a, b, c in zip(*map(jax.tree.leaves, (found, alone, shared)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
            np.testing.assert_allclose(a, c, rtol=1e-14)


def test_a_narrow_program_can_be_evaluated_in_float64():
    def function(x):
        return jax.nn.softmax(
            (x.astype("bfloat16") @ jnp.ones((4, 2), "bfloat16")).astype("float32")
            * 1.1
        )

    narrow = jax.ShapeDtypeStruct((3, 4), "float32")
    found = Traced(function, narrow, wide=True)(X)
    assert found.dtype == np.float64
    a = X @ np.ones((4, 2)) * float(np.float32(1.1))
    np.testing.assert_allclose(
        found, np.exp(a) / np.exp(a).sum(-1, keepdims=True), rtol=1e-14
    )


def drawn(key):
    """Numbers that JAX makes of random bits, by changes of their type."""
    uniform = jax.random.uniform(key, (5,), "float32")
    chosen = jax.random.bernoulli(key, jnp.float32(0.3), (5,))
    return uniform, jax.random.normal(key, (5,), "float32"), chosen


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (drawn, jax.random.key(4)),
        (lambda x: lax.bitcast_convert_type(x, jnp.uint32) >> 9, X.astype("float32")),
        (lambda n: lax.bitcast_convert_type(n, jnp.float32), BITS),
        (lambda x: lax.reduce_precision(x, 5, 10), X.astype("float32")),
    ],
    ids=["draws", "bits of a float", "a float of bits", "a reduced precision"],
)
def test_what_depends_on_bits_is_evaluated_in_its_own_precision(function, argument):
    results = Traced(function, argument, wide=True)(argument)
    expected = function(argument)
    pairs = zip(jax.tree.leaves(results), jax.tree.leaves(expected), strict=True)
    for result, array in pairs:
        np.testing.assert_allclose(result, array, rtol=1e-6, atol=1e-7)


def observed(function, *arguments):
    seen = []
    step = lambda equation, _, __, results: seen.append((equation, results))  # noqa: E731
    observer = SimpleNamespace(
        enter=lambda equation: None, leave=lambda: None, step=step
    )
    Traced(function, *arguments, observe=observer)(*arguments)
    return seen


def test_each_equation_can_be_observed_with_its_line():
    steps = [
        (equation, results)
        for equation, results in observed(loop, X, 0.5)
        if equation.primitive.name == "tanh"
    ]
    assert len(steps) == 2 * len(X)
    (line,) = {code_lines(equation)[0] for equation, _ in steps}
    assert line.file == __file__
    assert line.function.endswith("body")
    assert (
        "jnp.tanh"
        in Path(__file__).read_text(encoding="utf-8").splitlines()[line.line - 1]
    )


def test_results_that_nobody_uses_are_not_computed():
    seen = observed(lambda x: (jnp.sin(x), x + 1)[1], X)
    assert [equation.primitive.name for equation, _ in seen] == ["add"]
