"""Parts of JAX that recurrent models are made of."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ....common.program import evaluate
from ..observing import Call, Example, TraceCounter
from .catalogue import (
    BATCH,
    CARRY,
    FEATURES,
    FRAMES,
    HALF,
    KEY,
    ONE_ROW_MASKED,
    SEQUENCES,
    STEPS,
    UNITS,
    Catalogue,
    normal,
    paths_in,
)

parts = Catalogue(
    "jax",
    "jax.numpy",
    "jax.lax",
    "jax.nn",
    "jax.nn.initializers",
    "jax.random",
    "jax.tree",
    "jax.tree_util",
)

OTHER = normal(BATCH, UNITS, seed=2)
INPUTS = normal(STEPS, BATCH, UNITS)  # time is the first axis
KERNEL = normal(UNITS, UNITS)
MASK = np.arange(BATCH * UNITS).reshape(BATCH, UNITS) % 3 > 0


def recurrent_step(carry: Any, x: Any) -> Any:
    """A step of a recurrent network, as `jax.lax.scan` takes it."""
    carry = jnp.tanh(x + carry @ KERNEL)
    return carry, carry


def squared_tanh(x: Any) -> Any:
    """A loss."""
    return jnp.sum(jnp.tanh(x) ** 2)


@parts.function("gates: sigmoid and tanh", CARRY)
def gates(x):
    return jax.nn.sigmoid(x), jnp.tanh(x), jax.nn.hard_sigmoid(x)


@parts.function("activations: ReLU and its relatives", CARRY)
def activations(x):
    names = ("relu", "gelu", "silu", "elu", "leaky_relu", "softplus", "selu", "glu")
    return {name: getattr(jax.nn, name)(x) for name in names}


@parts.function("softmax: over an axis, and with a mask", CARRY)
def softmax(x):
    return jax.nn.softmax(x, axis=0), jax.nn.softmax(x, where=MASK)


@parts.function("attention: a query that may attend to nothing", SEQUENCES[:, :, None])
def attention_of_a_masked_query(x):
    return jax.nn.dot_product_attention(x, x, x, mask=ONE_ROW_MASKED[None, None])


@parts.function("products of matrices", CARRY, OTHER)
def products(a, b):
    return a @ b.T, jnp.einsum("bi,ci->bc", a, b), jnp.outer(a[0], b[0])


@parts.function("convolution", SEQUENCES)
def convolution(x):
    kernel = normal(3, FEATURES, UNITS)
    layout = ("NWC", "WIO", "NWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1,), "SAME", dimension_numbers=layout
    )


@parts.function("means, variances and sums, with a mask", CARRY)
def reductions(x):
    return [
        jnp.mean(x, axis=0, where=MASK),
        jnp.var(x, axis=1, where=MASK),
        jnp.std(x),
        jnp.sum(x, axis=1, where=MASK, initial=2.0),
        jnp.linalg.norm(x),
        jnp.cumsum(x, axis=0),
    ]


@parts.function("indices: reading, with one past the end", CARRY)
def reading_by_index(x):
    return x[np.array([2, 0])], x[7], x[:, -1], jnp.take(x, np.array([1, 0]), axis=1)


@parts.function("indices: writing by x.at", CARRY, OTHER)
def writing_by_index(a, b):
    return a.at[1].set(2.0), a.at[:, 2].add(b[:, 0]), a.at[1].max(0.1)


@parts.function("shapes: concatenate, stack, split, pad and roll", CARRY, OTHER)
def shapes(a, b):
    return [
        jnp.concatenate([a, b], axis=1),
        jnp.stack([a, b]),
        jnp.split(a, 3, axis=1),
        jnp.pad(a, 1),
        jnp.roll(a, 1, axis=1),
        jnp.repeat(a, 2, axis=1),
    ]


@parts.row("scan: a recurrent step over time")
def scan_over_time():
    scan = partial(jax.lax.scan, recurrent_step)
    return Example(scan, CARRY, (INPUTS,), compiled=True)


@parts.function("scan: in reverse and unrolled", CARRY, INPUTS)
def scan_in_reverse(carry, inputs):
    return jax.lax.scan(recurrent_step, carry, inputs, reverse=True, unroll=2)


@parts.function("loops and branches: fori_loop, cond and switch", CARRY)
def loops_and_branches(x):
    looped = jax.lax.fori_loop(0, 3, lambda step, x: jnp.tanh(x + step), x)
    branch = jax.lax.cond(x[0, 0] > 0, jnp.tanh, jnp.sin, x)
    return looped, branch, jax.lax.switch(7, [jnp.tanh, jnp.sin, jnp.cos], x)


@parts.function("grad: of a loss, with its value and an auxiliary result", CARRY)
def gradient(x):
    def loss(x):
        return squared_tanh(x), jnp.sin(x)

    return jax.value_and_grad(loss, has_aux=True)(x)


@parts.function("grad: of a loop over time", CARRY, INPUTS)
def gradient_of_a_loop(carry, inputs):
    def loss(carry):
        last, _ = jax.lax.scan(recurrent_step, carry, inputs)
        return jnp.sum(last**2)

    return jax.grad(loss)(carry)


@parts.function("grad: at zero of ReLU, abs and sqrt", CARRY)
def gradient_at_zero(x):
    def loss(x):
        zero = x - CARRY
        root = jnp.where(x > 0, jnp.sqrt(jnp.abs(x)), 0.0)
        return jnp.sum(jax.nn.relu(zero) + jnp.abs(zero) + root)

    return jax.grad(loss)(x)


@parts.function("jvp, vjp and stop_gradient", CARRY, OTHER)
def products_with_derivatives(x, direction):
    def scaled(x):
        return jnp.tanh(x) * jax.lax.stop_gradient(x)

    output, pull_back = jax.vjp(scaled, x)
    return pull_back(output), jax.jvp(scaled, (x,), (direction,))


@parts.function("vmap: over the first and the last axis", CARRY, OTHER)
def vmap(a, b):
    rows = jax.vmap(lambda x, matrix: x @ matrix, in_axes=(0, None))(a, b.T)
    columns = jax.vmap(jnp.multiply, in_axes=(1, 1), out_axes=1)(a, b)
    return rows, columns


@parts.function("checkpoint: of a loop over time", CARRY, INPUTS)
def rematerialized_loop(carry, inputs):
    return jax.lax.scan(jax.checkpoint(recurrent_step), carry, inputs)


@parts.row("jit: a step of training")
def step_of_training():
    traces = TraceCounter()

    def train(kernel, x):
        def loss(kernel):
            return squared_tanh(x @ kernel)

        return kernel - 0.1 * jax.grad(loss)(kernel)

    jitted = jax.jit(traces.counted(train))
    return Call(lambda: jitted(KERNEL, CARRY), traces)


@parts.call("jit: an array that is donated")
def donated_array():
    array = jnp.array(CARRY)  # a copy
    jax.jit(jnp.tanh, donate_argnums=0)(array)
    return array.is_deleted()


@parts.row("initializers: parameters from a key")
def initializers():
    names = (
        "orthogonal",
        "lecun_normal",
        "lecun_uniform",
        "glorot_normal",
        "glorot_uniform",
        "he_normal",
        "he_uniform",
        "normal",
        "uniform",
        "truncated_normal",
    )

    def draw(key):
        drawn = {}
        for name in names:
            initializer = getattr(jax.nn.initializers, name)()
            drawn[name] = initializer(key, (UNITS, FEATURES))
        return drawn

    return Example(drawn=evaluate(draw, jax.random.key(1)))


@parts.row("random numbers from a key")
def random_numbers():
    shape = (FEATURES, UNITS)

    def draw(key):
        return {
            "normal": jax.random.normal(key, shape),
            "uniform": jax.random.uniform(key, shape),
            "half precision": jax.random.uniform(key, shape, jnp.bfloat16),
            "bernoulli": 1.0 * jax.random.bernoulli(key, 0.3, shape),
            "randint": jax.random.randint(key, shape, 0, 1000),
            "permutation": jax.random.permutation(key, jnp.arange(1000.0)),
            "categorical": jax.random.categorical(key, normal(20, UNITS)),
            "truncated normal": jax.random.truncated_normal(key, -1.0, 2.0, shape),
        }

    return Example(drawn=evaluate(draw, jax.random.key(1)))


@parts.call("keys: split and fold_in")
def keys():
    children = jax.random.split(KEY, 3)
    folded = jax.random.fold_in(KEY, 3)
    return jax.random.key_data(children), jax.random.key_data(folded)


@parts.call("trees: paths, and a leaf that is None")
def trees():
    tree = {"b": [CARRY, (FRAMES, None)], "a": CARRY + 1}

    def or_zero(leaf):
        return 0 if leaf is None else leaf

    def is_none(leaf):
        return leaf is None

    return paths_in(tree), jax.tree.map(or_zero, tree, is_leaf=is_none)


@parts.call("dtypes: what arrays of two dtypes make")
def promoted_dtypes():
    dtypes = ("bool", "int8", "int32", "uint32", "bfloat16", "float16", "float32")
    promoted = {}
    for first in dtypes:
        for second in (*dtypes, 2, 2.0):
            other = jnp.ones(2, second) if isinstance(second, str) else second
            promoted[f"{first} + {second}"] = str((jnp.ones(2, first) + other).dtype)
    return promoted


@parts.call("half precision: sums and variances far from zero")
def half_precision():
    return jnp.var(HALF), jnp.mean(HALF), jnp.sum(jnp.tile(HALF, 99)), jnp.std(HALF, 1)


@parts.mistake("mistake: arrays of other shapes are added")
def other_shapes_are_added():
    return jnp.ones(3) + jnp.ones(4)


@parts.mistake("mistake: a branch in Python depends on a traced number")
def branch_of_a_traced_number():
    jax.jit(lambda x: x if x.sum() > 0 else -x)(jnp.ones(3))


@parts.mistake("mistake: the gradient of whole numbers")
def gradient_of_whole_numbers():
    jax.grad(lambda x: x * 2)(3)


@parts.mistake("mistake: trees of other structures are mapped")
def trees_of_other_structures():
    jax.tree.map(jnp.add, [1, 2], [1])
