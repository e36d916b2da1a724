"""Parts of Equinox."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..observing import Example
from . import (
    KEY,
    B,
    D,
    H,
    Lines,
    Rows,
    T,
    filled,
    half,
    normal,
    policies_of,
    rows,
)

X, FRAMES, FRAME, CARRY, STEPS = (
    normal(T, D),
    normal(B, D),
    normal(D),
    normal(H),
    normal(T, D),
)
MASK, X6, IMAGE = np.tri(T, dtype=bool), normal(T, H), normal(2, 5, 6)

EVERYTHING = (jnp.ones(H, jnp.bfloat16), np.arange(3), normal(H), 2, 1.5, True)
NOTHING = (
    jnp.zeros(H, jnp.bfloat16),
    np.zeros(3, int),
    np.zeros(H, "float32"),
    0,
    0.0,
    False,
)
FLAGS, TREE = (
    (True, False),
    {"a": [jnp.asarray(CARRY), jnp.arange(3)], "b": (2.5, None)},
)


class Mine(eqx.Module):
    """A module as users write one."""

    weight: Any = eqx.field(converter=jnp.asarray)
    size: int = eqx.field(static=True)
    scale: Any = 2.0

    def __check_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size")

    def __call__(self, x: Any) -> Any:
        return x @ self.weight * self.scale


def call(module: Any, *inputs: Any, **options: Any) -> Any:
    """The results of a module, or of each."""
    return (
        [call(m, *inputs) for m in module]
        if isinstance(module, list)
        else module(*inputs, **options)
    )


def read_as(tree: Any, other: Any) -> Any:
    """A tree that is written to a file, and read as one with the leaves of another."""
    file = io.BytesIO()
    eqx.tree_serialise_leaves(file, tree)
    file.seek(0)
    return eqx.tree_deserialise_leaves(file, other)


def _of(
    line: str, call: Callable[..., Any] = call, *, compiled: bool = False
) -> Example:
    """A module."""
    drawn, inputs, options = HERE.model(line, FRAME)
    return Example(
        partial(call, **options),
        filled(drawn),
        inputs,
        eqx.filter(drawn, eqx.is_array),
        compiled,
    )


def _scanned(wrap: Callable[..., Any], *, compiled: bool = False) -> Example:
    """A loop of a cell over time."""
    loop = "jax.lax.scan(wrap(lambda h, x: (m(x, h),) * 2), h, x)"
    return _of(
        "cell(), CARRY, STEPS",
        lambda m, h, x: HERE.value(loop, wrap=wrap, m=m, h=h, x=x),
        compiled=compiled,
    )


def _normalized(m: Any, x: Any) -> Any:
    """The results and the state of a normalization, which is called twice in training,
    and then in inference.
    """
    norm, state = m
    mapped = {"axis_name": "batch", "in_axes": (0, None), "out_axes": (0, None)}
    first, state = jax.vmap(norm, **mapped)(x, state)
    _, state = jax.vmap(norm, **mapped)(3 * x + 1, state)
    inference, _ = jax.vmap(eqx.nn.inference_mode(norm), **mapped)(x, state)
    return jax.tree.leaves((first, inference, state))


_with_jvp = eqx.filter_custom_jvp(lambda x, *, power: jnp.sin(x) ** power)
_with_vjp = eqx.filter_custom_vjp(lambda x, *, power: jnp.sin(x) ** power)
_with_vjp.def_fwd(lambda _, x, *, power: (jnp.sin(x) ** power, x))
_with_vjp.def_bwd(lambda x, g, _, given, *, power: power * g * x * given)
_with_jvp.def_jvp(lambda xs, ts, *, power: (jnp.sin(xs[0]) ** power, power * ts[0]))
HERE = Lines(
    globals(),
    loss=lambda cell, x, h: jnp.sum(cell(x, h) ** 2),
    is_list=lambda thing: isinstance(thing, list),
    cell=lambda **options: eqx.nn.GRUCell(D, H, key=KEY, **options),
    fixed=lambda: filled(
        eqx.nn.GRUCell(D, H, key=KEY)
    ),  # whose parameters are not those that were drawn
)
SQUARE = "eqx.nn.GRUCell(H, H, key=KEY), normal(B, H), CARRY"
STATEFUL = "eqx.nn.make_with_state(eqx.nn.BatchNorm)(D, 'batch', mode='{}'), FRAMES"
PARTS: Rows = {
    "eqx.filter_checkpoint": partial(_scanned, eqx.filter_checkpoint),
    "bytes kept by the policies of eqx.filter_checkpoint": partial(
        policies_of, eqx.filter_checkpoint
    ),
    **rows(lambda line: _of(SQUARE, HERE.function(line, "m", "x", "h")))("""
eqx.filter_grad(loss)(m, x[0], h), eqx.filter_value_and_grad(loss)(m, x[0], h)
eqx.filter_grad(lambda m, x, h: (loss(m, x, h), x), has_aux=True)(m, x[0], h)
eqx.filter_jvp(lambda h: m(x[0], h), (h,), (h,)), eqx.filter_vjp(call, m, x[0], h)[1](h)
eqx.filter_vmap(call, in_axes=(None, 0, None), out_axes=1)(m, x, h)
eqx.filter_hessian(lambda h: loss(m, x[0], h))(h), eqx.filter_jacrev(lambda h: m(x[0], h))(h)
eqx.filter_jacfwd(lambda h: m(x[0], h))(h), eqx.filter_closure_convert(lambda h: m(x[0], h), h)(h)
eqx.filter_vmap(lambda h: h, in_axes=None, axis_size=2)(h)
eqx.filter_grad(lambda h: jnp.sum(_with_jvp(h, power=2)))(h)
eqx.filter_grad(lambda h: jnp.sum(_with_vjp(h, power=2)))(h)
eqx.filter_vmap(call)(jax.tree.map(lambda a: jnp.stack([a] * B), m), x, x)
"""),
    **rows(_of)("""
eqx.nn.GRUCell(D, H, key=KEY), FRAME, CARRY
eqx.nn.GRUCell(D, H, use_bias=False, key=KEY), FRAME, CARRY
eqx.nn.LSTMCell(D, H, key=KEY), FRAME, (CARRY, normal(H, seed=1))
[eqx.nn.Linear(D, H, key=KEY), eqx.nn.Linear(D, H, use_bias=False, key=KEY)]
eqx.nn.MLP(D, H, 4, 3, key=KEY)
eqx.nn.Sequential([eqx.nn.Linear(D, D, key=KEY), eqx.nn.Lambda(jax.nn.relu)])
eqx.nn.GroupNorm(2, T), X
eqx.nn.Embedding(T, D, key=KEY), jnp.asarray(2)
[eqx.nn.Conv1d(T, H, 4, padding=padding, key=KEY) for padding in ("SAME", "SAME_LOWER", "VALID")], X
[eqx.nn.Conv1d(T, H, 4, padding=2, padding_mode=mode, key=KEY) for mode in ("REFLECT", "CIRCULAR", "REPLICATE")], X
eqx.nn.Conv2d(2, H, (2, 3), (1, 2), ((1, 0), (0, 2)), dilation=(2, 1), groups=2, key=KEY), IMAGE
eqx.nn.ConvTranspose2d(2, H, (2, 3), (1, 2), output_padding=(0, 1), padding=1, dilation=(2, 1), key=KEY), IMAGE
[eqx.nn.LayerNorm(D, 0.1, use_bias=False), eqx.nn.LayerNorm(D, use_weight=False), eqx.nn.RMSNorm(D, 0.1)]
eqx.nn.MLP(D, "scalar", 4, 1, jnp.tanh, jnp.sin, use_bias=False, use_final_bias=False, key=KEY)
[eqx.nn.WeightNorm(eqx.nn.Linear(D, H, key=KEY)), eqx.nn.Linear(D, "scalar", key=KEY), eqx.nn.PReLU(0.5)]
eqx.nn.MultiheadAttention(1, D, key=KEY), X, X, X, dict(mask=MASK)
eqx.nn.MultiheadAttention(2, H, key=KEY), X6, X6, X6, dict(mask=np.stack([MASK, ~np.asarray(MASK)]))
eqx.nn.MultiheadAttention(2, H, use_query_bias=True, use_output_bias=True, key=KEY), X6, X6, X6
eqx.nn.MultiheadAttention(2, H, D, D, 3, 2, 4, use_key_bias=True, use_value_bias=True, key=KEY), X6, X, X
"""),
    "lax.scan of eqx.nn.GRUCell": partial(_scanned, lambda f: f, compiled=True),
    "eqx in half precision": HERE.compiled(half)("""
[jax.vmap(jax.vmap(norm(D)))(x) for norm in (eqx.nn.LayerNorm, eqx.nn.RMSNorm)], jax.vmap(eqx.nn.GroupNorm(1, T))(x)
filled(eqx.nn.MultiheadAttention(1, D, dtype=jnp.bfloat16, key=KEY))(*[x[0] - 100] * 3)
"""),
    "eqx.nn.BatchNorm, mode='batch'": partial(
        _of, STATEFUL.format("batch"), _normalized
    ),
    "eqx.nn.BatchNorm, mode='ema'": partial(_of, STATEFUL.format("ema"), _normalized),
    **HERE.called("""
partial(eqx.filter_jit(ran(lambda cell, x, h, power, f: f(cell(x, h)) ** power)), fixed(), FRAME, CARRY, 2, jnp.tanh)
partial(lambda f: eqx.filter_jit(f)(FRAME), ran(jnp.tanh))
deletes(eqx.filter_jit(ran(jnp.tanh), donate="all"))
deletes(eqx.filter_jit(ran(jnp.tanh), donate="all-except-first"))
deletes(partial(eqx.filter_jit(ran(lambda _, a: jnp.tanh(a)), donate="all-except-first"), None))
partial(eqx.filter_jit(eqx.Partial(ran(lambda cell, x, h: cell(x, h)), fixed())), FRAME, CARRY)
"""),
    "eqx.nn.Dropout": HERE.compiled(dict, eqx.filter_jit)("""
eqx.nn.Dropout(0.3)(X, key=KEY)
eqx.nn.MultiheadAttention(1, D, dropout_p=0.3, key=KEY)(X, X, X, key=KEY)
jax.grad(lambda p: jnp.sum(eqx.nn.Dropout(p)(jnp.asarray(X), key=KEY)))(0.3)
[filled(eqx.nn.ConvTranspose1d(T, H, 4, padding=padding, key=KEY))(X) for padding in ("SAME", "SAME_LOWER")]
"""),
    **HERE.calls("""
eqx.filter(TREE, eqx.is_inexact_array, replace=8)
eqx.filter(TREE, is_list, is_leaf=is_list)
eqx.filter(TREE, {"a": True, "b": False}, inverse=True)
eqx.partition(TREE, eqx.is_inexact_array, replace=7)
eqx.filter(read_as(EVERYTHING, NOTHING), eqx.is_array_like)
(lambda f: eqx.tree_serialise_leaves(f, [fixed(), *EVERYTHING]) or np.frombuffer(f.getvalue(), np.uint8))(io.BytesIO())
eqx.combine([None, jnp.ones(2), None], [jnp.zeros(2), 2 * jnp.ones(2), None], [None, None, 3 * jnp.ones(2)])
eqx.combine({"a": None, "b": [1, 2]}, {"a": [3], "b": None}, is_leaf=is_list)
eqx.apply_updates([jnp.ones(2, jnp.bfloat16), jnp.ones(3)], [jnp.arange(2.0), None])
eqx.tree_at(lambda t: t["b"][1], TREE, 4.5, is_leaf=lambda a: a is None)
[eqx.nn.inference_mode(eqx.nn.Dropout(0.5, inference=a), value=b).inference for a in FLAGS for b in FLAGS]
eqx.filter_vmap(lambda x: x, in_axes=(eqx.if_array(1),))(normal(2, 3))
eqx.tree_at(lambda t: (t["a"][0], t["b"][0]), TREE, (7, 8)), eqx.tree_at(lambda t: t["a"], TREE, replace_fn=len)
eqx.filter_eval_shape(lambda a, f: f(a["x"]), {"x": jax.ShapeDtypeStruct((2, 3), "float32")}, jnp.sin).shape
eqx.nn.inference_mode(eqx.nn.Dropout(0.5))(FRAME), Mine(normal(H), H)(CARRY)
eqx.nn.Dropout(0.5, inference=True)(FRAME, inference=False, key=KEY)
"""),
    **HERE.dtypes("""
eqx.filter(cell(), eqx.is_array)
eqx.filter(cell(dtype=jnp.bfloat16), eqx.is_array)
[eqx.filter(of(D, H, dtype=jnp.bfloat16, key=KEY), eqx.is_array) for of in (eqx.nn.LSTMCell, eqx.nn.Linear)]
[eqx.filter(of(2, 4, 3, dtype=jnp.bfloat16, key=KEY), eqx.is_array) for of in (eqx.nn.Conv1d, eqx.nn.ConvTranspose1d)]
eqx.nn.Linear(D, H, key=KEY)(jnp.ones(D, "int8")), eqx.nn.LayerNorm(D)(jnp.ones(D, "float16"))
"""),
    "mistakes": lambda: HERE.refused("""
read_as(FRAME, CARRY)
read_as(FRAME, FRAME.astype("int32"))
read_as(normal(3, 2), normal(2, 3))
eqx.nn.Dropout(0.5)(jnp.asarray(FRAME))
setattr(Mine(normal(H), H), "size", 3)
Mine(normal(H), 0)
cell()(CARRY, CARRY)
eqx.tree_at(lambda _: CARRY, cell(), FRAME)
eqx.tree_at(lambda c: (c.bias, c.bias), cell(), (CARRY, CARRY))
eqx.tree_at(lambda c: c.bias, cell(use_bias=False), CARRY)
eqx.filter_grad(lambda x: jnp.sum(x))(jnp.arange(3))
"""),
}
PUBLIC = ("equinox", "equinox.nn")
