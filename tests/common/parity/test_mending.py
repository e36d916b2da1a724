"""What would mend a candidate is tried out, and lines that choose a wrong value are named."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.compat import enable_x64
from trigru.common.parity.departure import Search
from trigru.common.parity.places import places_of
from trigru.common.parity.starts import moved_starts
from trigru.common.parity.tape import TraceTape

RNG = np.random.default_rng(0)
X, W, U = (RNG.normal(size=shape) for shape in ((5, 6), (6, 6), (6, 6)))


def plain(x):
    h = x @ W
    y = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    weights = jax.nn.softmax(jax.nn.gelu(y) @ U, axis=-1)
    kept = jnp.where(weights > jnp.sort(weights, axis=-1)[:, 1:2], weights, 0)
    return kept @ U


def another_epsilon(x):
    h = x @ W
    y = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)  # here
    weights = jax.nn.softmax(jax.nn.gelu(y) @ U, axis=-1)
    kept = jnp.where(weights > jnp.sort(weights, axis=-1)[:, 1:2], weights, 0)
    return kept @ U


def another_gelu(x):
    h = x @ W
    y = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    weights = jax.nn.softmax(jax.nn.gelu(y, approximate=False) @ U, axis=-1)  # here
    kept = jnp.where(weights > jnp.sort(weights, axis=-1)[:, 1:2], weights, 0)
    return kept @ U


def another_entry(x):
    h = x @ W
    y = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    weights = jax.nn.softmax(jax.nn.gelu(y) @ U, axis=-1)
    kept = jnp.where(weights > jnp.sort(weights, axis=-1)[:, 2:3], weights, 0)  # here
    return kept @ U


def another_comparison(x):
    h = x @ W
    y = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    weights = jax.nn.softmax(jax.nn.gelu(y) @ U, axis=-1)
    kept = jnp.where(weights < jnp.sort(weights, axis=-1)[:, 1:2], weights, 0)  # here
    return kept @ U


def transposed(x):
    h = x @ W.T  # here
    y = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-6)
    weights = jax.nn.softmax(jax.nn.gelu(y) @ U, axis=-1)
    kept = jnp.where(weights > jnp.sort(weights, axis=-1)[:, 1:2], weights, 0)
    return kept @ U


def recurrent(x):
    def step(carry, x):
        h, c = carry
        c = jnp.tanh(x @ W + h @ U) + 0.5 * c
        h = jnp.tanh(c)
        return (h, c), h

    return jax.lax.scan(step, (jnp.zeros(6), jnp.zeros(6)), x)[1]


def memory_is_returned(x):
    def step(carry, x):
        h, c = carry
        c = jnp.tanh(x @ W + h @ U) + 0.5 * c
        h = jnp.tanh(c)
        return (h, c), c  # here

    return jax.lax.scan(step, (jnp.zeros(6), jnp.zeros(6)), x)[1]


def memory_of_before(x):
    def step(carry, x):
        h, c = carry
        new = jnp.tanh(x @ W + h @ U) + 0.5 * c
        h = jnp.tanh(c)  # here
        return (h, new), h

    return jax.lax.scan(step, (jnp.zeros(6), jnp.zeros(6)), x)[1]


def skipped(x):
    h = jnp.tanh(x @ W)
    y = h + 0.5
    return jnp.concatenate([jnp.sin(y @ U), y], axis=-1) @ jnp.concatenate([W, U])


def skipped_too_early(x):
    h = jnp.tanh(x @ W)
    skip = h  # here
    y = h + 0.5
    return jnp.concatenate([jnp.sin(y @ U), skip], axis=-1) @ jnp.concatenate([W, U])


def twice(x):
    def half(x):
        return jnp.tanh(x * 0.5)

    a = half(x @ W)
    b = half(a @ U)
    return b @ W + 0 * a


def twice_of_another(x):
    def half(x):
        return jnp.tanh(x * 0.5)

    a = half(x @ W)
    b = half(x @ U)  # here
    return b @ W + 0 * a


def in_order(x):
    first, second = jnp.sin(x), jnp.cos(x)
    return jnp.tanh(jnp.concatenate([first, second], axis=-1) @ np.concatenate([W, U]))


def exchanged(x):
    first, second = jnp.sin(x), jnp.cos(x)
    both = jnp.concatenate([second, first], axis=-1)  # here
    return jnp.tanh(both @ np.concatenate([W, U]))


def around(x):
    y = x + (jnp.sin(x).T @ np.ones((5, 5)) / 5).T
    return jnp.tanh(y) @ W + jnp.square(y) @ U


def nothing_around(x):
    y = (jnp.sin(x).T @ np.ones((5, 5)) / 5).T  # here
    return jnp.tanh(y) @ W + jnp.square(y) @ U


def tape(function):
    with enable_x64(True):
        return TraceTape(jax.make_jaxpr(function)(X), [X[None]])


def places(reference, candidate):
    first, second = moved_starts(tape(reference), tape(candidate))
    return list(places_of(Search(first, second, list(zip(first.outputs, second.outputs, strict=True)), 1e-9)))


def is_marked(place):
    return "# here" in Path(__file__).read_text(encoding="utf-8").splitlines()[place.candidate.line - 1]


@pytest.mark.parametrize(
    ("candidate", "change"),
    [
        (another_epsilon, "1e-06 instead of 1e-05"),
        (another_gelu, "gelu by tanh instead of gelu by erf"),
        (another_entry, "entry 1 instead of 2 of axis 1"),
        (another_comparison, "`gt` instead of `lt`"),
        (transposed, "axes 0 and 1 of operand 2 exchanged"),
    ],
)
def test_what_makes_the_outputs_equal_is_reported(candidate, change):
    (first, *_) = places(plain, candidate)
    assert first.mend == f"With {change}, the outputs agree."
    assert is_marked(first)


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [
        (recurrent, memory_is_returned),
        (recurrent, memory_of_before),
        (skipped, skipped_too_early),
        (twice, twice_of_another),
        (in_order, exchanged),
        (around, nothing_around),
    ],
)
def test_the_line_that_takes_a_wrong_value_is_among_the_first_two(reference, candidate):
    assert any(map(is_marked, places(reference, candidate)[:2]))
