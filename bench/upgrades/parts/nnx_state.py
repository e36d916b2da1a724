"""Parts of Flax NNX beside its layers: random streams, modes, filters and what is written beside a parameter."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from . import B, D, H, Parts, T, called, letters, normal

X, CARRY = normal(B, T, D), normal(B, H)


def _streams() -> Any:
    """Keys of random streams, as numbers."""
    rngs = nnx.Rngs(0, dropout=1)
    keys = [rngs.params(), rngs.params(), rngs.dropout(), rngs(), rngs.other()]
    return [jax.random.key_data(key) for key in keys]


def _dropout() -> Any:
    dropout = nnx.Dropout(0.3, rngs=nnx.Rngs(0))
    found = [dropout(normal(20)), dropout(normal(20))]
    dropout.eval()
    return [*found, dropout(normal(20))]


def _modes() -> dict[str, np.ndarray]:
    """The modes of layers after each way to set them."""
    rngs, found = nnx.Rngs(0), {}
    layers = {
        "deterministic": [nnx.Dropout(0.5, rngs=rngs), nnx.MultiHeadAttention(1, D, dropout_rate=0.5, rngs=rngs)],
        "use_running_average": [nnx.BatchNorm(D, rngs=rngs)],
    }
    for mode, some in layers.items():
        for layer in some:
            name = type(layer).__name__
            for value in (True, False):
                layer.set_attributes(**{mode: value})
                found[f"{name}, attribute {value}"] = np.asarray(getattr(layer, mode))
                if hasattr(nnx, "view"):
                    view = nnx.view(layer, **{mode: not value})
                    found[f"{name}, view {not value}"] = np.asarray([getattr(view, mode), getattr(layer, mode)])
            layer.eval()
            found[f"{name}, inference"] = np.asarray(getattr(layer, mode))
    return found


def _selected() -> list[Any]:
    """The paths that filters select, and a state that is merged of two."""
    norm, last = nnx.BatchNorm(D, rngs=nnx.Rngs(0)), nnx.PathContains("bias")
    filters = (nnx.Param, last, nnx.All(nnx.Param, last), nnx.Any(nnx.BatchStat, last), nnx.Not(nnx.Param))
    paths = [[path for path, _ in jax.tree_util.tree_leaves_with_path(nnx.state(norm, some))] for some in filters]
    first = nnx.state(norm, nnx.Param)
    other = jax.tree.map(lambda a: a + 7, nnx.state(norm, last))
    merged = nnx.merge_state(first, other, nnx.state(norm, nnx.BatchStat))
    return [letters(*(" ".join(map(jax.tree_util.keystr, some)) for some in paths)), nnx.to_pure_dict(merged)]


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


def _dropouts(x: Any) -> dict[str, Any]:
    """Dropout with options, and in attention."""
    heads, rngs = jnp.stack([x, 2 * x], 2), nnx.Rngs(0)
    return {
        "broadcast_dims": nnx.Dropout(0.3, broadcast_dims=(1,), rngs=rngs)(x),
        "streams of the call": nnx.Dropout(0.3)(x, rngs=nnx.Rngs(1)),
        "rate 1": nnx.Dropout(1.0, rngs=rngs)(x),
        "attention": nnx.dot_product_attention(heads, heads, heads, dropout_rng=rngs.dropout(), dropout_rate=0.3),
    }


class _Tagged(nnx.Module):
    def __init__(self) -> None:
        self.weight = nnx.Param(jnp.asarray(CARRY), mine="a tag")


def _tags() -> list[Any]:
    """What is written beside a parameter, of it and of the optimizer's state."""
    module = _Tagged()
    optimizer = nnx.Optimizer(module, optax.adam(1e-2), wrt=nnx.Param)
    variables = jax.tree.leaves(nnx.state((module, optimizer)), is_leaf=lambda v: hasattr(v, "get_metadata"))
    return letters(*(getattr(variable, "mine", "none") for variable in variables))


PARTS: Parts = {
    "nnx.Rngs": called(_streams),
    "nnx.Dropout": called(_dropout),
    "nnx dropout with options": called(partial(jax.jit(_dropouts), X)),
    "nnx.view and modes": called(_modes),
    "nnx.All, Any, Not and merge_state": called(_selected),
    "nnx.split_rngs": called(_split_keys),
    "nnx.Optimizer of a parameter with a tag": called(_tags),
}
