"""Parts of Flax NNX."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from ..observing import Example
from . import (
    CARRY,
    FRAME,
    D,
    H,
    Lines,
    Rows,
    X,
    filled,
    half,
    policies_of,
    rows,
)

OTHER = dict.fromkeys(
    ("kernel_init", "recurrent_kernel_init", "bias_init"), nnx.initializers.ones
)
UPDATED = (
    "[[of.update(m, nnx.state(m), value=x[0]), m.weight[...]][1] for m in "
    "[Tagged()] for of in [plateau(m)] * 3]"
)
zeros = nnx.initializers.zeros


class Tagged(nnx.Module):
    """A module that writes something beside its parameter."""

    def __init__(self, factor: float = 1.0) -> None:
        self.weight = nnx.Param(jnp.asarray(factor * CARRY), mine="a tag")


def _call(module: Any, *inputs: Any, **options: Any) -> Any:
    """The results of a module, or of each, and the statistics that it changes."""
    if isinstance(module, list):
        return [_call(each, *inputs, **options) for each in module]
    return module(*inputs, **options), jax.tree.leaves(nnx.state(module, nnx.BatchStat))


def _of(
    line: str, call: Callable[..., Any] = _call, *, compiled: bool = False
) -> Example:
    """A module."""
    module, inputs, options = HERE.model(line, X, rngs=nnx.Rngs(0))
    graph, drawn, rest = nnx.split(module, nnx.Param, ...)

    def function(params: Any, *inputs: Any) -> Any:
        own = jax.tree.map(lambda a: a, rest)  # random streams, which a call moves on
        return call(nnx.merge(graph, params, own), *inputs, **options)

    return Example(function, filled(drawn), inputs, drawn, compiled)


def fixed(module: Any = None) -> Any:
    """A module, by default a cell, whose parameters are not those that were drawn."""
    module = module or nnx.GRUCell(D, H, rngs=nnx.Rngs(0))
    nnx.update(module, filled(nnx.state(module, nnx.Param)))
    return module


def loss(linear: Any, x: Any) -> Any:
    """A scalar."""
    return jnp.sum(linear(x) ** 2)


def step(linear: Any, optimizer: Any, x: Any) -> Any:
    """A step of training."""
    value, gradient = nnx.value_and_grad(loss)(linear, x)
    optimizer.update(linear, gradient)
    return value


def trained(compiled: Callable[[Any, Any], Callable[[Any], Any]]) -> Callable[[], Any]:
    """A step of training, with what it leaves in the module and in its optimizer."""
    linear = fixed(nnx.Linear(D, H, rngs=nnx.Rngs(0)))
    optimizer = nnx.Optimizer(linear, optax.adam(1e-2), wrt=nnx.Param)
    call = compiled(linear, optimizer)
    return lambda: (
        call(FRAME),
        [nnx.to_pure_dict(nnx.state(of)) for of in (linear, optimizer)],
    )


HERE = Lines(
    globals(),
    cell=lambda rngs, **options: nnx.GRUCell(D, H, rngs=rngs, **options),
    rnn=lambda rngs, **options: nnx.RNN(nnx.GRUCell(D, H, rngs=rngs), **options),
    stacked=lambda module: jax.tree.map(lambda a: jnp.stack([a, 2 * a, a]), module),
    plateau=lambda m: nnx.Optimizer(
        m, optax.contrib.reduce_on_plateau(0.5, patience=1), wrt=nnx.Param
    ),
    decayed=lambda m: nnx.Optimizer(
        m, optax.adamw(0.1, weight_decay=0.5), wrt=nnx.Param
    ),
    norm=lambda: nnx.BatchNorm(D, rngs=nnx.Rngs(0)),
    # the mode of a layer after each way to set it
    mode_of=lambda of, mode, on: [
        of.set_attributes(**{mode: on}),
        getattr(of, mode),
        of.eval(),
        getattr(of, mode),
    ],
    # the keys and counts of random streams
    keys=lambda rngs: [
        jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a
        for a in jax.tree.leaves(nnx.state(rngs))
    ],
)
PARTS: Rows = {
    "bytes kept by the policies of nnx.remat": partial(policies_of, nnx.remat),
    **rows(
        lambda line: _of("cell(rngs), CARRY, STEPS", HERE.function(line, "m", "h", "x"))
    )("""
nnx.scan(lambda h, m, x: m(h, x), in_axes=(nnx.Carry, None, 0), out_axes=(nnx.Carry, 0))(h, m, x)
nnx.scan(lambda h, m, x: m(h, x), in_axes=(nnx.Carry, None, 1), out_axes=(nnx.Carry, 1), reverse=True)(h, m, X)
nnx.scan(lambda h, m: m(h, x[0])[0], in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(h, stacked(m))
reduce(lambda h, x: nnx.remat(lambda m, h, x: m(h, x))(m, h, x)[0], x, h)
"""),
    **rows(
        lambda line: _of(
            "nnx.Linear(D, H, rngs=rngs), FRAME", HERE.function(line, "m", "x")
        )
    )("""
jax.tree.leaves(nnx.grad(loss)(m, x)), nnx.grad(loss, argnums=1)(m, x), jax.tree.leaves(nnx.value_and_grad(loss)(m, x))
jax.tree.leaves(nnx.grad(lambda *a: (loss(*a), a[1]), has_aux=True)(m, x))
jax.tree.leaves(nnx.grad(loss, argnums=nnx.DiffState(0, nnx.PathContains("bias")))(m, x))
nnx.cond(x[0, 0] > 0, lambda m, x: m(x), lambda m, x: -m(x), m, x)
nnx.fori_loop(0, 3, lambda _, x: jnp.tanh(x), x), nnx.while_loop(lambda x: x[0, 0] < 9, lambda x: x + 2, x)
nnx.switch(1, [lambda m, x: m(x), lambda m, x: 2 * m(x)], m, x)
nnx.vmap(lambda m, x: m(x), in_axes=(None, 0))(m, x), nnx.vmap(lambda m, x: m(x), in_axes=(None, 0), out_axes=1)(m, x)
nnx.vmap(lambda m, x: m(x), in_axes=(nnx.StateAxes({nnx.Param: 0}), 0))(stacked(m), x)
"""),
    **rows(_of)("""
cell(rngs), CARRY, FRAME
rnn(rngs)
rnn(rngs, return_carry=True), X, dict(initial_carry=CARRY)
rnn(rngs, return_carry=True), X, dict(seq_lengths=LENGTHS)
rnn(rngs, reverse=True, return_carry=True), X, dict(seq_lengths=LENGTHS)
rnn(rngs, time_major=True), STEPS
rnn(rngs), STEPS, dict(time_major=True)
nnx.RNN(cell(rngs, gate_fn=nnx.hard_sigmoid, activation_fn=nnx.relu, **OTHER), unroll=2), X, BACKWARD
nnx.Bidirectional(rnn(rngs), rnn(rngs), rngs=rngs)
nnx.Bidirectional(rnn(rngs), rnn(rngs), return_carry=True, rngs=rngs), X, dict(seq_lengths=LENGTHS)
[nnx.RNN(of(D, H, rngs=rngs)) for of in (nnx.OptimizedLSTMCell, nnx.LSTMCell, nnx.SimpleCell)]
nnx.SimpleCell(D, H, residual=True, rngs=rngs), CARRY, FRAME
[nnx.Linear(D, H, rngs=rngs), nnx.LinearGeneral(D, (2, 3), rngs=rngs)]
nnx.Einsum("btd,dh->bth", (D, H), (H,), rngs=rngs)
nnx.Conv(D, H, (3,), rngs=rngs), X[0]
[nnx.Conv(D, H, (4,), padding=padding, rngs=rngs) for padding in ("SAME", "CAUSAL", "CIRCULAR", "REFLECT")]
nnx.Conv(D, 2 * D, (4,), 2, padding=1, input_dilation=2, kernel_dilation=2, feature_group_count=D, rngs=rngs)
[nnx.ConvTranspose(D, H, (4,), (2,), padding=padding, rngs=rngs) for padding in ("SAME", "VALID", "CIRCULAR")]
[of(D, D, (2, 4), (2, 1), rngs=rngs) for of in (nnx.Conv, partial(nnx.ConvTranspose, transpose_kernel=True))], X[None]
[nnx.LayerNorm(D, epsilon=0.1, use_bias=False, rngs=rngs), nnx.RMSNorm(D, epsilon=0.1, rngs=rngs), nnx.PReLU(0.3)]
nnx.BatchNorm(T, axis=1, momentum=0.5, epsilon=0.1, rngs=rngs)
nnx.InstanceNorm(D, rngs=rngs), X, dict(mask=SOME)
nnx.Embed(T, D, rngs=rngs), INDICES
nnx.Embed(T, D, rngs=rngs), INDICES.astype("uint8")
nnx.GroupNorm(D, num_groups=D, rngs=rngs), X, dict(mask=SOME)
nnx.Sequential(nnx.Linear(D, H, rngs=rngs), nnx.BatchNorm(H, rngs=rngs), jnp.tanh)
nnx.LayerNorm(D, use_fast_variance=False, rngs=rngs), X + 1e6
[of(D, rngs=rngs) for of in (nnx.LayerNorm, nnx.RMSNorm, nnx.BatchNorm)], X, dict(mask=SOME)
nnx.MultiHeadAttention(1, D, out_kernel_init=zeros, out_bias_init=nnx.initializers.ones, decode=False, rngs=rngs)
nnx.MultiHeadAttention(1, D, decode=False, rngs=rngs), X, dict(mask=nnx.make_causal_mask(X[..., 0]), sow_weights=True)
nnx.MultiHeadAttention(2, D, H, normalize_qk=True, decode=False, rngs=rngs), X, X[:, :2]
"""),
    "rnn(rngs)": partial(_of, "rnn(rngs)", compiled=True),
    "modes of nnx.BatchNorm": lambda: _of(
        "nnx.BatchNorm(D, rngs=rngs)",
        lambda m, x: [(getattr(m, mode)(), m(x))[1] for mode in ("eval", "train")],
    ),
    "decode of nnx.MultiHeadAttention": lambda: _of(
        "nnx.MultiHeadAttention(1, D, decode=True, rngs=rngs)",
        lambda m, x: (m.init_cache(x.shape), [m(x[:, n : n + 1]) for n in range(3)])[1],
    ),
    "nnx in half precision": HERE.compiled(half)("""
nnx.LayerNorm(D, rngs=nnx.Rngs(0))(x), nnx.GroupNorm(D, num_groups=1, rngs=nnx.Rngs(0))(x), norm()(x)
nnx.LayerNorm(D, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(x), nnx.RMSNorm(D, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(x)
"""),
    **HERE.called("""
deletes(nnx.jit(ran(jnp.tanh), donate_argnums=0))
[partial(nnx.Optimizer(m, optax.sgd(1.0), wrt=nnx.Param).update, m, nnx.state(m, nnx.Param)) for m in [Tagged()]][0]
trained(lambda *of: partial(nnx.jit(ran(step)), *of))
trained(lambda *of: nnx.jit_partial(ran(step), *of, graph=False))
trained(lambda *of: nnx.cached_partial(nnx.jit(ran(step)), *of))
"""),
    **(HERE.traced(x=FRAME[0])(UPDATED) if hasattr(nnx, "ModelAndOptimizer") else {}),
    "nnx.Dropout": HERE.compiled(
        lambda: {"x": X, "two": jnp.stack([X, 2 * X], 2), "rngs": nnx.Rngs(0)}
    )("""
nnx.Dropout(0.3, rngs=rngs)(x)
nnx.Dropout(0.3, broadcast_dims=(1,), rngs=rngs)(x)
nnx.Dropout(0.3)(x, rngs=nnx.Rngs(1))
nnx.Dropout(0.3, rngs=nnx.Rngs(params=0, dropout=1))(x)
nnx.Dropout(1.0, rngs=rngs)(x)
nnx.dot_product_attention(two, two, two, dropout_rng=rngs.dropout(), dropout_rate=0.3)
"""),
    **HERE.calls("""
[cell(nnx.Rngs(0)).initialize_carry((B, D), nnx.Rngs(0), *init) for init in ((), (nnx.initializers.ones,))]
[jax.random.key_data(key) for rngs in [nnx.Rngs(0, dropout=1)] for key in (rngs.params(), rngs.dropout(), rngs.other())]
[mode_of(nnx.Dropout(0.5, rngs=nnx.Rngs(0)), "deterministic", flag) for flag in (True, False)]
[(p.value, p[...], p[0], p + 1, p.T, p @ CARRY.T, jnp.zeros((), p.dtype)) for p in [nnx.Param(jnp.asarray(CARRY))]]
[(setattr(p, "value", 2 * p[...]), p[...], p.__setitem__(0, 3.0), p[...]) for p in [nnx.Param(jnp.asarray(CARRY))]]
jax.tree.leaves(nnx.grad(lambda m: jnp.sum(m.attend(FRAME) ** 2))(fixed(nnx.Embed(T, D, rngs=nnx.Rngs(0)))))
nnx.merge(nnx.graphdef(fixed()), nnx.to_pure_dict(nnx.state(fixed())))(CARRY, FRAME)
[(r.params(), nnx.reseed(r, params=3), keys(r))[2] for r in [nnx.Rngs(0, params=1)]]
paths(nnx.state(nnx.List([nnx.Param(0) for _ in range(12)]), nnx.Param))
[[jax.tree.leaves(nnx.pop(m, nnx.BatchStat)), paths(nnx.state(m))] for m in [norm()]]
paths(nnx.state(norm(), nnx.Any(nnx.BatchStat, nnx.PathContains("bias")))), paths(nnx.state(norm(), nnx.Not(nnx.Param)))
nnx.capture(nnx.Intermediate)(lambda m: [m.sow(nnx.Intermediate, "a", n * CARRY) for n in (1, 2)])(norm())
nnx.merge(*nnx.split(nnx.clone(fixed()), nnx.Param, ...))(CARRY, FRAME), nnx.to_pure_dict(nnx.state(fixed(), nnx.Param))
[nnx.replace_by_pure_dict(s, jax.tree.map(jnp.sin, nnx.to_pure_dict(s))) or s for s in [nnx.state(fixed(), nnx.Param)]]
[nnx.replace_by_pure_dict(s, {"0": CARRY}) or s for s in [nnx.state(nnx.List([nnx.Param(jnp.ones((B, H)))]))]]
[[of.update(Tagged(2.0)), m.weight[...]][1] for of in [nnx.EMA(Tagged(), 0.9)] for m in [of.apply_to(Tagged(3.0))]]
[[of.update(nnx.state(of.model)), of.model.weight[...]][1] for of in [nnx.ModelAndOptimizer(Tagged(), optax.sgd(0.1))]]
keys(nnx.Rngs(a=0, b=1).fork()), [(nnx.reseed(r, params=3), keys(r))[1] for r in [nnx.Rngs(0, params=1)]]
[paths(some) for some in nnx.split_state(nnx.state(norm()), nnx.Param, ...)]
[np.asarray(a.shape) for a in jax.tree.leaves(nnx.eval_shape(lambda: nnx.state(norm())))]
nnx.Dropout(0.0)(FRAME), [(nnx.Dropout(0.0)(FRAME, rngs=r), jax.random.key_data(r.dropout())) for r in [nnx.Rngs(0)]]
nnx.to_pure_dict(nnx.merge_state(*(jax.tree.map(lambda a: a + n, nnx.state(norm(), nnx.Param)) for n in (0, 7))))
paths(nnx.grad(lambda m: m(FRAME).sum())(norm())), nnx.initializers.truncated_normal()(jax.random.key(0), (B, H))
nnx.vmap(lambda x: x - jax.lax.pmean(x, "examples"), axis_name="examples")(CARRY)
[[decayed(m).update(m, nnx.state(m, nnx.Param)), m.weight[...]][1] for m in [Tagged()]]
"""),
    **HERE.dtypes("""
nnx.state(cell(nnx.Rngs(0)), nnx.Param)
nnx.Linear(D, H, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(FRAME)
[(m(INDICES), m.attend(FRAME)) for kind in (None, "float16") for m in [nnx.Embed(T, D, dtype=kind, rngs=nnx.Rngs(0))]]
nnx.Conv(D, H, 2, dtype="float16", rngs=nnx.Rngs(0))(X), nnx.BatchNorm(D, dtype="float16", rngs=nnx.Rngs(0))(X)
nnx.state(cell(nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=nnx.initializers.zeros), nnx.Param)
cell(nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=nnx.initializers.zeros)(CARRY, FRAME)
cell(nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=zeros).initialize_carry((B, D), nnx.Rngs(0))
"""),
    "mistakes": lambda: HERE.refused("""
nnx.Dropout(0.5)(FRAME)
nnx.Optimizer(nnx.Linear(D, H, rngs=nnx.Rngs(0)), optax.sgd(1.0))
(lambda m: setattr(m, "layers", [norm()]) or nnx.split(m))(norm())
nnx.Linear(D, H, rngs=nnx.Rngs(0))(jnp.asarray(CARRY))
jax.jit(partial(nnx.Param.set_value, nnx.Param(jnp.asarray(CARRY))))(CARRY)
nnx.update(cell(nnx.Rngs(0)), nnx.state(rnn(nnx.Rngs(0))))
"""),
}
PUBLIC = ("flax.nnx", "flax.nnx.nn.initializers")
