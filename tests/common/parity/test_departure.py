"""Where two programs part is told by the line of the first equation after which nothing agrees."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.parity.departure import Trail, departure

RNG = np.random.default_rng(0)
X, W, V = RNG.normal(size=(5, 4)), RNG.normal(size=(4, 6)), RNG.normal(size=(6, 3))


def reference(x):
    h = jax.nn.sigmoid(x @ W)
    return jnp.tanh(h @ V + 0.5)


def written_otherwise(x):
    """The same function: transposed products, in another order."""
    h = 1 / (1 + jnp.exp(-(W.T @ x.T)))
    return jnp.tanh(0.5 + (V.T @ h).T)


def another_gate(x):
    h = jax.nn.sigmoid(x @ W)
    h = jnp.maximum(h, 0.4)  # here
    return jnp.tanh(h @ V + 0.5)


def another_scale(x):
    def step(carry, x):
        h = jax.nn.sigmoid(x @ W)
        return carry, jnp.tanh(h @ V * 0.9 + 0.5)  # here

    return jax.lax.scan(step, 0.0, x)[1]


def trail(function):
    return Trail(jax.make_jaxpr(function)(jnp.asarray(X, "float32")), [np.float32(X)[None]])


def parting(function):
    return departure(trail(reference), trail(function))


def test_the_same_function_parts_nowhere():
    assert parting(reference) is None
    assert parting(written_otherwise) is None


@pytest.mark.parametrize("candidate", [another_gate])
def test_the_line_is_told(candidate):
    found = parting(candidate)
    lines = [line for line in found.lines if line.file == __file__]
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert "# here" in source[lines[0].line - 1]
    assert f"test_departure.py:{lines[0].line}" in str(found)


def test_a_loop_over_a_batch_has_no_values_of_the_whole_and_is_told_as_one():
    assert parting(another_scale).operation == "scan"


def test_parts_of_a_fused_array_are_values():
    def fused(x):
        return jnp.split(jnp.sin(x @ W), 2, axis=-1)

    def apart(x):
        return [jnp.sin(x @ W[:, :3]), jnp.sin(x @ W[:, 3:])]

    closed = jax.make_jaxpr(fused)(X)
    known = Trail(closed, [X[None]], parts=2)
    assert departure(known, Trail(jax.make_jaxpr(apart)(X), [X[None]])) is None
