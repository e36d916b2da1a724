"""What a call in each style does to a model that has more than parameters, as docs/call-styles.md says it."""

from pathlib import Path

import equinox as eqx
import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trigru.common.port.task import Task, mean_squared_error
from trigru.impls import get_port, get_style

PAGE = (Path(__file__).parents[2] / "docs" / "call-styles.md").read_text().partition("## What a call does")[2]
X = np.arange(1.0, 33.0, dtype="f4").reshape(8, 4)
SAID = {
    ("another mask", "updated in the module"): (True, True),
    ("**the same mask, silently**", "**lost, silently**"): (False, False),
}


class Net(nnx.Module):
    def __init__(self):
        self.dropout, self.norm = nnx.Dropout(0.5, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.norm(self.dropout(x))


def forward():
    return Task("forward", lambda model, x: model(x), mean_squared_error, optax.sgd(1.0))


@pytest.mark.parametrize("style", [style.name for style in get_port("nnx").call_styles if "forward" in style.phases])
def test_nnx_styles_keep_or_lose_what_a_call_changes_as_the_page_says(style):
    row = next(
        line for line in PAGE.splitlines() if line.startswith(f"| Flax NNX | `{style}` | ") and "http" not in line
    )
    _, _, _, mask, statistics, _ = (cell.strip() for cell in row.split("|"))
    model = Net()
    program = get_style(get_port("nnx"), style).build(get_port("nnx"), model, forward())
    first, second = program.call(X), program.call(X)
    moved = bool((model.norm.mean[...] != 0).any())
    assert (bool((first != second).any()), moved) == SAID[mask, statistics]


def test_linen_takes_a_key_and_refuses_to_lose_statistics():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dropout(0.5, deterministic=False)(x)
            return nn.BatchNorm(use_running_average=False)(x)

    model, key = Net(), jax.random.key(0)
    variables = model.init({"params": key, "dropout": key}, X)

    @jax.jit
    def apply(variables, x, key):
        return model.apply(variables, x, rngs={"dropout": key}, mutable=["batch_stats"])

    (first, changed), (second, _), (other, _) = (apply(variables, X, jax.random.key(k)) for k in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()
    assert (changed["batch_stats"]["BatchNorm_0"]["mean"] != 0).any()
    with pytest.raises(flax.errors.ModifyScopeVariableError):
        jax.jit(lambda v, x: model.apply(v, x, rngs={"dropout": key}))(variables, X)


def test_equinox_takes_a_key_and_returns_statistics():
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(4, axis_name="batch", mode="ema")
    dropout = eqx.nn.Dropout(0.5)

    @eqx.filter_jit
    def apply(norm, state, x, key):
        x = dropout(x, key=key)
        return jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)

    (first, changed), (second, _), (other, _) = (apply(norm, state, X, jax.random.key(k)) for k in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()
    means = [leaf for leaf in jax.tree.leaves(changed) if jnp.shape(leaf) == (4,)]
    assert means
    assert any((mean != 0).any() for mean in means)
