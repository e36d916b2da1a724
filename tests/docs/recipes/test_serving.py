"""One step a call, compiled, with a donated carry."""

import jax.numpy as jnp
import numpy as np
from support.arrays import assert_near
from trigru.impls import get_port

RECIPE = "serving.md"
STYLES = {
    "apply": "model.apply(",
    "split-merge": "nnx.merge(graphdef, params)",
    "partition": "eqx.combine(params, static)",
}


def test_steps_give_the_outputs_of_the_sequence(recipe):
    _, expected = recipe.gru()(jnp.swapaxes(recipe.frames, 0, 1))
    assert_near(jnp.stack(recipe.outputs, axis=1), expected, 1e-6)


def test_the_first_reset_makes_any_carry_do(recipe):
    frame, ones = recipe.frames[0], jnp.ones(2, bool)
    found = recipe.step(recipe.params, 3 * jnp.ones((2, 8)), frame, ones)
    assert_near(found[1], recipe.outputs[0], 1e-6)


def test_the_carry_is_given_up_and_the_output_is_not(recipe):
    carry, frame, on = jnp.zeros((2, 8)), recipe.frames[0], jnp.zeros(2, bool)
    later, output = recipe.step(recipe.params, carry, frame, on)
    assert carry.is_deleted()
    recipe.step(recipe.params, later, frame, on)
    assert later.is_deleted()
    assert np.isfinite(output).all()


def test_it_is_one_program(recipe):
    assert recipe.step._cache_size() == 1


def test_the_call_style_is_the_functional_one(recipe):
    name = next(style.name for style in get_port(recipe.framework).call_styles if "functional" in style.labels)
    assert STYLES[name] in recipe.program.code
