"""Parts of Flax NNX."""

from collections.abc import Callable
from functools import partial, reduce  # noqa: F401  (in a table)
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..functions import Called, Example, Ran
from . import B, D, H, Lines, Parts, T, called, donated, filled, letters, lines_of, normal, paths, policies_of

X, FRAME, CARRY, STEPS = normal(B, T, D), normal(B, D), normal(B, H), normal(T, B, D)
LENGTHS, INDICES, SOME = np.array([1, 4, 2]), np.array([[0, 2], [3, 1]]), np.abs(X) < 1.5
OTHER = dict.fromkeys(("kernel_init", "recurrent_kernel_init", "bias_init"), nnx.initializers.ones)
BACKWARD = {"reverse": True, "keep_order": True, "return_carry": True}

MODULES = """
cell(rngs), CARRY, FRAME
rnn(rngs)
rnn(rngs, return_carry=True), X, dict(initial_carry=CARRY)
rnn(rngs, return_carry=True), X, dict(seq_lengths=LENGTHS)
rnn(rngs, reverse=True, return_carry=True), X, dict(seq_lengths=LENGTHS)
rnn(rngs, time_major=True), STEPS
nnx.RNN(cell(rngs, gate_fn=nnx.hard_sigmoid, activation_fn=nnx.relu, **OTHER), unroll=2), X, BACKWARD
nnx.Bidirectional(rnn(rngs), rnn(rngs), rngs=rngs)
nnx.Bidirectional(rnn(rngs), rnn(rngs), return_carry=True, rngs=rngs), X, dict(seq_lengths=LENGTHS)
nnx.RNN(nnx.OptimizedLSTMCell(D, H, rngs=rngs))
nnx.RNN(nnx.LSTMCell(D, H, rngs=rngs))
nnx.RNN(nnx.SimpleCell(D, H, rngs=rngs))
nnx.SimpleCell(D, H, residual=True, rngs=rngs), CARRY, FRAME
nnx.Linear(D, H, rngs=rngs)
nnx.LinearGeneral(D, (2, 3), rngs=rngs)
nnx.Einsum("btd,dh->bth", (D, H), (H,), rngs=rngs)
nnx.Conv(D, H, (3,), rngs=rngs)
nnx.ConvTranspose(D, H, (3,), rngs=rngs)
nnx.Embed(T, D, rngs=rngs), INDICES
nnx.LayerNorm(D, rngs=rngs)
nnx.LayerNorm(D, rngs=rngs), X, dict(mask=SOME)
nnx.RMSNorm(D, rngs=rngs)
nnx.RMSNorm(D, rngs=rngs), X, dict(mask=SOME)
nnx.GroupNorm(D, num_groups=D, rngs=rngs)
nnx.GroupNorm(D, num_groups=D, rngs=rngs), X, dict(mask=SOME)
nnx.BatchNorm(D, rngs=rngs)
nnx.BatchNorm(D, rngs=rngs), X, dict(mask=SOME)
nnx.Sequential(nnx.Linear(D, H, rngs=rngs), nnx.relu)
nnx.MultiHeadAttention(1, D, decode=False, rngs=rngs)
nnx.MultiHeadAttention(1, D, decode=False, rngs=rngs), X, dict(mask=nnx.make_causal_mask(X[..., 0]))
nnx.LoRA(D, 2, H, base_module=nnx.Linear(D, H, rngs=rngs), rngs=rngs), FRAME
nnx.LoRALinear(D, H, lora_rank=2, rngs=rngs), FRAME
"""
DERIVED = """
jax.tree.leaves(nnx.grad(loss)(m, x)), nnx.grad(loss, argnums=1)(m, x), jax.tree.leaves(nnx.value_and_grad(loss)(m, x))
jax.tree.leaves(nnx.grad(lambda *a: (loss(*a), a[1]), has_aux=True)(m, x))
nnx.cond(x[0, 0] > 0, lambda m, x: m(x), lambda m, x: -m(x), m, x)
nnx.fori_loop(0, 3, lambda _, x: jnp.tanh(x), x), nnx.while_loop(lambda x: x[0, 0] < 9, lambda x: x + 2, x)
nnx.switch(1, [lambda m, x: m(x), lambda m, x: 2 * m(x)], m, x)
nnx.vmap(lambda m, x: m(x), in_axes=(None, 0))(m, x), nnx.vmap(lambda m, x: m(x), in_axes=(None, 0), out_axes=1)(m, x)
nnx.vmap(lambda m, x: m(x), in_axes=(nnx.StateAxes({nnx.Param: 0}), 0))(stacked(m), x)
"""
SCAN = """
nnx.scan(lambda h, m, x: m(h, x), in_axes=(nnx.Carry, None, 0), out_axes=(nnx.Carry, 0))(h, m, x)
nnx.scan(lambda h, m, x: m(h, x), in_axes=(nnx.Carry, None, 1), out_axes=(nnx.Carry, 1), reverse=True)(h, m, X)
nnx.scan(lambda h, m: m(h, x[0])[0], in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(h, stacked(m))
"""
REMAT = "reduce(lambda h, x: nnx.remat(lambda m, h, x: m(h, x))(m, h, x)[0], x, h)"
RANDOM = """
nnx.Dropout(0.3, rngs=rngs)(x)
nnx.Dropout(0.3, broadcast_dims=(1,), rngs=rngs)(x)
nnx.Dropout(0.3)(x, rngs=nnx.Rngs(1))
nnx.Dropout(1.0, rngs=rngs)(x)
nnx.dot_product_attention(two, two, two, dropout_rng=rngs.dropout(), dropout_rate=0.3)
"""
CALLS = """
cell(nnx.Rngs(0)).initialize_carry((B, D), nnx.Rngs(0))
cell(nnx.Rngs(0)).initialize_carry((B, D), nnx.Rngs(0), nnx.initializers.ones)
[jax.random.key_data(key) for rngs in [nnx.Rngs(0, dropout=1)] for key in (rngs.params(), rngs.dropout(), rngs.other())]
[mode_of(nnx.Dropout(0.5, rngs=nnx.Rngs(0)), "deterministic", flag) for flag in (True, False)]
[mode_of(nnx.BatchNorm(D, rngs=nnx.Rngs(0)), "use_running_average", flag) for flag in (True, False)]
[(p.value, p[...], p[0], p + 1, p.T, p @ CARRY.T, jnp.zeros((), p.dtype)) for p in [nnx.Param(jnp.asarray(CARRY))]]
[setattr(p, "value", 2 * p[...]) or p[...] for p in [nnx.Param(jnp.asarray(CARRY))]]
[p.__setitem__(..., 3 * p[...]) or p[...] for p in [nnx.Param(jnp.asarray(CARRY))]]
mode_of(nnx.MultiHeadAttention(1, D, dropout_rate=0.5, rngs=nnx.Rngs(0)), "deterministic", True)
[nnx.view(nnx.Dropout(0.5, deterministic=not flag), deterministic=flag).deterministic for flag in (True, False)]
paths(nnx.state(norm(), nnx.Param)), paths(nnx.state(norm(), nnx.PathContains("bias")))
paths(nnx.state(norm(), nnx.All(nnx.Param, nnx.PathContains("bias"))))
paths(nnx.state(norm(), nnx.Any(nnx.BatchStat, nnx.PathContains("bias")))), paths(nnx.state(norm(), nnx.Not(nnx.Param)))
nnx.capture(nnx.Intermediate)(lambda m: [m.sow(nnx.Intermediate, "a", n * CARRY) for n in (1, 2)])(norm())
letters(nnx.restore_int_paths({"0": 1, "b": {"2": 3}}))
nnx.Dropout(0.0)(FRAME)
[(nnx.Dropout(0.0)(FRAME, rngs=rngs), jax.random.key_data(rngs.dropout())) for rngs in [nnx.Rngs(0)]]
nnx.to_pure_dict(nnx.merge_state(*(jax.tree.map(lambda a: a + n, nnx.state(norm(), nnx.Param)) for n in (0, 7))))
"""
HALVES = """
nnx.LayerNorm(D, rngs=nnx.Rngs(0))(x), nnx.GroupNorm(D, num_groups=1, rngs=nnx.Rngs(0))(x), norm()(x)
nnx.LayerNorm(D, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(x), nnx.RMSNorm(D, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(x)
"""
DTYPES = """
nnx.state(cell(nnx.Rngs(0)), nnx.Param)
nnx.Linear(D, H, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))(FRAME)
nnx.Embed(T, D, dtype=jnp.float16, rngs=nnx.Rngs(0))(INDICES)
nnx.state(cell(nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=nnx.initializers.zeros), nnx.Param)
cell(nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=nnx.initializers.zeros)(CARRY, FRAME)
cell(nnx.Rngs(0), param_dtype=jnp.bfloat16, recurrent_kernel_init=zeros).initialize_carry((B, D), nnx.Rngs(0))
"""
UPDATED = """
[[of.update(m, nnx.state(m), value=jnp.sum(x)), m.weight[...]][1] for m in [Tagged()] for of in [plateau(m)] * 3]
"""
MISTAKES = """
nnx.Dropout(0.5)(FRAME)
nnx.Optimizer(nnx.Linear(D, H, rngs=nnx.Rngs(0)), optax.sgd(1.0))
(lambda m: setattr(m, "layers", [norm()]) or nnx.split(m))(norm())
nnx.Linear(D, H, rngs=nnx.Rngs(0))(jnp.asarray(CARRY))
jax.jit(partial(nnx.Param.set_value, nnx.Param(jnp.asarray(CARRY))))(CARRY)
nnx.update(cell(nnx.Rngs(0)), nnx.state(rnn(nnx.Rngs(0))))
"""
zeros = nnx.initializers.zeros


def cell(rngs: Any, **options: Any) -> Any:
    """A cell."""
    return nnx.GRUCell(D, H, rngs=rngs, **options)


class Tagged(nnx.Module):
    """A module that writes something beside its parameter."""

    def __init__(self) -> None:
        self.weight = nnx.Param(jnp.asarray(CARRY), mine="a tag")


def _call(module: Any, *inputs: Any, **options: Any) -> Any:
    """The results of a module, and the statistics that it changes."""
    return module(*inputs, **options), jax.tree.leaves(nnx.state(module, nnx.BatchStat))


def _of(line: str, call: Callable[..., Any] = _call, *, compiled: bool = False) -> Callable[[], Example]:
    """A row of a module."""

    def example() -> Example:
        module, inputs, options = HERE.model(line, X, rngs=nnx.Rngs(0))
        graph, drawn, rest = nnx.split(module, nnx.Param, ...)

        def function(params: Any, *inputs: Any) -> Any:
            own = jax.tree.map(lambda a: a, rest)  # random streams, which a call moves on
            return call(nnx.merge(graph, params, own), *inputs, **options)

        return Example(function, filled(drawn), tuple(inputs), drawn, compiled)

    return example


def _fixed(module: Any) -> Any:
    """A module whose parameters are not those that were drawn."""
    nnx.update(module, filled(nnx.state(module, nnx.Param)))
    return module


def loss(linear: Any, x: Any) -> Any:
    """A scalar."""
    return jnp.sum(linear(x) ** 2)


def _optimizer() -> Any:
    """A step of an optimizer, and what is written beside a parameter and the optimizer's state of it."""
    linear, tagged = _fixed(nnx.Linear(D, H, rngs=nnx.Rngs(0))), Tagged()
    optimizer, other = (nnx.Optimizer(module, optax.adam(1e-2), wrt=nnx.Param) for module in (linear, tagged))
    updates = optimizer.update(linear, nnx.grad(loss)(linear, FRAME))
    variables = jax.tree.leaves(nnx.state((tagged, other)), is_leaf=lambda v: hasattr(v, "get_metadata"))
    return {
        "state": [nnx.to_pure_dict(nnx.state(of)) for of in (linear, optimizer)],
        "updates": jax.tree.leaves(updates),
        "tags": letters(*(getattr(variable, "mine", "none") for variable in variables)),
    }


def _eager(_: Ran) -> Callable[[], Any]:
    """A step of an optimizer outside of `nnx.jit`."""
    tagged = Tagged()
    optimizer = nnx.Optimizer(tagged, optax.sgd(1.0), wrt=nnx.Param)
    return partial(optimizer.update, tagged, nnx.state(tagged, nnx.Param))


def _state() -> Any:
    """Taking a module apart and putting it together."""
    fixed = _fixed(cell(nnx.Rngs(0)))
    state = jax.tree.map(lambda a: 2 * a, nnx.state(fixed, nnx.Param))
    nnx.update(fixed, state)
    graph, params, rest = nnx.split(nnx.clone(fixed), nnx.Param, ...)
    pure = nnx.to_pure_dict(params)
    nnx.replace_by_pure_dict(params, jax.tree.map(lambda a: a + 1, pure))
    return [fixed(CARRY, FRAME), nnx.merge(graph, params, rest)(CARRY, FRAME), pure, paths(nnx.state(fixed))]


def _metrics(x: Any) -> dict[str, Any]:
    """Metrics after two updates."""
    some, labels = nnx.metrics, np.array([[0, 2, 1, 0], [1, 1, 4, 2], [3, 0, 0, 2]])
    pairs = some.MultiMetric(loss=some.Average("loss"), accuracy=some.Accuracy())
    metrics = {"Average": some.Average(), "Average with a mask": some.Average(), "Welford": some.Welford()}
    for values in (x[0], 3 + 2 * x[1]):
        metrics["Average"].update(values=values)
        metrics["Average with a mask"].update(values=values, mask=np.tri(T, D) > 0)
        metrics["Welford"].update(values=values)
        pairs.update(loss=jnp.sum(values), logits=x, labels=labels)
    found = {name: metric.compute() for name, metric in {**metrics, "MultiMetric": pairs}.items()}
    pairs.reset()
    metrics["Welford"].reset()
    metrics["Welford"].update(values=x)
    pairs.update(loss=jnp.sum(x), logits=x, labels=jnp.argmax(x, -1))
    return {
        **found,
        "MultiMetric that was reset": pairs.compute(),
        "Welford that was reset": metrics["Welford"].compute(),
    }


def mode_of(layer: Any, mode: str, value: bool) -> list[Any]:
    """The mode of a layer after each way to set it."""
    layer.set_attributes(**{mode: value})
    first = getattr(layer, mode)
    layer.eval()
    return [first, getattr(layer, mode)]


def _split_keys() -> list[Any]:
    """Keys of random streams that are split, restored and forked."""

    def keys(rngs: Any) -> list[Any]:
        some = jax.tree.leaves(nnx.state(rngs))
        return [jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a for a in some]

    rngs = nnx.Rngs(0, dropout=1)
    kept = nnx.split_rngs(rngs, splits=3, only="default")
    found = keys(rngs)
    nnx.restore_rngs(kept)
    return [found, keys(rngs), keys(rngs.fork())]


HERE = Lines(
    {
        **globals(),
        "rnn": lambda rngs, **options: nnx.RNN(cell(rngs), **options),
        "stacked": lambda module: jax.tree.map(lambda a: jnp.stack([a, 2 * a, a]), module),
        "plateau": lambda m: nnx.Optimizer(m, optax.contrib.reduce_on_plateau(0.5, patience=1), wrt=nnx.Param),
        "norm": lambda: nnx.BatchNorm(D, rngs=nnx.Rngs(0)),
    }
)
PARTS: Parts = {
    "nnx.remat": _of("cell(rngs), CARRY, STEPS", lambda m, h, x: HERE.value(REMAT, m=m, h=h, x=x)),
    "bytes kept by the policies of nnx.remat": called(partial(policies_of, nnx.remat)),
    "nnx.scan": _of("cell(rngs), CARRY, STEPS", lambda m, h, x: HERE.values(SCAN, m=m, h=h, x=x)),
    "nnx transforms": _of("nnx.Linear(D, H, rngs=rngs), FRAME", lambda m, x: HERE.values(DERIVED, m=m, x=x)),
    **{line: _of(line) for line in lines_of(MODULES)},
    "rnn(rngs)": _of("rnn(rngs)", compiled=True),
    "modes of nnx.BatchNorm": _of(
        "nnx.BatchNorm(D, rngs=rngs)", lambda m, x: [(getattr(m, mode)(), m(x))[1] for mode in ("eval", "train")]
    ),
    "decode of nnx.MultiHeadAttention": _of(
        "nnx.MultiHeadAttention(1, D, decode=True, rngs=rngs)",
        lambda m, x: (m.init_cache(x.shape), [m(x[:, n : n + 1]) for n in range(3)])[1],
    ),
    "nnx in half precision": HERE.in_half_precision(HALVES),
    "nnx.metrics": lambda: Example(_metrics, X),
    "nnx.jit with donation": donated(partial(nnx.jit, donate_argnums=0)),
    "nnx.Optimizer": called(_optimizer),
    "nnx.Optimizer.update": lambda: Called(_eager),
    **({"nnx.Optimizer with a value": HERE.traced(UPDATED, x=FRAME)} if hasattr(nnx, "ModelAndOptimizer") else {}),
    "nnx.split and nnx.merge": called(_state),
    "nnx.Dropout": called(jax.jit(lambda: HERE.values(RANDOM, x=X, two=jnp.stack([X, 2 * X], 2), rngs=nnx.Rngs(0)))),
    "nnx.split_rngs": called(_split_keys),
    **HERE.calls(CALLS),
    **HERE.dtypes(DTYPES),
    "mistakes": HERE.refused(MISTAKES),
}
PUBLIC = ("flax.nnx", "flax.nnx.nn.initializers")
