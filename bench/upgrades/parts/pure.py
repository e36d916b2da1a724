"""Parts of JAX that recurrent models are made of; those of Optax stand beside them."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from ..functions import Called, Example, Ran
from . import (
    B,
    D,
    H,
    Parts,
    T,
    called,
    donated,
    drawn_by,
    dtypes,
    each,
    letters,
    named,
    normal,
    of_array,
    optimizers,
    options,
    refused,
)
from .options import ACTIVATIONS

FUNCTIONS = (
    *("tanh", "exp", "expm1", "sin", "cos", "arctan", "sinh", "sign", "square", "abs", "floor", "round", "cbrt"),
    *("sum", "mean", "var", "std", "max", "min", "prod", "median", "linalg.norm", "cumsum", "cumprod", "diff"),
    *("sort", "argsort", "argmax", "argmin", "flip", "ravel", "transpose", "nan_to_num", "logaddexp.reduce", "ptp"),
)


def _array(a: Any, b: Any) -> dict[str, Any]:
    """Functions of more than an array."""
    return {
        "matmul": a @ b.T,
        "einsum": jnp.einsum("bi,ci->bc", a, b),
        "dot_general": jax.lax.dot_general(a, b, (((1,), (1,)), ((), ()))),
        "where": jnp.where(a > 0, a, b),
        "maximum": jnp.maximum(a, b),
        "clip": jnp.clip(a, -0.5, 0.5),
        "divide": [a / b, a // b, a % b, a**2, jnp.power(jnp.abs(a), 1.5), jnp.arctan2(a, b), jnp.hypot(a, b)],
        "take": [jnp.take(a, np.array([2, 0]), 1), a[:, [1, -1]], jnp.take_along_axis(a, np.array([[1], [2], [0]]), 1)],
        "beyond the end": [a[7], jnp.take(a, 9), a.at[9].set(1.0), jax.lax.dynamic_slice(a, (2, 4), (2, 4))],
        "at": [a.at[1].set(2.0), a.at[:, 2].add(b[:, 0]), a.at[0].multiply(3.0), a.at[1].max(0.1), a.at[1].get()],
        "shape": [jnp.concatenate([a, b], 1), jnp.stack([a, b]), jnp.split(a, 3, 1), jnp.pad(a, 1), jnp.roll(a, 1, 1)],
        "repeat": [jnp.repeat(a, 2, 1), jnp.tile(a, 2), jnp.outer(a[0], b[0]), jnp.tril(a), jnp.expand_dims(a, 1)],
        "statistics": [jnp.var(a, ddof=1), jnp.quantile(a, 0.3), jnp.cov(a), jnp.average(a, weights=jnp.abs(b))],
        "interp": [jnp.interp(a, np.arange(3.0), np.array([1.0, 3.0, 2.0])), jnp.linspace(a[0], b[0], 3)],
        "one_hot": [jax.nn.one_hot(np.array([0, 2, 9]), 4), jax.nn.dot_product_attention(*[a[None, :, None]] * 3)],
        "top_k": jax.lax.top_k(a, 2),
        "conv": [jnp.convolve(a[0], b[0], "same"), jax.lax.conv(a[None], b[:2, None, :2].repeat(3, 1), (1,), "SAME")],
        "segment_sum": jax.ops.segment_sum(a, np.array([0, 1, 0]), 2),
    }


def _decomposed(a: Any) -> list[Any]:
    square = a @ a.T
    solved = [jnp.linalg.inv(square), jnp.linalg.solve(square, a), jnp.linalg.det(square), jnp.linalg.cholesky(square)]
    return [*solved, jnp.linalg.eigvalsh(square), jnp.abs(jnp.linalg.qr(a.T)[0]), jnp.abs(jnp.fft.rfft(a))]


def _loops(a: Any, b: Any) -> dict[str, Any]:
    step = lambda h, x: (jnp.tanh(h + x), h * x)  # noqa: E731
    return {
        "scan": jax.lax.scan(step, a[0], b),
        "scan in reverse": jax.lax.scan(step, a[0], b, reverse=True),
        "scan, unrolled": jax.lax.scan(step, a[0], b, unroll=2),
        "fori_loop": jax.lax.fori_loop(0, 3, lambda n, h: jnp.tanh(h + n), a),
        "cond": [jax.lax.cond(flag, jnp.tanh, jnp.sin, a) for flag in (True, False)],
        "switch": [jax.lax.switch(n, [jnp.tanh, jnp.sin, jnp.cos], a) for n in (0, 2, 7)],
        "map": jax.lax.map(jnp.tanh, a),
        "associative_scan": jax.lax.associative_scan(jnp.add, a),
        "associative_scan in reverse": jax.lax.associative_scan(jnp.add, a, reverse=True, axis=1),
        "scan in reverse, unrolled": jax.lax.scan(step, a[0], b, reverse=True, unroll=2),
        "scan of a length": jax.lax.scan(lambda h, _: (jnp.tanh(h), h), a, length=3),
        "map in batches": jax.lax.map(jnp.tanh, a, batch_size=2),
        "cumulative": [jax.lax.cumsum(a, reverse=True), jax.lax.cummax(a), jax.lax.cumlogsumexp(a)],
        "reduce_window": jax.lax.reduce_window(a, -np.inf, jax.lax.max, (1, 2), (1, 2), "VALID"),
    }


def _derived(a: Any, b: Any) -> dict[str, Any]:
    """Derivatives and maps."""
    row = lambda x: jnp.tanh(x) * b[0]  # noqa: E731
    loss = lambda x: jnp.sum(jnp.tanh(x) ** 2)  # noqa: E731

    @jax.custom_vjp
    def mine(x: Any) -> Any:
        return jnp.sin(x)

    mine.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (2 * g * x,))

    @jax.custom_jvp
    def other(x: Any) -> Any:
        return jnp.sin(x)

    other.defjvp(lambda xs, ts: (jnp.sin(xs[0]), 3 * xs[0] * ts[0]))
    value, pull = jax.vjp(row, a[0])
    out, linear = jax.linearize(row, a[0])
    return {
        "grad": jax.grad(loss)(a),
        "grad with aux": jax.grad(lambda x: (loss(x), x), has_aux=True)(a),
        "grad of two": jax.grad(lambda x, y: jnp.sum(x * y), argnums=(0, 1))(a, b),
        "value_and_grad": jax.value_and_grad(loss)(a),
        "vjp": [value, pull(value)],
        "jvp": jax.jvp(row, (a[0],), (b[1],)),
        "linearize": [out, linear(b[1])],
        "hessian": jax.hessian(loss)(a[0]),
        "jacobians": [jax.jacfwd(row)(a[0]), jax.jacrev(row)(a[0])],
        "custom_vjp": jax.grad(lambda x: jnp.sum(mine(x)))(a),
        "custom_jvp": jax.grad(lambda x: jnp.sum(other(x)))(a),
        "vmap": jax.vmap(lambda x, y: x @ y, in_axes=(0, None))(a, b.T),
        "vmap with axes": jax.vmap(lambda x, y: x * y, in_axes=(1, 1), out_axes=1)(a, b),
        "psum and pmean": jax.vmap(lambda x: [jax.lax.psum(x, "i"), jax.lax.pmean(x, "i")], axis_name="i")(a),
        "stop_gradient": jax.grad(lambda x: jnp.sum(x * jax.lax.stop_gradient(x)))(a),
        "at a corner": jax.grad(lambda x: jnp.sum(jax.nn.relu(0 * x) + jnp.abs(0 * x)))(a),
        "where": jax.grad(lambda x: jnp.sum(jnp.where(x > 0, jnp.sqrt(jnp.abs(x)), 0.0)))(a),
    }


def _recurrent(h: Any, x: Any) -> Any:
    return jnp.tanh(h + x @ h.T @ h), h


def _scan(wrap: Callable[..., Any] = lambda f: f) -> Callable[[], Example]:
    return of_array(lambda h, x: jax.lax.scan(wrap(_recurrent), h, x), normal(T, B, H))


def _types() -> dict[str, Any]:
    """What is promoted to what, and the dtypes of what is made."""
    kinds = ("bool", "int8", "int32", "uint32", "bfloat16", "float16", "float32", "complex64")
    ones = {kind: jnp.ones(2, kind) for kind in kinds}
    pairs = {f"{a} + {b}": ones[a] + ones[b] for a in kinds for b in kinds}
    scalars = {f"{kind} * {n}": ones[kind] * n for kind in kinds for n in (2, 2.0, np.float32(2), True)}
    made = [jnp.zeros(2), jnp.arange(3), jnp.asarray(1), jnp.asarray(1.0), jnp.array([True]), jnp.linspace(0, 1, 3)]
    of = [jnp.mean(ones["int32"]), jnp.sum(ones["int8"]), jnp.argmax(ones["int8"]), ones["int32"] / 2, jnp.sqrt(2)]
    drawn = [jax.random.normal(jax.random.key(0)), jax.random.randint(jax.random.key(0), (), 0, 2)]
    more = [
        jax.nn.one_hot(ones["int32"], 3),
        jnp.mean(ones["bfloat16"]),
        jnp.where(True, 1, ones["float16"]),
        jnp.eye(2),
    ]
    return pairs | scalars | {"made": made, "results": of, "draws": drawn, "more": more}


Point = namedtuple("Point", "y x")


def _trees() -> Any:
    """In which order a tree is flattened, and how its leaves are called."""
    tree = {
        "b": [CARRY, (CARRY + 1, None)],
        "a": OrderedDict(z=CARRY + 2, c=CARRY + 3),
        "p": Point(CARRY + 4, CARRY + 5),
    }
    leaves, structure = jax.tree.flatten(tree)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
    total = jax.tree.reduce(jnp.add, tree)
    kept = jax.tree.map(lambda a: 0 if a is None else a, tree, is_leaf=lambda a: a is None)
    flat, undo = ravel_pytree(tree)
    flags = np.array([jax.tree.all(some) for some in ([True, False], [True], [])])
    rest = [total, jax.tree.leaves(kept), structure.unflatten(leaves), flat, undo(flat), flags]
    return [leaves, letters(*paths), *rest]


def _jitted(ran: Ran) -> Callable[[], Any]:
    call = jax.jit(ran(lambda a, tree, power, *, flag: tree["x"] * a**power), static_argnums=2, static_argnames="flag")
    return lambda: call(CARRY, {"x": 2.0}, 2, flag=True)


def _graded(ran: Ran) -> Callable[[], Any]:
    transform = optax.adam(1e-2)
    call = jax.jit(ran(lambda p, s: transform.update(jax.grad(lambda p: jnp.sum(p**2))(p), s, p)))
    state = transform.init(CARRY)
    return lambda: call(CARRY, state)


CARRY = normal(B, H)
DRAWS: Mapping[str, Callable[[Any], Any]] = {
    "normal": lambda key: jax.random.normal(key, (D, H)),
    "uniform": lambda key: jax.random.uniform(key, (D, H)),
    "uniform in half precision": lambda key: jax.random.uniform(key, (H,), jnp.bfloat16, 1.0, 2.0),
    "split and fold_in": lambda key: [
        jax.random.normal(k, (H,)) for k in (*jax.random.split(key), jax.random.fold_in(key, 3))
    ],
    "an old key": lambda _: jax.random.normal(jax.random.PRNGKey(3), (H,)),
    "truncated_normal": lambda key: jax.random.truncated_normal(key, -1.0, 2.0, (D, H)),
    "bernoulli": lambda key: 1.0 * jax.random.bernoulli(key, 0.3, (D, H)),
    "randint": lambda key: jax.random.randint(key, (D, H), 0, 1000),
    "permutation": lambda key: jax.random.permutation(key, jnp.arange(20.0)),
    "choice": lambda key: jax.random.choice(key, 20, (H,), replace=False),
    "categorical": lambda key: jax.random.categorical(key, normal(20, H)),
    "others": lambda key: [
        getattr(jax.random, name)(key, shape=(H,)) for name in ("exponential", "gumbel", "laplace", "logistic")
    ],
}
INITIALIZERS = (
    *("orthogonal", "lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform"),
    *("normal", "uniform", "truncated_normal", "delta_orthogonal"),
)


def _initial(key: Any) -> dict[str, Any]:
    shapes = {"delta_orthogonal": (3, D, H)}
    made = {name: named(f"jax.nn.initializers.{name}")()(key, shapes.get(name, (H, D))) for name in INITIALIZERS}
    wide = jax.nn.initializers.orthogonal(2.0)(key, (D, H))
    scaled = jax.nn.initializers.variance_scaling(2.0, "fan_avg", "uniform", in_axis=0, out_axis=1)(key, (D, H))
    return made | {"orthogonal, wide": wide, "variance_scaling": scaled}


PARTS: Parts = {
    "jax.nn": of_array(each(*(f"jax.nn.{name}" for name in ACTIVATIONS))),
    "jax.numpy": of_array(each(*(f"jax.numpy.{name}" for name in FUNCTIONS))),
    "jax.numpy of two arrays": of_array(_array, normal(B, H, seed=2)),
    "jax.numpy.linalg and fft": lambda: Called(lambda _: partial(jax.jit(_decomposed), normal(B, H, seed=6))),
    "jax.lax loops": of_array(_loops, normal(B, H, seed=3)),
    "jax.grad, jvp and vmap": of_array(_derived, normal(B, H, seed=4)),
    "jax.lax.scan": _scan(),
    "jax.checkpoint": _scan(jax.checkpoint),
    "jax.checkpoint with a policy": _scan(lambda f: jax.checkpoint(f, policy=jax.checkpoint_policies.dots_saveable)),
    "jax.jit": lambda: Called(_jitted),
    "jax.jit of a gradient step": lambda: Called(_graded),
    "jax.jit with donation": donated(lambda f: jax.jit(f, donate_argnums=0)),
    "jax.jit without donation": donated(jax.jit),
    "dtypes": dtypes(_types),
    "dtypes under x64": dtypes(_types, x64=True),
    "jax.tree": called(_trees),
    "jax.random": drawn_by(lambda key: {name: draw(key) for name, draw in DRAWS.items()}),
    "jax.nn.initializers": drawn_by(_initial),
    **options.PARTS,
    **optimizers.PARTS,
    "mistakes": refused(
        shapes=lambda: jnp.ones(3) + jnp.ones(4),
        branch_on_tracer=lambda: jax.jit(lambda x: x if x.sum() > 0 else -x)(jnp.ones(3)),
        grad_of_integers=lambda: jax.grad(lambda x: x * 2)(3),
        grad_of_array=lambda: jax.grad(jnp.sin)(jnp.ones(3)),
        carry_of_other_dtype=lambda: jax.lax.scan(lambda h, x: (h.astype("int32"), x), jnp.ones(()), jnp.ones(3)),
        trees_that_differ=lambda: jax.tree.map(jnp.add, [1, 2], [1]),
        rank_promotion=lambda: jax.numpy_rank_promotion("raise")(lambda: jnp.ones(3) + jnp.ones((2, 3)))(),
        float_index=lambda: jnp.ones(3)[1.0],  # pyright: ignore
    ),
}
PUBLIC = (
    *("jax", "jax.numpy", "jax.lax", "jax.nn", "jax.nn.initializers", "jax.random", "jax.tree", "jax.tree_util"),
    *("optax", "optax.losses", "optax.schedules", "optax.transforms"),
)
