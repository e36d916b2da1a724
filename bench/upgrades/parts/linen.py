"""Parts of Flax linen."""

from collections import namedtuple
from functools import partial
from typing import Any

import flax.core
import flax.linen as nn
import flax.serialization
import flax.struct
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState

from ....common.program import evaluate
from ..observing import Example
from . import CARRY, FRAME, KEY, D, H, Lines, Rows, X, filled, half, lines_of, rows

CHANGED = ["batch_stats", "counts", "intermediates"]
Point = namedtuple("Point", "x y")
TREE = {"b": {"c": CARRY, "a": FRAME}, "a": {"d": CARRY + 1}}
OTHER = dict.fromkeys(
    ("kernel_init", "recurrent_kernel_init", "bias_init", "carry_init"),
    nn.initializers.ones,
)
HALF = jnp.ones(H, jnp.bfloat16) / 3
TWELVE, LAST_FIRST = list(range(12)), {str(n): n**2 for n in (11, *range(11))}
BATCH_NORM = {
    "batch_stats": {"mean": np.zeros(D), "var": np.ones(D)},
    "params": {"bias": HALF[:D], "scale": HALF[:D]},
}

MODULES = """
nn.scan(nn.GRUCell, variable_broadcast="params", split_rngs={"params": False})(H), CARRY, STEPS
nn.scan(nn.GRUCell, variable_axes={"params": 0}, split_rngs={"params": True}, reverse=True)(H), CARRY, STEPS
nn.remat(nn.GRUCell, policy=jax.checkpoint_policies.everything_saveable)(H), CARRY, FRAME
nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})(H), FRAME
Control()
nn.GRUCell(H), CARRY, FRAME
nn.RNN(nn.GRUCell(H))
nn.RNN(nn.GRUCell(H), return_carry=True), X, dict(initial_carry=CARRY)
nn.RNN(nn.GRUCell(H), return_carry=True), X, dict(seq_lengths=LENGTHS)
nn.RNN(nn.GRUCell(H), reverse=True, return_carry=True), X, dict(seq_lengths=LENGTHS)
nn.RNN(nn.GRUCell(H), time_major=True), STEPS
nn.RNN(nn.remat(nn.GRUCell)(H))
nn.RNN(nn.GRUCell(H, nn.hard_sigmoid, nn.relu, **OTHER), unroll=2), X, BACKWARD
nn.Bidirectional(nn.RNN(nn.GRUCell(H)), nn.RNN(nn.GRUCell(H)))
nn.Bidirectional(nn.RNN(nn.GRUCell(H)), nn.RNN(nn.GRUCell(H)), return_carry=True), X, dict(seq_lengths=LENGTHS)
Each([nn.RNN(cell(H)) for cell in (nn.OptimizedLSTMCell, nn.LSTMCell, nn.SimpleCell, nn.MGUCell)])
nn.SimpleCell(H, residual=True), CARRY, FRAME
nn.MGUCell(H, reset_gate=False), CARRY, FRAME
Each([nn.Dense(H), nn.DenseGeneral((2, 3), axis=-1), nn.Einsum((D, H), "btd,dh->bth")])
Each([nn.Conv(H, (3,)), nn.ConvTranspose(H, (3,))])
nn.ConvTranspose(H, (4,), padding="CIRCULAR")
Each([nn.Conv(H, (4,), padding=padding) for padding in ("SAME", "VALID", "CAUSAL", "CIRCULAR", "REFLECT")])
nn.Conv(2 * D, (4,), 2, 1, input_dilation=2, kernel_dilation=2, feature_group_count=D)
nn.Conv(H, (2,), padding="CAUSAL", kernel_dilation=2)
Each([nn.ConvTranspose(H, (4,), (2,), padding) for padding in ("SAME", "VALID", "CIRCULAR")])
Each([nn.Conv(H, (2, 4), (2, 1)), nn.ConvTranspose(D, (2, 4), (2, 1), transpose_kernel=True)]), X[None]
Each([nn.DenseGeneral(H, axis=(1, 2)), nn.DenseGeneral(H, batch_dims=(0,)), nn.ConvLocal(H, (2,))])
Each([nn.LayerNorm(0.1, reduction_axes=(1, 2)), nn.RMSNorm(0.1), nn.GroupNorm(None, 1, 0.1)])
nn.BatchNorm(False, axis=1, momentum=0.5, epsilon=0.1)
nn.Embed(T, D), INDICES
nn.Embed(T, D), INDICES.astype("uint8")
nn.Embed(T, D), FRAME, dict(method="attend")
Each([nn.LayerNorm(), nn.RMSNorm(), nn.GroupNorm(num_groups=D), nn.BatchNorm(use_running_average=False)])
Each([nn.LayerNorm(), nn.RMSNorm(), nn.InstanceNorm(), nn.GroupNorm(D), nn.BatchNorm(False)]), X, dict(mask=SOME)
nn.BatchNorm(use_running_average=True)
nn.Sequential([nn.Dense(H), nn.relu])
nn.Sequential([nn.Dense(H), nn.BatchNorm(False), nn.tanh])
nn.MultiHeadDotProductAttention(1)
nn.MultiHeadDotProductAttention(1, out_kernel_init=nn.initializers.ones, out_bias_init=nn.initializers.ones)
nn.MultiHeadDotProductAttention(1), X, dict(mask=nn.make_causal_mask(X[..., 0]))
nn.MultiHeadDotProductAttention(2, qkv_features=H, out_features=D, normalize_qk=True), X, X[:, :2]
Compact()
Setup()
"""


class Compact(nn.Module):
    """A module as users write one."""

    @nn.compact
    def __call__(self, x: Any, *, train: bool = True, twice: bool = False) -> Any:
        if twice:  # a mistake
            nn.Dense(H, name="Dense_0")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.8)(x)
        x = nn.relu(nn.Dense(H)(x))
        self.sow("intermediates", "hidden", x)
        count = self.variable("counts", "calls", lambda: jnp.zeros(()))
        count.value += 1
        return x * self.param("scale", nn.initializers.ones, (H,))


class Control(nn.Module):
    """A module with control flow and derivatives, which share its parameters."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        dense = nn.Dense(D)
        x = nn.cond(x[0, 0, 0] > 0, lambda m, x: m(x), lambda m, x: -m(x), dense, x)
        x = nn.switch(1, [lambda m, x: m(x), lambda m, x: 2 * m(x)], dense, x)
        derived = (
            nn.vjp(lambda m, x: m(x), dense, x)[1](x),
            nn.jvp(lambda m, x: m(x), dense, (x,), (x,), {}),
        )
        return x, derived, nn.value_and_grad(lambda m, x: jnp.sum(m(x) ** 2), dense, x)


class Each(nn.Module):
    """The results of modules."""

    modules: Any

    def __call__(self, *inputs: Any, **options: Any) -> list[Any]:
        return [module(*inputs, **options) for module in self.modules]


class Setup(nn.Module):
    """A module with `setup`."""

    def setup(self) -> None:
        self.layers = [nn.Dense(H), nn.Dense(D)]
        self.norm = nn.LayerNorm()

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


@flax.struct.dataclass
class Struct:
    """A dataclass in a file."""

    a: Any
    b: Any = flax.struct.field(pytree_node=False, default=2)


def variables_of(module: nn.Module, *inputs: Any, **options: Any) -> Any:
    """Fixed variables for a module, in the shapes and dtypes of those that it draws."""
    return filled(jax.eval_shape(partial(module.init, KEY, *inputs, **options)))


def _of(line: str, *, compiled: bool = False) -> Example:
    """A module, with the collections that a call changes."""
    module, inputs, options = HERE.model(line, X)
    apply = partial(module.apply, mutable=CHANGED, **options)
    return Example(
        apply, variables_of(module, *inputs, **options), inputs, compiled=compiled
    )


def _draw(line: str) -> Any:
    """The variables that the module of a row draws."""
    module, inputs, options = HERE.model(line, X)
    return evaluate(partial(module.init, KEY, *inputs, **options))


def everything() -> dict[str, Any]:
    """A tree with leaves and nodes of each kind."""
    return {
        **{
            "a": CARRY,
            "b": np.arange(3),
            "list": [HALF, (CARRY.T,)],
            "state": optax.adam(1e-2).init(HALF),
        },
        **{
            "number": 1.5,
            "complex": 1j * CARRY,
            "flag": np.array([True, False]),
            "point": Point(FRAME, 3),
        },
        **{
            "struct": Struct(FRAME),
            "frozen": flax.core.freeze({"c": CARRY}),
            "scalar": np.float32(2),
        },
        "train": TrainState.create(
            apply_fn=jnp.sin, params={"w": CARRY}, tx=optax.adam(1e-2)
        ),
    }


HERE = Lines(
    globals(),
    variables=lambda: variables_of(Setup(), FRAME),
    nothing=lambda: jax.tree.map(jnp.zeros_like, everything()),
)
PARTS: Rows = {
    **rows(_of)(MODULES),
    "nn.RNN(nn.GRUCell(H))": partial(_of, "nn.RNN(nn.GRUCell(H))", compiled=True),
    **HERE.called("""
partial(nn.jit(nn.GRUCell)(H, nn.tanh, ran(jnp.tanh)).apply, variables_of(nn.GRUCell(H), CARRY, FRAME), CARRY, FRAME)
"""),
    "linen in half precision": HERE.compiled(half)("""
[module.init_with_output(KEY, x)[0] for module in (nn.LayerNorm(), nn.GroupNorm(1), nn.BatchNorm(False), nn.RMSNorm())]
"""),
    "parameters": lambda: Example(
        drawn={line: _draw(line) for line in lines_of(MODULES)}
    ),
    **HERE.traced(x=X)("""
nn.avg_pool(x, (2,), (2,)), nn.max_pool(x, (2,), (2,)), nn.max_pool(x, (3,), (2,), "SAME")
[nn.avg_pool(x, (3,), (2,), "SAME", count_include_pad=flag) for flag in (True, False)]
nn.dot_product_attention(x, x, x)
nn.dot_product_attention(x, x, x, normal(1, B, B), np.tri(B, k=1)[None] > 0), nn.BatchApply(jnp.tanh)(x)
"""),
    "dropout": HERE.compiled(lambda: {"x": X, "two": jnp.stack([X, 2 * X], 2)})("""
nn.Dropout(0.3, deterministic=False).apply({}, x, rngs={"dropout": KEY})
nn.Dropout(0.3, deterministic=False, broadcast_dims=(1,)).apply({}, x, rngs={"dropout": KEY})
nn.Dropout(1.0, deterministic=False).apply({}, x)
nn.dot_product_attention(two, two, two, dropout_rng=KEY, dropout_rate=0.3, deterministic=False)
nn.dot_product_attention(two, two, two, dropout_rng=KEY, dropout_rate=0.3, deterministic=False, broadcast_dropout=False)
nn.dot_product_attention(two, two, two, dropout_rng=KEY, dropout_rate=0.3, deterministic=True)
"""),
    **HERE.calls("""
nn.GRUCell(H).initialize_carry(KEY, (B, D)), nn.GRUCell(H, param_dtype=jnp.bfloat16).initialize_carry(KEY, (B, D))
nn.initializers.truncated_normal()(KEY, (B, H))
nn.OptimizedLSTMCell(H, param_dtype=jnp.bfloat16).initialize_carry(KEY, (B, D))
nn.RNN(nn.OptimizedLSTMCell(H, dtype=jnp.bfloat16), return_carry=True).init_with_output(KEY, X)[0]
jax.vmap(lambda x: nn.BatchNorm(False, axis_name="i").apply(BATCH_NORM, x, mutable=CHANGED)[0], axis_name="i")(STEPS)
[m.apply(m.init(KEY, X), FRAME[:, None], mutable=["cache"]) for m in [nn.MultiHeadDotProductAttention(1, decode=True)]]
np.frombuffer(flax.serialization.to_bytes(everything()), np.uint8)
flax.serialization.from_bytes(nothing(), flax.serialization.to_bytes(everything()))
flax.serialization.from_state_dict(nothing(), flax.serialization.to_state_dict(everything()))
flax.serialization.msgpack_restore(flax.serialization.to_bytes(everything()))
everything()["train"].apply_gradients(grads={"w": CARRY}, apply_fn=jnp.cos).apply_fn(CARRY)
everything()["train"].apply_gradients(grads={"w": CARRY}).apply_gradients(grads={"w": 2 * CARRY})
Setup().bind(variables()).layers[0](FRAME), Setup().apply(variables(), FRAME, capture_intermediates=True)
(lambda unbound: unbound[0].apply(unbound[1], FRAME))(Setup().bind(variables()).unbind())
(lambda m: [m.sow("a", "b", n * CARRY) for n in (1, 2)] and dict(m.variables))(Setup().bind({}, mutable=True))
flax.serialization.from_bytes(TWELVE, flax.serialization.to_bytes([2 * n for n in TWELVE]))
letters(*flax.serialization.to_state_dict(TWELVE)), flax.serialization.from_state_dict(TWELVE, LAST_FIRST)
nn.combine_masks(nn.make_causal_mask(FRAME), nn.make_attention_mask(FRAME > 0, FRAME < 1))
paths((everything(), Struct(0)))
flax.traverse_util.unflatten_dict(flax.traverse_util.flatten_dict(TREE, sep="/"), sep="/")
"""),
    **HERE.dtypes("""
nn.GRUCell(H).init(KEY, CARRY, FRAME)
[nn.Dense(H, dtype).init_with_output(KEY, np.ones(D, kind)) for dtype in (None, "bfloat16") for kind in ("i4", "f2")]
nn.Embed(T, D, "float16").init_with_output(KEY, INDICES), nn.LayerNorm().init_with_output(KEY, HALF)
[nn.Embed(T, D, kind).init_with_output(KEY, FRAME, method="attend") for kind in (None, "bfloat16", "float16")]
[of.init_with_output(KEY, X) for of in (nn.Conv(H, 2, dtype="float16"), nn.BatchNorm(False, dtype="float16"))]
nn.GRUCell(H, dtype=jnp.bfloat16, param_dtype=jnp.float16, **OTHER).init_with_output(KEY, CARRY, FRAME)
"""),
    "mistakes": lambda: HERE.refused("""
nn.Dropout(0.5, deterministic=False).apply({}, FRAME)
nn.Dense(H).apply({"params": {"bias": CARRY[0]}}, FRAME)
nn.Dense(H).apply({"params": {"bias": FRAME, "kernel": FRAME}}, FRAME)
nn.BatchNorm(use_running_average=False).apply(variables_of(nn.BatchNorm(use_running_average=False), X), X)
nn.BatchNorm().init(KEY, X)
Compact().init(KEY, FRAME, twice=True)
flax.serialization.from_state_dict({"a": CARRY, "b": CARRY}, {"a": CARRY})
flax.serialization.from_state_dict({"a": CARRY}, {"a": CARRY, "b": CARRY})
flax.serialization.from_bytes({"b": CARRY}, flax.serialization.to_bytes({"a": CARRY}))
"""),
}
PUBLIC = (
    *(
        "flax.linen",
        "flax.linen.initializers",
        "flax.training.train_state",
        "flax.serialization",
        "flax.struct",
    ),
    *("flax.traverse_util", "flax.core"),
)
