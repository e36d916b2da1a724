"""Parts of JAX that recurrent models are made of, many with options that are not their defaults."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree  # noqa: F401  (in a table)
from jax.scipy import special  # noqa: F401

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
    called,
    half,
    normal,
    optimizers,
    policies_of,
)

ACTIVATIONS = (
    "relu relu6 sigmoid softplus silu gelu elu selu celu leaky_relu log_sigmoid hard_tanh hard_sigmoid hard_silu "
    "softmax log_softmax logsumexp standardize glu mish soft_sign squareplus"
)
FUNCTIONS = (
    "tanh exp expm1 sin cos arctan sinh sign square abs floor round cbrt sum mean var std max min prod median "
    "linalg.norm cumsum cumprod diff sort argsort argmax argmin flip ravel transpose nan_to_num logaddexp.reduce ptp "
    "ceil trunc rint cosh tan exp2 reciprocal signbit deg2rad triu trace gradient trapezoid corrcoef diagonal "
    "nansum nanmax nanmin nanstd nanvar nanprod nancumsum nanargmax nanmedian histogram"
)
SMOOTH = "tanh exp expm1 log1p sqrt abs square sinh arctan arcsinh sinc cbrt"
INITIALIZERS = (
    "orthogonal lecun_normal lecun_uniform glorot_normal glorot_uniform he_normal he_uniform normal uniform "
    "truncated_normal"
)
SOME, LENGTHS = np.arange(B * H).reshape(B, H) % 3 > 0, np.array([2])
#: Inputs at which a derivative has a corner, or a part of a function overflows, in float64, too.
EXTREMES = np.array(
    [-1e3, -30.0, -3.0, -1.0, -1e-6, -0.0, 0.0, 1e-6, 1.0, 3.0, 30.0, 1e3], "float32"
)

DECOMPOSED = """
jnp.linalg.inv(a @ a.T), jnp.linalg.solve(a @ a.T, a), jnp.linalg.det(a @ a.T), jnp.linalg.cholesky(a @ a.T)
jnp.linalg.eigvalsh(a @ a.T), jnp.abs(jnp.linalg.qr(a.T)[0]), jnp.abs(jnp.fft.rfft(a))
"""
AT_EXTREMES = """
special.erf
special.log_ndtr
lambda x: special.xlogy(x, x)
lambda x: [jnp.logaddexp(x, -x), jnp.hypot(x, x), jnp.arctan2(x, x)]
lambda x: [x**0.5, x**2, x**3]
lambda x: [jnp.clip(x, -1.0, 1.0), jnp.maximum(x, 0.0)]
lambda x: [jnp.linalg.norm(x), jnp.linalg.norm(0 * x)]
lambda x: [jnp.max(x), jnp.max(0 * x), jnp.min(0 * x), jnp.prod(x), jnp.std(0 * x)]
"""
DRAWS = """
jax.random.normal(key, (D, H)), jax.random.uniform(key, (D, H))
jax.random.uniform(key, (H,), jnp.bfloat16, 1.0, 2.0)
[jax.random.normal(k, (H,)) for k in (*jax.random.split(key), jax.random.fold_in(key, 3))]
jax.random.normal(jax.random.PRNGKey(3), (H,))
jax.random.truncated_normal(key, -1.0, 2.0, (D, H)), 1.0 * jax.random.bernoulli(key, 0.3, (D, H))
jax.random.randint(key, (D, H), 0, 1000), jax.random.permutation(key, jnp.arange(1000.0))
jax.random.choice(key, 2000, (H,), replace=False), jax.random.categorical(key, normal(20, H))
jax.random.choice(key, 5, (H,), p=np.arange(5.0) / 10)
[getattr(jax.random, name)(key, shape=(H,)) for name in ("exponential", "gumbel", "laplace", "logistic")]
[jax.nn.initializers.delta_orthogonal()(key, (*window, D, H)) for window in ((3,), (4,), (4, 2))]
1.0 * jax.random.rademacher(key, (D, H)), jax.random.cauchy(key, (H,)), jax.random.bits(key, (H,), "uint16")
jax.random.gamma(key, 2.0, (H,)), 1.0 * jax.random.poisson(key, 3.0, (H,)), jax.random.ball(key, 2, shape=(B,))
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


def _at_extremes(function: Callable[[Any], Any]) -> Example:
    """A function at extreme inputs, with its gradient there."""

    def both(_: Any, x: Any) -> Any:
        value, pull = jax.vjp(function, x)
        return value, *pull(jax.tree.map(jnp.ones_like, value))

    return Example(both, inputs=(EXTREMES,))


def _initial(key: Any) -> dict[str, Any]:
    made = HERE.each("jax.nn.initializers", INITIALIZERS)
    return {
        name: initializer()(key, (H, D)) for name, initializer in made.items()
    } | HERE.values(DRAWS, key=key)


NAMED = HERE.each("jax.nn", ACTIVATIONS) | HERE.each("jnp", FUNCTIONS)
EXTREME = (
    HERE.each("jax.nn", ACTIVATIONS)
    | HERE.each("jnp", SMOOTH)
    | HERE.values(AT_EXTREMES)
)
PARTS: Rows = {
    **{name: partial(Example, f, CARRY) for name, f in NAMED.items()},
    **HERE.traced(a=CARRY, b=normal(B, H, seed=2))("""
a @ b.T, jnp.einsum("bi,ci->bc", a, b), jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())))
jnp.tensordot(a, b, ((0, 1), (0, 1))), jnp.vdot(a, b), jnp.matmul(a[:, None], b[:, :, None])
jnp.where(a > 0, a, b), jnp.maximum(a, b), jnp.clip(a, -0.5, 0.5)
a / b, a // b, a % b, a**2, jnp.power(jnp.abs(a), 1.5), jnp.arctan2(a, b), jnp.hypot(a, b)
jnp.take(a, np.array([2, 0]), 1), a[:, [1, -1]], jnp.take_along_axis(a, np.array([[1], [2], [0]]), 1)
a[7], jnp.take(a, 9), jnp.take(a, 9, 1, mode="clip"), jnp.take(a, -9, 1, mode="wrap"), a.at[9].set(1.0)
a.at[9].get(mode="fill", fill_value=2.0), jax.lax.dynamic_slice(a, (2, 4), (2, 4))
a.at[1].set(2.0), a.at[:, 2].add(b[:, 0]), a.at[0].multiply(3.0), a.at[1].max(0.1), a.at[1].get()
a.at[9].add(1.0, mode="clip"), a.at[np.array([0, 0])].add(b[:2]), a.at[1].min(0.1)
jnp.isnan(jnp.take(a, np.array([17, 18, -19]))), jnp.take(np.arange(3), 3), jnp.take(a, 18, fill_value=2.0)
jax.ops.segment_sum(a, np.array([0, 5, -1]), 2)
jnp.concatenate([a, b], 1), jnp.stack([a, b]), jnp.split(a, 3, 1), jnp.pad(a, 1), jnp.roll(a, 1, 1)
[jnp.pad(a, 1, mode) for mode in ("edge", "reflect", "symmetric", "wrap")]
jnp.repeat(a, 2, 1), jnp.tile(a, 2), jnp.outer(a[0], b[0]), jnp.tril(a), jnp.expand_dims(a, 1)
jnp.var(a, ddof=1), jnp.quantile(a, 0.3), jnp.cov(a), jnp.average(a, weights=jnp.abs(b))
[jnp.quantile(a, 0.3, 1, method=method) for method in ("lower", "nearest", "midpoint")]
[jnp.interp(a, np.arange(3.0), np.array([1.0, 3.0, 2.0]), period=period) for period in (None, 2.5)]
jnp.linspace(a[0], b[0], 3), jnp.linspace(a[0], b[0], 3, endpoint=False)
jax.nn.one_hot(np.array([0, 2, 9]), 4), jax.nn.one_hot(np.array([0, 2]), 4, axis=0)
jnp.isin(a, b[0]), jnp.unique(a > 0, return_counts=True, size=2), jnp.searchsorted(np.arange(3.0), a, "right")
jax.lax.top_k(a, 2), jax.ops.segment_sum(a, np.array([0, 1, 0]), 2)
jnp.convolve(a[0], b[0], "same"), jax.lax.conv(a[None], b[:2, None, :2].repeat(3, 1), (1,), "SAME")
jnp.sum(a, 1, where=SOME, initial=2.0), jnp.mean(a, 0, where=SOME), jnp.var(a, 1, where=SOME, ddof=1)
jnp.max(a, 1, where=SOME, initial=-0.5), jnp.argmax(a, 0, keepdims=True), jnp.cumsum(a, 0), jnp.cumprod(a, 1)
jnp.nanmean(jnp.where(SOME, a, np.nan), 1), jnp.nan_to_num(jnp.where(SOME, a, np.nan), nan=7.0)
jnp.sort(a, 0, descending=True), jnp.argsort(a, 1, descending=True)
jax.nn.softmax(a, 0), jax.nn.softmax(a, where=SOME), jax.nn.log_softmax(a, 0)
jax.nn.logsumexp(a, 0, b=b**2, keepdims=True), jax.nn.standardize(a, 0, epsilon=0.1)
jax.nn.gelu(a, approximate=False), jax.nn.leaky_relu(a, 0.3), jax.nn.elu(a, 0.5), jax.nn.celu(a, 2.0), jax.nn.glu(a, 1)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, local_window_size=1)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, is_causal=True, scale=0.5)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, query_seq_lengths=LENGTHS, key_value_seq_lengths=LENGTHS)
jax.nn.dot_product_attention(*[a[None, :, None]] * 3, (a @ b.T)[None, None], mask=np.tri(B, dtype=bool)[None, None])
"""),
    **{
        f"{name} at extreme inputs": partial(_at_extremes, f)
        for name, f in EXTREME.items()
    },
    "jax.numpy.linalg and fft": lambda: called(
        partial(jax.jit(partial(HERE.values, DECOMPOSED)), a=normal(B, H, seed=6))
    ),
    **HERE.traced(a=CARRY, b=normal(B, H, seed=3))("""
jax.lax.scan(step, a[0], b), jax.lax.scan(step, a[0], b, unroll=2)
jax.lax.scan(step, a[0], b, reverse=True, unroll=2)
jax.lax.scan(lambda h, _: (jnp.tanh(h), h), a, length=3)
jax.lax.fori_loop(0, 3, lambda n, h: jnp.tanh(h + n), a)
[jax.lax.cond(flag, jnp.tanh, jnp.sin, a) for flag in (True, False)]
[jax.lax.switch(n, [jnp.tanh, jnp.sin, jnp.cos], a) for n in (0, 2, 7)]
jax.lax.map(jnp.tanh, a), jax.lax.map(jnp.tanh, a, batch_size=2)
jax.lax.associative_scan(jnp.add, a), jax.lax.associative_scan(jnp.add, a, reverse=True, axis=1)
jax.lax.cumsum(a, reverse=True), jax.lax.cummax(a), jax.lax.cumlogsumexp(a)
jax.lax.reduce_window(a, -np.inf, jax.lax.max, (1, 2), (1, 2), "VALID")
jax.lax.reduce_window(a, 0.0, jax.lax.add, (2, 3), (1, 2), "SAME")
jax.lax.cummin(a, 1), jax.lax.cumprod(a, reverse=True), jax.lax.sort([a, b], num_keys=1)
jax.lax.dynamic_update_slice(a, b[:2, :2], (2, 5)), jax.lax.dynamic_index_in_dim(a, 9, 1)
jax.lax.conv_transpose(a.T[None], b[:2, None, :3].repeat(3, 1), (2,), "SAME")
jax.lax.clamp(-0.5, a, 0.5), jax.lax.rem(a, b), jax.lax.erf_inv(jnp.tanh(a)), jax.lax.digamma(jnp.exp(a))
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
jax.grad(jnp.max)(np.array([1.0, 2.0, 2.0])), jax.vjp(jax.lax.max, a[0], a[0])[1](b[0])
[jax.grad(jnp.logaddexp, (0, 1))(x, y) for x, y in ((np.inf, 0.0), (0.0, np.inf), (-np.inf, 0.0))]
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
