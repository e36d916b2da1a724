"""Parts of Flax linen."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.core
import flax.linen as nn
import flax.serialization
import flax.struct
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import jax_utils
from flax.training import common_utils
from flax.training.dynamic_scale import DynamicScale
from flax.training.early_stopping import EarlyStopping
from flax.training.train_state import TrainState

from ..functions import Called, Example, Ran
from . import B, D, H, Parts, T, called, dtypes, filled, letters, normal, of_array, refused

X, FRAME, CARRY, STEPS = normal(B, T, D), normal(B, D), normal(B, H), normal(T, B, D)
KEY = jax.random.key(0)


def _of(
    make: Callable[[], nn.Module], *inputs: Any, draws: bool = False, compiled: bool = False, **options: Any
) -> Callable[[], Example]:
    """A module that is called with inputs; where it draws, what it draws is a fact, too."""

    def example() -> Example:
        module: Any = make()
        drawn = module.init(KEY, *inputs, **options) if draws else None
        shapes = jax.eval_shape(lambda: module.init(KEY, *inputs, **options)) if drawn is None else drawn
        return Example(lambda v, *x: module.apply(v, *x, **options), filled(shapes), inputs, drawn, compiled)

    return example


def _cell(**options: Any) -> Any:
    return nn.GRUCell(H, **options)


def _scanned() -> Any:
    return nn.scan(nn.GRUCell, variable_broadcast="params", split_rngs={"params": False})(H)


def _mapped() -> Any:
    return nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True})(H)


class _Compact(nn.Module):
    """A module as users write one."""

    @nn.compact
    def __call__(self, x: Any, *, train: bool = True) -> Any:
        x = nn.BatchNorm(use_running_average=not train, momentum=0.8)(x)
        x = nn.relu(nn.Dense(H)(x))
        self.sow("intermediates", "hidden", x)
        count = self.variable("counts", "calls", lambda: jnp.zeros(()))
        count.value += 1
        return x * self.param("scale", nn.initializers.ones, (H,))


class _Setup(nn.Module):
    def setup(self) -> None:
        self.layers = [nn.Dense(H), nn.Dense(D)]
        self.norm = nn.LayerNorm()

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def _layers() -> dict[str, Any]:
    return {
        "Dense": nn.Dense(H),
        "DenseGeneral": nn.DenseGeneral((2, 3), axis=-1),
        "Einsum": nn.Einsum((D, H), "btd,dh->bth"),
        "Conv": nn.Conv(H, (3,)),
        "ConvTranspose": nn.ConvTranspose(H, (3,)),
        "Embed": nn.Embed(T, D),
        "LayerNorm": nn.LayerNorm(),
        "RMSNorm": nn.RMSNorm(),
        "GroupNorm": nn.GroupNorm(num_groups=D),
        "BatchNorm": nn.BatchNorm(use_running_average=False),
        "BatchNorm, inference": nn.BatchNorm(use_running_average=True),
        "Dropout, inference": nn.Dropout(0.3, deterministic=True),
        "Sequential": nn.Sequential([nn.Dense(H), nn.relu]),
        "LSTM": nn.RNN(nn.OptimizedLSTMCell(H)),
        "LSTMCell": nn.RNN(nn.LSTMCell(H)),
        "SimpleCell": nn.RNN(nn.SimpleCell(H)),
        "MGUCell": nn.RNN(nn.MGUCell(H)),
        "MultiHeadDotProductAttention": nn.MultiHeadDotProductAttention(1),
        "PReLU": nn.PReLU(),
        "WeightNorm": nn.WeightNorm(nn.Dense(H)),
        "compact": _Compact(),
        "setup": _Setup(),
    }


def _apply(variables: dict[str, Any], x: Any) -> dict[str, Any]:
    """The results of each layer, with the collections that it changes."""
    layers, found = _layers(), {}
    for name, given in variables.items():
        changed = [name for name in ("batch_stats", "counts", "intermediates") if "norm" not in name or name in given]
        inputs = np.array([[0, 2], [3, 1]]) if name == "Embed" else x
        found[name] = layers[name].apply(given, inputs, mutable=changed)
    mask = nn.make_causal_mask(x[..., 0])
    attention = layers["MultiHeadDotProductAttention"].apply(variables["MultiHeadDotProductAttention"], x, mask=mask)
    pools = {"avg_pool": nn.avg_pool(x, (2,), (2,)), "max_pool": nn.max_pool(x, (2,), (2,))}
    return found | pools | {"attention with a mask": attention, "attend": nn.dot_product_attention(x, x, x)}


def _zoo() -> Example:
    def draw() -> dict[str, Any]:
        inputs = {"Embed": np.array([[0, 2], [3, 1]])}
        return {name: layer.init(KEY, inputs.get(name, X)) for name, layer in _layers().items()}

    drawn = jax.jit(draw)()
    return Example(_apply, filled(drawn), (X,), drawn)


def _train_state() -> Example:
    module, x = nn.Dense(H), FRAME
    params = filled(jax.eval_shape(lambda: module.init(KEY, x))["params"])

    def step(params: Any, x: Any) -> Any:
        state = TrainState.create(apply_fn=module.apply, params=params, tx=optax.adam(1e-2))
        gradient = jax.grad(lambda p: jnp.sum(state.apply_fn({"params": p}, x) ** 2))(state.params)
        state = state.apply_gradients(grads=gradient)
        return state.params, state.opt_state, state.step

    return Example(step, params, (x,))


class _Point(NamedTuple):
    x: Any
    y: Any


@flax.struct.dataclass
class _Struct:
    a: Any
    b: Any = flax.struct.field(pytree_node=False, default=2)


def _bytes() -> Any:
    half = jnp.ones(H, jnp.bfloat16) / 3
    tree = {
        **{"a": CARRY, "b": np.arange(3), "list": [half, (CARRY.T,)], "state": optax.adam(1e-2).init(half)},
        **{"number": 1.5, "complex": 1j * CARRY, "flag": np.array([True, False]), "point": _Point(FRAME, 3)},
        **{"struct": _Struct(FRAME), "frozen": flax.core.freeze({"c": CARRY}), "scalar": np.float32(2)},
    }
    content = flax.serialization.to_bytes(tree)
    read = flax.serialization.from_bytes(tree, content)
    state = flax.serialization.from_state_dict(tree, flax.serialization.to_state_dict(tree))
    raw = flax.serialization.msgpack_restore(content)
    return [jax.tree.map(np.asarray, some) for some in (read, state, raw)], np.frombuffer(content, np.uint8)


def _trees() -> Any:
    """How trees are frozen, flattened and taken apart."""
    tree = {"b": {"c": CARRY, "a": FRAME}, "a": {"d": CARRY + 1}}
    flat = flax.traverse_util.flatten_dict(tree, sep="/")
    kept = flax.traverse_util.path_aware_map(lambda path, a: a * len(path), tree)
    struct = _Struct(FRAME).replace(a=CARRY)  # pyright: ignore[reportAttributeAccessIssue]
    paths = jax.tree_util.tree_leaves_with_path((flax.core.freeze(tree), struct))
    empty = flax.traverse_util.flatten_dict({"a": {}, "b": {"c": {}, "d": CARRY}}, keep_empty_nodes=True, sep="/")
    whole = flax.traverse_util.flatten_dict(tree, is_leaf=lambda path, _: path == ("b",))
    unflat = flax.traverse_util.unflatten_dict(empty, sep="/")
    return [
        *(flat, flax.traverse_util.unflatten_dict(flat, sep="/"), kept, flax.core.freeze(tree).unfreeze(), struct),
        letters(*flat, *(jax.tree_util.keystr(path) for path, _ in paths)),
        letters(*empty, jax.tree.map(np.shape, unflat), *whole),
    ]


def _bound() -> Any:
    """A module that is bound to its variables, and called at once."""
    variables = filled(jax.eval_shape(lambda: _Setup().init(KEY, FRAME)))
    bound = _Setup().bind(variables)
    module, state = bound.unbind()
    outputs, kept = _Setup().apply(variables, FRAME, capture_intermediates=True)
    return [bound(FRAME), module.apply(state, FRAME), bound.layers[0](FRAME), outputs, kept]  # pyright: ignore


def _jitted(ran: Ran) -> Callable[[], Any]:
    variables = filled(jax.eval_shape(lambda: nn.RNN(_cell()).init(KEY, X)))
    call = jax.jit(ran(nn.RNN(_cell()).apply))
    return lambda: call(variables, X)


class _Masked(nn.Module):
    """Normalization by the statistics of some numbers alone."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        layers = [nn.LayerNorm(), nn.RMSNorm(), nn.InstanceNorm(), nn.GroupNorm(num_groups=D)]
        layers.append(nn.BatchNorm(use_running_average=False))
        return {type(layer).__name__: layer(x, mask=np.abs(X) < 1.5) for layer in layers}


def _masked() -> Example:
    variables = filled(jax.eval_shape(lambda: _Masked().init(KEY, X)))
    return Example(lambda v, x: _Masked().apply(v, x, mutable=["batch_stats"]), variables, (X,))


def _pools(_: Any, x: Any) -> dict[str, Any]:
    """Pools with padding and strides."""
    found: dict[str, Any] = {
        f"avg_pool, padding {counted}": nn.avg_pool(x, (3,), (2,), "SAME", count_include_pad=counted == "counted")
        for counted in ("counted", "left out")
    }
    return found | {"max_pool": nn.max_pool(x, (3,), (2,), "SAME")}


def _dropouts(x: Any) -> dict[str, Any]:
    """Dropout with options, and in attention."""

    def drop(**options: Any) -> Any:
        return nn.Dropout(0.3, deterministic=False, **options).apply({}, x, rngs={"dropout": KEY})

    heads = jnp.stack([x, 2 * x], 2)
    attend = partial(nn.dot_product_attention, heads, heads, heads, dropout_rng=KEY, dropout_rate=0.3)
    return {
        "broadcast_dims": drop(broadcast_dims=(1,)),
        "rate 1": nn.Dropout(1.0, deterministic=False).apply({}, x, rngs={"dropout": KEY}),
        "attention": attend(deterministic=False),
        "attention, each head": attend(deterministic=False, broadcast_dropout=False),
        "attention, inference": attend(deterministic=True),
    }


def _scaled(x: Any) -> list[Any]:
    """The scale of losses in half precision: it grows after two finite gradients, and backs off after another."""
    scale, found = DynamicScale(growth_interval=2, scale=8.0), []
    for factor in (1.0, 1.0, 1.0, np.inf, 1.0):
        gradient = scale.value_and_grad(lambda x: jnp.sum(x**2) * factor)  # noqa: B023
        scale, finite, *_ = gradient(x)
        found.append([scale.scale, scale.fin_steps, finite])
    return found


def _stopped() -> np.ndarray:
    stopping, found = EarlyStopping(min_delta=0.1, patience=2), []
    for metric in (1.0, 0.5, 0.45, 0.6, 0.7, 0.3):
        stopping = stopping.update(metric)
        found.append([stopping.has_improved, stopping.should_stop, stopping.patience_count, stopping.best_metric])
    return np.array(found, "float64")


def _boxes() -> list[Any]:
    """The names of a parameter's axes where an axis is added, and removed again."""
    box, layers = nn.Partitioned(jnp.asarray(CARRY), names=("a", "b")), {nn.meta.PARTITION_NAME: "layers"}
    added = [box.add_axis(axis, layers) for axis in (0, 1, 2)]
    back = [some.remove_axis(axis, layers) for axis, some in enumerate(added)]
    return letters(*(some.names for some in (*added, *back)))


class _Twice(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(H, name="a")(x) + nn.Dense(H, name="a")(x)


LENGTHS = np.array([1, 4, 2])
PARTS: Parts = {
    "nn.GRUCell": _of(_cell, CARRY, FRAME, draws=True),
    "nn.GRUCell.initialize_carry": called(lambda: _cell().initialize_carry(KEY, (B, D))),
    "nn.GRUCell.initialize_carry in half precision": called(
        lambda: _cell(param_dtype=jnp.bfloat16).initialize_carry(KEY, (B, D))
    ),
    "nn.GRUCell under x64": dtypes(lambda: _cell().init(KEY, CARRY, FRAME), x64=True),
    "nn.GRUCell in half precision": dtypes(
        lambda: _cell(dtype=jnp.bfloat16, param_dtype=jnp.float16).init_with_output(KEY, CARRY, FRAME)
    ),
    "nn.RNN": _of(lambda: nn.RNN(_cell()), X, draws=True, compiled=True),
    "nn.RNN with a carry": _of(lambda: nn.RNN(_cell(), return_carry=True), X, initial_carry=CARRY),
    "nn.RNN with lengths": _of(lambda: nn.RNN(_cell(), return_carry=True), X, seq_lengths=LENGTHS),
    "nn.RNN in reverse": _of(lambda: nn.RNN(_cell(), reverse=True, keep_order=True), X),
    "nn.RNN in reverse with lengths": _of(
        lambda: nn.RNN(_cell(), reverse=True, return_carry=True), X, seq_lengths=LENGTHS
    ),
    "nn.RNN, time first": _of(lambda: nn.RNN(_cell(), time_major=True), STEPS),
    "nn.Bidirectional": _of(lambda: nn.Bidirectional(nn.RNN(_cell()), nn.RNN(_cell())), X),
    "nn.Bidirectional with carries": _of(
        lambda: nn.Bidirectional(nn.RNN(_cell()), nn.RNN(_cell()), return_carry=True), X, seq_lengths=LENGTHS
    ),
    "nn.SimpleCell with a residual": _of(lambda: nn.SimpleCell(H, residual=True), CARRY, FRAME),
    "nn.ConvLSTMCell": _of(lambda: nn.ConvLSTMCell(2, (3,)), (normal(B, T, 2), normal(B, T, 2, seed=1)), X),
    "nn.Embed.attend": _of(lambda: nn.Embed(T, D), FRAME, method="attend"),
    "norms with a mask": _masked,
    "pools with padding": of_array(_pools, X),
    "nn.remat": _of(lambda: nn.RNN(nn.remat(nn.GRUCell)(H)), X),
    "nn.scan": _of(_scanned, CARRY, STEPS),
    "nn.jit": _of(lambda: nn.jit(nn.GRUCell)(H), CARRY, FRAME),
    "nn.vmap": _of(_mapped, FRAME),
    "nn layers": _zoo,
    "nn.Module.apply in jax.jit": lambda: Called(_jitted),
    "nn.Module.bind": called(_bound),
    "nn.Dropout": called(lambda: nn.Dropout(0.3, deterministic=False).apply({}, normal(20), rngs={"dropout": KEY})),
    "dropout with options": called(partial(jax.jit(_dropouts), X)),
    "nn.Partitioned": called(_boxes),
    "TrainState": _train_state,
    "DynamicScale": lambda: Example(_scaled, CARRY),
    "EarlyStopping": called(_stopped),
    "common_utils and jax_utils": called(
        lambda: [
            common_utils.onehot(np.array([0, 2]), 3, on_value=2.0, off_value=-1.0),
            jax_utils.unreplicate({"a": CARRY, "b": jnp.asarray(FRAME)}),
        ]
    ),
    "flax.serialization": called(_bytes),
    "flax.traverse_util and flax.core": called(_trees),
    "mistakes": refused(
        dropout_without_key=lambda: nn.Dropout(0.5, deterministic=False).apply({}, FRAME),
        missing_parameter=lambda: nn.Dense(H).apply({"params": {"bias": CARRY[0]}}, FRAME),
        parameter_of_other_shape=lambda: nn.Dense(H).apply({"params": {"bias": FRAME, "kernel": FRAME}}, FRAME),
        changed_and_not_mutable=lambda: nn.BatchNorm(use_running_average=False).apply(
            filled(jax.eval_shape(lambda: nn.BatchNorm(use_running_average=False).init(KEY, X))), X
        ),
        state_without_a_key=lambda: flax.serialization.from_state_dict({"a": CARRY, "b": CARRY}, {"a": CARRY}),
        state_with_a_key_too_many=lambda: flax.serialization.from_state_dict({"a": CARRY}, {"a": CARRY, "b": CARRY}),
        one_name_twice=lambda: _Twice().init(KEY, FRAME),
        from_bytes_of_another_tree=lambda: flax.serialization.from_bytes(
            {"b": CARRY}, flax.serialization.to_bytes({"a": CARRY})
        ),
        no_use_running_average=lambda: nn.BatchNorm().init(KEY, X),
    ),
}
PUBLIC = (
    *("flax.linen", "flax.linen.initializers", "flax.training.train_state", "flax.serialization", "flax.struct"),
    *("flax.traverse_util", "flax.core"),
)
