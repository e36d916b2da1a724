"""Where two programs part is told by the line of the step that is the cause."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.parity.causes import departures
from trigru.common.parity.departure import Search
from trigru.common.parity.places import places_of
from trigru.common.parity.tape import TraceTape

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


def another_scale_in_a_loop(x):
    def step(carry, x):
        h = jax.nn.sigmoid(x @ W)
        return carry, jnp.tanh(h @ V * 0.9 + 0.5)  # here

    return jax.lax.scan(step, 0.0, x)[1]


def another_order(x):
    h = jax.nn.sigmoid(x @ W)
    h = h[:, ::-1]  # here
    return jnp.tanh(h @ V + 0.5)


def nothing_added(x):
    h = jax.nn.sigmoid(x @ W)
    h = h @ V  # here
    return jnp.tanh(h)


def tape(function):
    return TraceTape(jax.make_jaxpr(function)(jnp.asarray(X, "float32")), [np.float32(X)[None]])


def search(function):
    first, second = tape(reference), tape(function)
    return Search(first, second, list(zip(first.outputs, second.outputs, strict=True)), 1e-9)


def test_the_same_function_parts_nowhere():
    assert departures(search(reference)) == []
    assert departures(search(written_otherwise)) == []


@pytest.mark.parametrize("candidate", [another_gate, another_scale_in_a_loop, another_order, nothing_added])
def test_the_line_is_among_the_first_two(candidate):
    places = [place.candidate for place in places_of(search(candidate)) if place.candidate]
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    assert any("# here" in source[place.line - 1] for place in places[:2] if place.file == __file__)
    assert places[0].text in {source[n].strip() for n in range(len(source))}


def test_parts_of_a_fused_array_agree():
    def fused(x):
        return jnp.split(jnp.sin(x @ W), 2, axis=-1)

    def apart(x):
        return [jnp.sin(x @ W[:, :3]), jnp.sin(x @ W[:, 3:])]

    first, second = tape(fused), tape(apart)
    pairs = list(zip(first.outputs, second.outputs, strict=True))
    assert departures(Search(first, second, pairs, 1e-9)) == []


def test_a_tape_is_played_again_from_a_changed_value_on():
    changed = tape(another_gate)
    number = next(step.results[0] for step in changed.steps if step.operation == "max")
    new = changed.played({number: changed.values[changed.steps[changed.maker[number]].operands[0]]})
    np.testing.assert_allclose(new[changed.outputs[0]], tape(reference).values[tape(reference).outputs[0]], rtol=1e-12)


def test_a_step_within_a_loop_knows_the_lines_outside_of_it():
    step = next(step for step in tape(another_scale_in_a_loop).steps if step.operation == "tanh")
    own = [line for line in step.lines() if line.file == __file__]
    functions = [line.function.rpartition(".")[2] for line in own]
    assert functions[:2] == ["step", "another_scale_in_a_loop"]
