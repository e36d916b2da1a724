"""Parts of JAX that recurrent models are made of, many with options that are not their
defaults.
"""

from collections import OrderedDict, namedtuple
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree  # noqa: F401  (in a table)

from ....common.program import evaluate
from ..observing import Example
from . import (
    CARRY,
    B,
    D,
    H,
    Lines,
    Rows,
    T,
    half,
    normal,
    optimizers,
    policies_of,
)

ACTIVATIONS = (
    "relu relu6 sigmoid softplus silu gelu elu selu celu leaky_relu log_sigmoid "
    "hard_tanh hard_sigmoid hard_silu softmax log_softmax logsumexp standardize glu "
    "mish soft_sign squareplus"
)
FUNCTIONS = "tanh exp sin cos square abs sum mean var std max min cumsum sort argmax"
INITIALIZERS = (
    "orthogonal lecun_normal lecun_uniform glorot_normal glorot_uniform he_normal "
    "he_uniform normal uniform truncated_normal"
)
SOME, LENGTHS = np.arange(B * H).reshape(B, H) % 3 > 0, np.array([2])
DRAWS = """
jax.random.normal(key, (D, H)), jax.random.uniform(key, (D, H))
jax.random.uniform(key, (H,), jnp.bfloat16, 1.0, 2.0)
[jax.random.normal(k, (H,)) for k in (*jax.random.split(key), jax.random.fold_in(key, 3))]
jax.random.normal(jax.random.PRNGKey(3), (H,))
jax.random.truncated_normal(key, -1.0, 2.0, (D, H)), 1.0 * jax.random.bernoulli(key, 0.3, (D, H))
jax.random.randint(key, (D, H), 0, 1000), jax.random.permutation(key, jnp.arange(1000.0))
jax.random.choice(key, 2000, (H,), replace=False), jax.random.categorical(key, normal(20, H))
[jax.nn.initializers.delta_orthogonal()(key, (*window, D, H)) for window in ((3,), (4,), (4, 2))]
jax.random.key_data(jax.random.split(key, (2, 3))), jax.random.multivariate_normal(key, np.ones(2), np.eye(2), (3,))
jax.nn.initializers.orthogonal(2.0)(key, (D, H)), jax.nn.initializers.orthogonal(column_axis=0)(key, (D, H))
jax.nn.initializers.variance_scaling(2.0, "fan_avg", "uniform", in_axis=0, out_axis=1)(key, (D, H))
jax.nn.initializers.variance_scaling(2.0, "fan_in", "uniform", batch_axis=0)(key, (B, D, H))
[jax.nn.initializers.variance_scaling(2.0, f"fan_{fan}", "normal")(key, (3, D, H)) for fan in FANS]
"""
Point = namedtuple("Point", "y x")
TREE = {
    "b": [CARRY, (CARRY + 1, None)],
    "a": OrderedDict(z=CARRY + 2, c=CARRY + 3),
    "p": Point(CARRY + 4, CARRY + 5),
}
FANS = ("in", "out", "avg", "geo_avg")
MIXED = [CARRY, jnp.ones(H, jnp.bfloat16) / 3]
KINDS = (
    "bool",
    "int8",
    "int32",
    "uint32",
    "bfloat16",
    "float16",
    "float32",
    "complex64",
)
_with_vjp, _with_jvp = (
    jax.custom_vjp(lambda x: jnp.sin(x)),
    jax.custom_jvp(lambda x: jnp.sin(x)),
)
_with_vjp.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (2 * g * x,))
_with_jvp.defjvp(lambda xs, ts: (jnp.sin(xs[0]), 3 * xs[0] * ts[0]))
HERE = Lines(
    globals(),
    step=lambda h, x: (jnp.tanh(h + x), h * x),
    loss=lambda x: jnp.sum(jnp.tanh(x) ** 2),
    row=lambda x: jnp.tanh(x) * normal(H, seed=4),
)


def _initial(key: Any) -> dict[str, Any]:
    made = HERE.each("jax.nn.initializers", INITIALIZERS)
    return {
        name: initializer()(key, (H, D)) for name, initializer in made.items()
    } | HERE.values(DRAWS, key=key)


NAMED = HERE.each("jax.nn", ACTIVATIONS) | HERE.each("jnp", FUNCTIONS)
PARTS: Rows = {
    **{name: partial(Example, f, CARRY) for name, f in NAMED.items()},
    **HERE.traced(a=CARRY, b=normal(B, H, seed=2))("""
a @ b.T, jnp.einsum("bi,ci->bc", a, b), jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())))
jnp.where(a > 0, a, b), jnp.maximum(a, b), jnp.clip(a, -0.5, 0.5)
jnp.take(a, np.array([2, 0]), 1), a[:, [1, -1]], jnp.take_along_axis(a, np.array([[1], [2], [0]]), 1)
a.at[1].set(2.0), a.at[:, 2].add(b[:, 0]), a.at[0].multiply(3.0), a.at[1].max(0.1), a.at[1].get()
jnp.concatenate([a, b], 1), jnp.stack([a, b]), jnp.split(a, 3, 1), jnp.pad(a, 1), jnp.roll(a, 1, 1)
jnp.repeat(a, 2, 1), jnp.tile(a, 2), jnp.outer(a[0], b[0]), jnp.tril(a), jnp.expand_dims(a, 1)
jax.nn.one_hot(np.array([0, 2, 9]), 4), jax.nn.one_hot(np.array([0, 2]), 4, axis=0)
jax.lax.top_k(a, 2), jax.ops.segment_sum(a, np.array([0, 1, 0]), 2)
jnp.sum(a, 1, where=SOME, initial=2.0), jnp.mean(a, 0, where=SOME), jnp.var(a, 1, where=SOME, ddof=1)
jnp.max(a, 1, where=SOME, initial=-0.5), jnp.argmax(a, 0, keepdims=True), jnp.cumsum(a, 0), jnp.cumprod(a, 1)
jnp.sort(a, 0, descending=True), jnp.argsort(a, 1, descending=True)
jax.nn.softmax(a, 0), jax.nn.softmax(a, where=SOME), jax.nn.log_softmax(a, 0)
jax.nn.logsumexp(a, 0, b=b**2, keepdims=True), jax.nn.standardize(a, 0, epsilon=0.1)
jax.nn.gelu(a, approximate=False), jax.nn.leaky_relu(a, 0.3), jax.nn.elu(a, 0.5), jax.nn.celu(a, 2.0), jax.nn.glu(a, 1)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, local_window_size=1)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, is_causal=True, scale=0.5)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, query_seq_lengths=LENGTHS, key_value_seq_lengths=LENGTHS)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, (a @ b.T)[None, None], mask=np.tri(B, dtype=bool)[None, None])
"""),
    **HERE.traced(a=CARRY, b=normal(B, H, seed=3))("""
jax.lax.scan(step, a[0], b), jax.lax.scan(step, a[0], b, unroll=2)
jax.lax.scan(step, a[0], b, reverse=True, unroll=2)
jax.lax.scan(lambda h, _: (jnp.tanh(h), h), a, length=3)
jax.lax.fori_loop(0, 3, lambda n, h: jnp.tanh(h + n), a)
[jax.lax.cond(flag, jnp.tanh, jnp.sin, a) for flag in (True, False)]
[jax.lax.switch(n, [jnp.tanh, jnp.sin, jnp.cos], a) for n in (0, 2, 7)]
jax.lax.map(jnp.tanh, a), jax.lax.map(jnp.tanh, a, batch_size=2)
jax.lax.associative_scan(jnp.add, a), jax.lax.associative_scan(jnp.add, a, reverse=True, axis=1)
"""),
    **HERE.traced(a=CARRY, b=normal(B, H, seed=4))("""
jax.grad(loss)(a), jax.value_and_grad(loss)(a), jax.grad(lambda x: (loss(x), x), has_aux=True)(a)
jax.grad(lambda x, y: jnp.sum(x * y), argnums=(0, 1))(a, b)
row(a[0]), jax.vjp(row, a[0])[1](row(a[0])), jax.jvp(row, (a[0],), (b[1],)), jax.linearize(row, a[0])[1](b[1])
jax.hessian(loss)(a[0]), jax.jacfwd(row)(a[0]), jax.jacrev(row)(a[0])
jax.grad(lambda x: jnp.sum(_with_vjp(x)))(a), jax.grad(lambda x: jnp.sum(_with_jvp(x)))(a)
jax.vmap(lambda x, y: x @ y, in_axes=(0, None))(a, b.T)
jax.vmap(lambda x, y: x * y, in_axes=(1, 1), out_axes=1)(a, b)
jax.vmap(lambda x: [jax.lax.psum(x, "i"), jax.lax.pmean(x, "i")], axis_name="i")(a)
jax.vmap(lambda x: [jax.lax.all_gather(x, "i"), jax.lax.axis_index("i") * x], axis_name="i")(a)
jax.vmap(lambda x: jax.lax.ppermute(x, "i", [(0, 1), (1, 2), (2, 0)]), axis_name="i")(a)
jax.grad(lambda x: jnp.sum(x * jax.lax.stop_gradient(x)))(a)
jax.grad(lambda x: jnp.sum(jax.nn.relu(0 * x) + jnp.abs(0 * x)))(a)
jax.grad(lambda x: jnp.sum(jnp.where(x > 0, jnp.sqrt(jnp.abs(x)), 0.0)))(a)
"""),
    "jax.checkpoint": lambda: Example(
        partial(
            jax.lax.scan, jax.checkpoint(lambda h, x: (jnp.tanh(h + x @ h.T @ h), h))
        ),
        CARRY,
        (normal(T, B, H),),
    ),
    "bytes kept by the policies of jax.checkpoint": partial(
        policies_of, jax.checkpoint
    ),
    **HERE.called("""
partial(jax.jit(ran(lambda a, t, n, f: f(t[0] * a**n)), static_argnums=2, static_argnames="f"), CARRY, [2.0], 3, f=abs)
deletes(jax.jit(ran(jnp.tanh), donate_argnums=0))
deletes(jax.jit(ran(jnp.tanh)))
partial(jax.lax.scan, ran(lambda h, _: (jnp.tanh(h), h)), CARRY, None, 3)
"""),
    "jax.random and jax.nn.initializers": lambda: Example(
        drawn=evaluate(_initial, jax.random.key(1))
    ),
    **HERE.calls("""
jax.tree.leaves(TREE), jax.tree.reduce(jnp.add, TREE)
jax.tree.unflatten(jax.tree.structure(TREE), jax.tree.leaves(TREE))
jax.tree.map(lambda a: 0 if a is None else a, TREE, is_leaf=lambda a: a is None)
paths(TREE)
[part(ravel_pytree(tree)) for tree in (TREE, MIXED) for part in (lambda of: of[0], lambda of: of[1](of[0]))]
jax.tree.all([True, False]), jax.tree.all([True]), jax.tree.all([])
jax.tree.transpose(jax.tree.structure([0, 0]), jax.tree.structure({"a": 0}), [{"a": 1}, {"a": 2}])
"""),
    **HERE.dtypes("""
[jnp.ones(2, a) + jnp.ones(2, b) for a in KINDS for b in KINDS]
[jnp.ones(2, kind) * n for kind in KINDS for n in (2, 2.0, np.float32(2), True)]
jnp.zeros(2), jnp.arange(3), jnp.asarray(1), jnp.asarray(1.0), jnp.array([True]), jnp.linspace(0, 1, 3), jnp.eye(2)
jnp.mean(jnp.ones(2, "int32")), jnp.mean(jnp.ones(2, "bfloat16")), jnp.sum(jnp.ones(2, "int8")), jnp.sqrt(2)
jnp.argmax(jnp.ones(2, "int8")), jnp.ones(2, "int32") / 2, jnp.where(True, 1, jnp.ones(2, "float16"))
jax.nn.one_hot(jnp.ones(2, "int32"), 3), jax.random.normal(jax.random.key(0)), jax.random.randint(KEY, (), 0, 2)
"""),
    "jax in half precision": HERE.compiled(half)("""
jnp.var(x), jnp.std(x, 1), jnp.mean(x), jnp.sum(jnp.tile(x, (9, 9, 9))), jnp.cumsum(x.ravel()), jnp.linalg.norm(x)
jax.nn.softmax(x), jax.nn.standardize(x), jax.nn.logsumexp(x), jnp.einsum("btd,bsd->bts", x, x)
"""),
    **optimizers.PARTS,
    "mistakes": lambda: HERE.refused("""
jnp.ones(3) + jnp.ones(4)
jax.jit(lambda x: x if x.sum() > 0 else -x)(jnp.ones(3))
jax.grad(lambda x: x * 2)(3)
jax.grad(jnp.sin)(jnp.ones(3))
jax.lax.scan(lambda h, x: (h.astype("int32"), x), jnp.ones(()), jnp.ones(3))
jax.tree.map(jnp.add, [1, 2], [1])
jax.numpy_rank_promotion("raise")(lambda: jnp.ones(3) + jnp.ones((2, 3)))()
jnp.ones(3)[1.0]
"""),
}
PUBLIC = (
    *(
        "jax",
        "jax.numpy",
        "jax.lax",
        "jax.nn",
        "jax.nn.initializers",
        "jax.random",
        "jax.tree",
        "jax.tree_util",
    ),
    *("optax", "optax.losses", "optax.schedules", "optax.transforms"),
)
