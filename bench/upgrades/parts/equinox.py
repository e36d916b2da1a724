"""Parts of Equinox."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np

from ..functions import Called, Example, Ran
from . import B, D, H, Parts, T, called, donated, dtypes, filled, letters, normal, refused

X, FRAMES, FRAME, CARRY, STEPS = normal(T, D), normal(B, D), normal(D), normal(H), normal(T, D)
KEY = jax.random.key(0)


def _of(
    make: Callable[[], Any], *inputs: Any, call: Callable[..., Any] = lambda m, *x: m(*x), compiled: bool = False
) -> Callable[[], Example]:
    """A module that is called with inputs."""

    def example() -> Example:
        drawn = make()
        return Example(call, filled(drawn), inputs, eqx.filter(drawn, eqx.is_array), compiled)

    return example


def _cell(**options: Any) -> Any:
    return eqx.nn.GRUCell(D, H, key=KEY, **options)


def _layers() -> dict[str, Any]:
    return {
        "Linear": eqx.nn.Linear(D, H, key=KEY),
        "Linear without bias": eqx.nn.Linear(D, H, use_bias=False, key=KEY),
        "MLP": eqx.nn.MLP(D, H, 4, 1, key=KEY),
        "Sequential": eqx.nn.Sequential([eqx.nn.Linear(D, D, key=KEY), eqx.nn.Lambda(jax.nn.relu)]),
        "LayerNorm": eqx.nn.LayerNorm(D),
        "RMSNorm": eqx.nn.RMSNorm(D),
        "Identity": eqx.nn.Identity(),
        "Dropout, inference": eqx.nn.Dropout(0.3, inference=True),
        "LSTMCell": eqx.nn.LSTMCell(D, H, key=KEY),
        "Embedding": eqx.nn.Embedding(T, D, key=KEY),
        "GroupNorm": eqx.nn.GroupNorm(2, T),
        "Conv1d": eqx.nn.Conv1d(T, H, 3, padding=1, key=KEY),
        "ConvTranspose1d": eqx.nn.ConvTranspose1d(T, H, 3, key=KEY),
        "AvgPool1d": eqx.nn.AvgPool1d(2, 2),
        "MaxPool1d": eqx.nn.MaxPool1d(2, 2),
        "PReLU": eqx.nn.PReLU(),
        "MultiheadAttention": eqx.nn.MultiheadAttention(1, D, key=KEY),
        "RotaryPositionalEmbedding": eqx.nn.RotaryPositionalEmbedding(H),
    }


#: The inputs of layers that take other than one frame.
_INPUTS: dict[str, Callable[[Any, Any], Any]] = {
    "LSTMCell": lambda m, x: m(x[0], (CARRY, CARRY)),
    "Embedding": lambda m, _: m(jnp.asarray(2)),
    **{name: lambda m, x: m(x) for name in ("GroupNorm", "Conv1d", "ConvTranspose1d", "AvgPool1d", "MaxPool1d")},
    "MultiheadAttention": lambda m, x: m(x, x, x, mask=np.tri(T, dtype=bool)),
    "RotaryPositionalEmbedding": lambda m, _: m(normal(T, H)),
}


def _apply(layers: dict[str, Any], x: Any) -> dict[str, Any]:
    return {name: _INPUTS.get(name, lambda m, x: m(x[0]))(layer, x) for name, layer in layers.items()}


def _scanned(cell: Any, h: Any, x: Any, wrap: Callable[..., Any] = lambda f: f) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = cell(x, h)
        return h, h

    return jax.lax.scan(wrap(step), h, x)


def _loss(cell: Any, x: Any, h: Any) -> Any:
    return jnp.sum(cell(x, h) ** 2)


def _derived(cell: Any, x: Any, h: Any) -> dict[str, Any]:
    """Derivatives and maps."""
    forward = lambda cell, x, h: cell(x, h)  # noqa: E731
    value, pull = eqx.filter_vjp(forward, cell, x[0], h)
    return {
        "filter_grad": eqx.filter_grad(_loss)(cell, x[0], h),
        "filter_value_and_grad": eqx.filter_value_and_grad(_loss)(cell, x[0], h),
        "filter_grad with aux": eqx.filter_grad(lambda cell, x, h: (_loss(cell, x, h), x), has_aux=True)(cell, x[0], h),
        "filter_jvp": eqx.filter_jvp(lambda h: cell(x[0], h), (h,), (h,)),
        "filter_vjp": [value, pull(value)],
        "filter_vmap": eqx.filter_vmap(forward, in_axes=(None, 0, None))(cell, x, h),
        "filter_vmap over modules": eqx.filter_vmap(forward)(jax.tree.map(lambda a: jnp.stack([a] * B), cell), x, x),
    }


def _batch_norm(given: Any, x: Any) -> Any:
    norm, state = given
    outputs, state = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
    return outputs, jax.tree.leaves(state)


def _jitted(ran: Ran) -> Callable[[], Any]:
    cell, call = filled(_cell()), eqx.filter_jit(ran(lambda cell, x, h, power, f: f(cell(x, h)) ** power))
    return lambda: call(cell, FRAME, CARRY, 2, jnp.tanh)


def _trained(ran: Ran) -> Callable[[], Any]:
    """A step of training by hand, as the documentation has it."""
    cell = filled(_cell())

    @eqx.filter_jit
    def step(cell: Any, x: Any, h: Any) -> Any:
        gradient = ran(eqx.filter_grad(_loss))(cell, x, h)
        return eqx.apply_updates(cell, jax.tree.map(lambda g: -0.1 * g, gradient))

    return lambda: eqx.filter(step(cell, FRAME, CARRY), eqx.is_array)


def _file() -> Any:
    tree, file = [filled(_cell()), jnp.ones(H, jnp.bfloat16), np.arange(3), 2, 1.5, True], io.BytesIO()
    eqx.tree_serialise_leaves(file, tree)
    file.seek(0)
    read = eqx.filter(eqx.tree_deserialise_leaves(file, tree), eqx.is_array_like)
    return jax.tree.map(np.asarray, read), np.frombuffer(file.getvalue(), np.uint8)


def _read_as(written: Any, other: Any) -> Callable[[], Any]:
    def call() -> Any:
        file = io.BytesIO()
        eqx.tree_serialise_leaves(file, written)
        file.seek(0)
        return eqx.tree_deserialise_leaves(file, other)

    return call


def _surgery() -> Any:
    cell = eqx.tree_at(lambda cell: cell.bias_n, filled(_cell()), 2 + CARRY)
    params, static = eqx.partition(cell, eqx.is_inexact_array)
    cell = eqx.apply_updates(cell, jax.tree.map(lambda a: a / 2, params))
    frozen = eqx.tree_at(lambda cell: cell.bias_n, cell, replace_fn=lambda a: a * 0)
    return [cell(FRAME, CARRY), eqx.combine(params, static)(FRAME, CARRY), frozen(FRAME, CARRY)]


class _Mine(eqx.Module):
    """A module as users write one."""

    weight: Any = eqx.field(converter=jnp.asarray)
    size: int = eqx.field(static=True)
    scale: Any = 2.0

    def __check_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size")

    def __call__(self, x: Any) -> Any:
        return x @ self.weight * self.scale


def _assign() -> None:
    _Mine(normal(H), H).size = 3  # pyright: ignore[reportAttributeAccessIssue]


def _filters() -> Any:
    """Which things each filter takes, as flags."""
    things = [jnp.ones(H), jnp.ones(H, jnp.bfloat16), jnp.arange(3), np.ones(3), 1, 1.0, True, jnp.tanh, jax.nn.relu]
    names = ("is_array", "is_array_like", "is_inexact_array", "is_inexact_array_like")
    taken = {name: np.array([bool(getattr(eqx, name)(thing)) for thing in things]) for name in names}
    trees = [[jnp.ones(3)], [jnp.ones(3), None], [jnp.ones(3, "int32")], [1.0]]
    return taken | {"tree_equal": np.array([[bool(eqx.tree_equal(a, b)) for a in trees] for b in trees])}


def _with_options() -> dict[str, Any]:
    """Filters of trees with options that are not their defaults."""
    tree = {"a": [jnp.asarray(CARRY), jnp.arange(3)], "b": (2.5, None)}
    is_list = lambda a: isinstance(a, list)  # noqa: E731
    first, rest = eqx.partition(tree, eqx.is_inexact_array, replace=7)
    two = [[None, jnp.ones(2), None], [jnp.zeros(2), 2 * jnp.ones(2), None], [None, None, 3 * jnp.ones(2)]]
    some = {
        "inverse": eqx.filter(tree, eqx.is_inexact_array, inverse=True),
        "replace": eqx.filter(tree, eqx.is_inexact_array, replace=8),
        "is_leaf": eqx.filter(tree, is_list, is_leaf=is_list),
        "inverse of a tree": eqx.filter(tree, {"a": True, "b": False}, inverse=True),
        "partition": [first, rest],
        "combine": eqx.combine(*two),
        "combine with is_leaf": eqx.combine({"a": None, "b": [1, 2]}, {"a": [3], "b": None}, is_leaf=is_list),
        "apply_updates": eqx.apply_updates([jnp.ones(2), jnp.ones(3)], [jnp.arange(2.0), None]),
        "tree_at with None": eqx.tree_at(lambda t: t["b"][1], tree, 4.5, is_leaf=lambda a: a is None),
    }
    modes = [eqx.nn.Dropout(0.5, inference=inference) for inference in (True, False)]
    flags = [[eqx.nn.inference_mode(mode, value=value).inference for value in (True, False)] for mode in modes]
    shapes = eqx.filter_eval_shape(lambda a, f: f(a["x"]), {"x": jax.ShapeDtypeStruct((2, 3), "float32")}, jnp.sin)
    return jax.tree.map(np.asarray, some) | {"inference_mode": np.array(flags), "shapes": np.zeros(shapes.shape)}


def _dropouts(x: Any) -> dict[str, Any]:
    attention = eqx.nn.MultiheadAttention(1, D, dropout_p=0.3, key=KEY)
    return {"Dropout": eqx.nn.Dropout(0.3)(x, key=KEY), "attention": attention(x, x, x, key=KEY)}


def _loops() -> dict[str, Any]:
    """Loops that end after so many steps."""

    def run(kind: Any, most: int) -> Any:
        going, double = (lambda a: a[0] < 100.0), (lambda a: 2 * a)
        return eqxi.while_loop(going, double, jnp.array([1.0, 3.0]), max_steps=most, kind=kind)

    return {f"{kind}, {n} steps": run(kind, n) for kind in ("lax", "bounded") for n in (3, 16)}


def _modules() -> Any:
    """How a module is taken apart, and put into the mode of inference."""
    mine = _Mine(normal(H), H)
    leaves = jax.tree_util.tree_leaves_with_path((mine, _cell(), eqx.nn.MLP(D, H, 4, 1, key=KEY)))
    dropout = eqx.nn.inference_mode(eqx.nn.Dropout(0.5))
    paths = "".join(jax.tree_util.keystr(path) for path, _ in leaves)
    return [dropout(FRAME), mine(CARRY), *letters(paths)]


PARTS: Parts = {
    "eqx.nn.GRUCell": _of(_cell, FRAME, CARRY),
    "eqx.nn.GRUCell without bias": _of(lambda: _cell(use_bias=False), FRAME, CARRY),
    "eqx.nn.GRUCell under x64": dtypes(lambda: eqx.filter(_cell(), eqx.is_array), x64=True),
    "eqx.nn.GRUCell in half precision": dtypes(lambda: eqx.filter(_cell(dtype=jnp.bfloat16), eqx.is_array)),
    "lax.scan of eqx.nn.GRUCell": _of(_cell, CARRY, STEPS, call=_scanned, compiled=True),
    "eqx.nn": _of(lambda: eqx.filter_jit(_layers)(), X, call=_apply),
    "eqx.nn.MLP with hidden layers": _of(lambda: eqx.nn.MLP(D, H, 4, 3, key=KEY), FRAME),
    "eqx.nn.MultiheadAttention of two heads": _of(
        lambda: eqx.nn.MultiheadAttention(2, H, use_query_bias=True, use_output_bias=True, key=KEY),
        normal(T, H),
        call=lambda m, x: m(x, x, x),
    ),
    "eqx.nn.LSTMCell": _of(lambda: eqx.nn.LSTMCell(D, H, key=KEY), FRAME, (CARRY, normal(H, seed=1))),
    "eqx.nn.BatchNorm": _of(
        lambda: eqx.nn.make_with_state(eqx.nn.BatchNorm)(D, "batch", mode="batch"), FRAMES, call=_batch_norm
    ),
    "eqx.nn.BatchNorm, running": _of(
        lambda: eqx.nn.make_with_state(eqx.nn.BatchNorm)(D, "batch", mode="ema", momentum=0.9), FRAMES, call=_batch_norm
    ),
    "eqx.filter_checkpoint": _of(
        _cell, CARRY, STEPS, call=lambda cell, h, x: _scanned(cell, h, x, eqx.filter_checkpoint)
    ),
    "eqx.filter_grad, vjp, jvp and vmap": _of(
        lambda: eqx.nn.GRUCell(H, H, key=KEY), normal(B, H), CARRY, call=_derived
    ),
    "eqx.filter_jit": lambda: Called(_jitted),
    "eqx.filter_jit of a training step": lambda: Called(_trained),
    "eqx.filter_jit with donation": donated(lambda f: eqx.filter_jit(f, donate="all")),
    "eqx.filter_jit without donation": donated(eqx.filter_jit),
    "eqx.tree_serialise_leaves": called(_file),
    "eqx.is_array and eqx.filter": called(_filters),
    "eqx.filter in half precision": called(
        lambda: eqx.filter([jnp.ones(H, jnp.bfloat16), np.arange(3)], eqx.is_inexact_array)
    ),
    "eqx.tree_at and eqx.partition": called(_surgery),
    "eqx.filter and others with options": called(_with_options),
    "eqx.internal.while_loop with a most": called(eqx.filter_jit(_loops)),
    "eqx.Module": called(_modules),
    "eqx.nn.Dropout": called(lambda: eqx.nn.Dropout(0.3)(jnp.asarray(normal(20)), key=KEY)),
    "eqx.nn.Dropout in attention": called(partial(eqx.filter_jit(_dropouts), X)),
    "mistakes": refused(
        deserialise_other_shape=_read_as(FRAME, CARRY),
        deserialise_other_dtype=_read_as(FRAME, FRAME.astype("int32")),
        dropout_without_key=lambda: eqx.nn.Dropout(0.5)(jnp.asarray(FRAME)),
        assign_to_module=_assign,
        check_init=lambda: _Mine(normal(H), 0),
        input_of_other_shape=lambda: _cell()(CARRY, CARRY),
        tree_at_of_nothing=lambda: eqx.tree_at(lambda _: CARRY, _cell(), FRAME),
        tree_at_of_a_leaf_twice=lambda: eqx.tree_at(lambda c: (c.bias, c.bias), _cell(), (CARRY, CARRY)),
        tree_at_of_none=lambda: eqx.tree_at(lambda c: c.bias, _cell(use_bias=False), CARRY),
        grad_of_integers=lambda: eqx.filter_grad(lambda x: jnp.sum(x))(jnp.arange(3)),
    ),
}
PUBLIC = ("equinox", "equinox.nn")
