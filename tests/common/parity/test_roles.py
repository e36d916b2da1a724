"""Parameters whose names and shapes do not tell which is which are matched by what the
programs do with them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.parity import Model, compare

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def shapes(**sizes):
    """Parameters of these shapes, with other values in each call."""
    return {name: normal(*shape) for name, shape in sizes.items()}


def conv(x, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=layout
    )


def flattened(order):
    def function(params, x):
        h = jax.nn.relu(conv(x, params["conv"])).transpose(order)
        return h.reshape(len(x), -1) @ params["dense"]

    return function


def rotary(pairs):
    """Attention with rotary embeddings, whose function `pairs` takes queries or keys
    apart into two.
    """

    def rotated(x):
        a, b = pairs(x)
        angle = jnp.arange(len(x))[:, None] / 10.0 ** jnp.arange(a.shape[-1])[None]
        turned = a * jnp.cos(angle) - b * jnp.sin(angle)
        return jnp.concatenate([turned, a * jnp.sin(angle) + b * jnp.cos(angle)], -1)

    def function(params, x):
        q, k, v = (x @ params[name] for name in ("q", "k", "v"))
        return jax.nn.softmax(rotated(q) @ rotated(k).T) @ v

    return function


def halves(x):
    return jnp.split(x, 2, axis=-1)


def neighbours(x):
    return x[:, ::2], x[:, 1::2]


def heads_apart(params, x):
    q, k, v = ((x @ params[n]).reshape(len(x), 2, 3) for n in ("q", "k", "v"))
    return attended(q, k, v)


def heads_joined(params, x):
    joined = (x @ params["qkv"]).reshape(len(x), 2, 3, 3)
    return attended(joined[:, :, 0], joined[:, :, 1], joined[:, :, 2])


def attended(q, k, v):
    weights = jax.nn.softmax(jnp.einsum("qhd,khd->hqk", q, k))
    return jnp.einsum("hqk,khd->qhd", weights, v)


def exchanged(params, x):
    return rotary(halves)({**params, "q": params["k"], "k": params["q"]}, x)


def two_biases(params, x):
    biases = params["bias_ih"] + params["bias_hh"]
    return jnp.tanh(x @ params["weight"] + biases) @ params["out"]


def one_bias(params, x):
    return jnp.tanh(x @ params["weight"] + params["bias"]) @ params["out"]


def stacked(params, x):
    for kernel, bias in zip(params["kernels"], params["biases"], strict=True):
        x = jnp.tanh(x @ kernel.T + bias)
    return x


def unstacked(params, x):
    for n in range(2):
        x = jnp.tanh(x @ params[f"kernel_{n}"] + params[f"bias_{n}"])
    return x


def gain(factor):
    def function(params, x):
        return jnp.tanh(x @ params["weight"] * (params["gain"] * factor))

    return function


IMAGES, ROWS = normal(2, 3, 4, 2), normal(4, 6)
SQUARES = {"q": (6, 6), "k": (6, 6), "v": (6, 6)}
BIASED = {"weight": (6, 5), "out": (5, 3)}
LAYERS = {"kernel_0": (6, 6), "kernel_1": (6, 6), "bias_0": (1, 6), "bias_1": (1, 6)}

#: Of each pair, the functions and the shapes of the parameters, the inputs, and the
#: verdict.
PAIRS = {
    "an image flattened in another order": (
        (flattened((0, 1, 2, 3)), {"conv": (3, 3, 2, 4), "dense": (48, 3)}),
        (flattened((0, 3, 1, 2)), {"conv": (3, 3, 2, 4), "dense": (48, 3)}),
        IMAGES,
        "only if",
    ),
    "rotary embeddings of halves and of neighbours": (
        (rotary(halves), SQUARES),
        (rotary(neighbours), SQUARES),
        ROWS,
        "only if",
    ),
    "names that are exchanged": (
        (rotary(halves), SQUARES),
        (exchanged, SQUARES),
        ROWS,
        "only if",
    ),
    "projections joined head by head": (
        (heads_apart, SQUARES),
        (heads_joined, {"qkv": (6, 18)}),
        ROWS,
        "same",
    ),
    "layers that are stacked": (
        (unstacked, LAYERS),
        (stacked, {"kernels": (2, 6, 6), "biases": (2, 1, 6)}),
        ROWS,
        "same",
    ),
    "two biases against one": (
        (two_biases, {**BIASED, "bias_ih": (1, 5), "bias_hh": (1, 5)}),
        (one_bias, {**BIASED, "bias": (1, 5)}),
        ROWS,
        "same",
    ),
    "one bias against two": (
        (one_bias, {**BIASED, "bias": (1, 5)}),
        (two_biases, {**BIASED, "bias_ih": (1, 5), "bias_hh": (1, 5)}),
        ROWS,
        "same",
    ),
    "a gain that is kept ten times as large": (
        (gain(1.0), {"weight": (6, 5), "gain": (1, 5)}),
        (gain(10.0), {"weight": (6, 5), "gain": (1, 5)}),
        ROWS,
        "only if",
    ),
    "another sign": (
        (gain(1.0), {"weight": (6, 5), "gain": (1, 5)}),
        (gain(-1.0), {"weight": (6, 5), "gain": (1, 5)}),
        ROWS,
        "only if",
    ),
}


def models(pair):
    (first, of_first), (second, of_second) = pair[:2]
    reference = Model(shapes(**of_first), first, name="reference")
    return reference, Model(shapes(**of_second), second, name="candidate")


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_that_is_one_function(name):
    *_, x, verdict = PAIRS[name]
    result = compare(*models(PAIRS[name]), x)
    assert result.verdict == verdict, str(result)
    assert bool(result.mapping) == bool(result.conditions) == (verdict == "only if")
    assert not result.parameters.only_candidate


@pytest.mark.parametrize(
    "name", [name for name, pair in PAIRS.items() if pair[-1] == "only if"]
)
def test_with_the_mapping_of_the_report_it_is_the_same_function(name):
    reference, candidate = models(PAIRS[name])
    x = PAIRS[name][2]
    lines = compare(reference, candidate, x).mapping
    mapping = eval(f"{{{''.join(lines)}}}", {"np": np})
    assert compare(reference, candidate, x, mapping=mapping).verdict == "same"


def scaled_outputs(params, x):
    return 1.1 * one_bias(params, x) + 0.1


def log_of_the_gain(params, x):
    return jnp.tanh(x @ params["weight"] * jnp.exp(params["gain"]))


@pytest.mark.parametrize(
    ("reference", "candidate", "sizes", "verdict"),
    [
        (one_bias, scaled_outputs, {**BIASED, "bias": (1, 5)}, "another"),
        (gain(1.0), log_of_the_gain, {"weight": (6, 5), "gain": (1, 5)}, "unknown"),
    ],
)
def test_what_no_order_and_no_factor_makes_equal(reference, candidate, sizes, verdict):
    result = compare(*models(((reference, sizes), (candidate, sizes))), ROWS)
    assert (result.verdict, result.mapping) == (verdict, []), str(result)


def test_rows_of_a_table_that_no_input_takes_follow_the_layout_of_the_others():
    def first(params, x):
        return jnp.tanh(params["table"][x] @ params["a"]) @ params["b"]

    def second(params, x):
        return jnp.tanh(params["table"].T[x] @ params["b"]) @ params["a"]

    tokens = np.array([[1, 3], [7, 3]])
    reference = Model(shapes(table=(9, 6), a=(6, 6), b=(6, 6)), first)
    candidate = Model(shapes(table=(6, 9), a=(6, 6), b=(6, 6)), second)
    result = compare(reference, candidate, tokens)
    assert {m.candidate: (m.reference, m.how) for m in result.parameters.matched} == {
        "a": (("b",), "as it is"),
        "b": (("a",), "as it is"),
        "table": (("table",), "transposed"),
    }


def test_outputs_that_differ_by_little_are_not_mended_by_factors_that_are_almost_one():
    def rounded(params, x):
        return one_bias(params, x) * (1 + 3e-9)

    sizes = {**BIASED, "bias": (1, 5)}
    result = compare(*models(((one_bias, sizes), (rounded, sizes))), ROWS)
    assert (result.verdict, result.mapping) == ("another", []), str(result)


NAMES = {"kernel": "a", "recurrent": "b", "bias": "c", "bias_new": "d"}


def gru_step(order, renamed=False):
    """A step of a GRU whose gates stand in an order, as indices of reset, update and
    new.
    """

    def function(params, inputs):
        if renamed:
            params = {name: params[other] for name, other in NAMES.items()}
        x, h = inputs
        of_x = jnp.split(x @ params["kernel"] + params["bias"], 3, axis=-1)
        of_h = jnp.split(h @ params["recurrent"], 3, axis=-1)
        reset, update, new = order
        r = jax.nn.sigmoid(of_x[reset] + of_h[reset])
        z = jax.nn.sigmoid(of_x[update] + of_h[update])
        n = jnp.tanh(of_x[new] + r * (of_h[new] + params["bias_new"]))
        return (1 - z) * n + z * h

    return function


FEW_VALUES = {
    "zeros": (np.zeros((5, 3)), np.zeros((5, 4))),
    "ones": (np.ones((5, 3)), np.ones((5, 4))),
    "a column of zeros": (normal(5, 3) * [1, 0, 1], normal(5, 4)),
    "one hot": (np.eye(3)[[0, 1, 0, 1]], np.zeros((4, 4))),
    "a step from a grid": (np.linspace(-1, 1, 3)[None], np.linspace(0, 1, 4)[None]),
    "a step of ones": (np.ones((1, 3)), np.ones((1, 4))),
}


@pytest.mark.parametrize("name", FEW_VALUES)
def test_inputs_of_few_values_hide_no_order_of_gates_and_no_mistake(name):
    inputs = jax.tree.map(np.float32, FEW_VALUES[name])
    sizes = {"kernel": (3, 12), "recurrent": (4, 12), "bias": (1, 12)}
    sizes["bias_new"] = (1, 4)
    renamed = {NAMES[name]: size for name, size in sizes.items()}
    other_order = gru_step((1, 0, 2), renamed=True)
    verdicts = []
    for candidate in (
        other_order,
        lambda params, inputs: -other_order(params, inputs),
        gru_step((0, 1, 1), renamed=True),
    ):
        pair = models(((gru_step((0, 1, 2)), sizes), (candidate, renamed)))
        verdicts.append(compare(*pair, inputs).verdict)
    assert verdicts == ["only if", "another", "another"]


def test_a_model_that_takes_its_inputs_in_their_order_alone_is_matched_with_them():
    def ordered(first, second):
        def function(params, times):
            steps = jnp.diff(times, axis=0)
            steps = jnp.where(steps > 0, steps, jnp.nan)
            return steps @ params[first] + jnp.tanh(steps @ params[second])

        return function

    sizes = {"a": (3, 4), "b": (3, 4)}
    pair = models(((ordered("a", "b"), sizes), (ordered("b", "a"), sizes)))
    times = np.cumsum(np.abs(normal(6, 3)) + 0.1, axis=0)
    result = compare(*pair, times)
    assert result.verdict == "only if", str(result)
    assert {m.candidate: m.reference for m in result.parameters.matched} == {
        "a": ("b",),
        "b": ("a",),
    }
