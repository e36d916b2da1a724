"""How sequences are fed: of different lengths, in chunks, step by step, and with episodes that end within them."""

import jax
import jax.numpy as jnp
import numpy as np
from support.arrays import assert_bits, assert_near
from support.recipes import recipe_fixture
from trigru.common.parameters.layouts import flatten
from trigru.impls import get_port

lengths, streaming, serving, resets = map(recipe_fixture, ("lengths.md", "streaming.md", "serving.md", "resets.md"))
#: The code by which a recipe calls its model in functional style.
STYLES = {
    "apply": "model.apply(",
    "split-merge": "nnx.merge(graphdef, params)",
    "partition": "eqx.combine(params, static)",
}


def test_the_carry_is_that_of_the_last_valid_step_and_padded_steps_give_zeros(lengths):
    carry, outputs = lengths(lengths.x, lengths=lengths.lengths)
    alone, its_outputs = lengths.gru()(lengths.x[1, :2])
    assert_near(carry[1], alone, 1e-6)
    assert_near(outputs[1, :2], its_outputs, 1e-6)
    assert_bits(carry[2], lengths.flat["initial_carry"], "an empty sequence ends where it starts")
    assert not outputs[1, 2:].any()
    assert not outputs[2].any()


def test_the_loss_is_a_mean_over_valid_steps_that_no_padding_reaches(lengths):
    outputs = [lengths.gru()(lengths.x[row, :length])[1] for row, length in ((0, 6), (1, 2))]
    assert_near(lengths.loss, ((jnp.concatenate(outputs) - 1) ** 2).mean(), 1e-6)
    padded = lengths.x.at[1, 2:].set(jnp.nan).at[2].set(jnp.nan)
    whole = lengths.bound().whole
    assert_bits(lengths.loss_of(whole, padded), lengths.loss_of(whole, lengths.x))
    found, expected = (
        lengths.gradients(lambda model, x=x: lengths.loss_of(model.whole, x)) for x in (padded, lengths.x)
    )
    own = flatten(lengths.grads)
    for name, gradient in expected.items():
        assert np.isfinite(gradient).all()
        assert_bits(found[name], gradient, name)
        assert_near(own[name], gradient, 1e-5, name)


def test_chunks_give_the_outputs_and_the_gradient_of_the_whole(streaming):
    def start(until=None, **options):
        """The initial state's gradient of the steps up to one."""
        return streaming.starts(lambda model: ((streaming.run(model.whole, **options)[:, :until] - 1) ** 2).sum())[""]

    _, whole = streaming.gru()(streaming.x)
    assert_near(streaming.outputs, whole, 1e-6)
    assert_near(streaming.run(streaming.bound().whole, chunks=1), whole, 1e-6)
    expected, truncated = start(chunks=1), start(chunks=2, truncate=True)
    assert expected.all()
    assert_near(start(chunks=2), expected, 1e-5)
    assert_near(truncated, start(chunks=2, until=4), 1e-5, "cut, the first chunk alone trains the start")
    assert not jnp.allclose(truncated, expected, rtol=1e-3)


def test_served_steps_give_the_outputs_of_the_sequence_by_one_program(serving):
    _, expected = serving.gru()(jnp.swapaxes(serving.frames, 0, 1))
    assert_near(jnp.stack(serving.outputs, axis=1), expected, 1e-6)
    first = serving.step(serving.params, 3 * jnp.ones((2, 8)), serving.frames[0], jnp.ones(2, bool))
    assert_near(first[1], serving.outputs[0], 1e-6, "a reset makes any carry do")
    assert serving.step._cache_size() == 1
    name = next(style.name for style in get_port(serving.framework).call_styles if "functional" in style.labels)
    assert STYLES[name] in serving.program.code


def test_a_served_carry_is_given_up_and_the_output_is_not(serving):
    carry, frame, on = jnp.zeros((2, 8)), serving.frames[0], jnp.zeros(2, bool)
    later, output = serving.step(serving.params, carry, frame, on)
    assert carry.is_deleted()
    serving.step(serving.params, later, frame, on)
    assert later.is_deleted()
    assert np.isfinite(output).all()


def test_an_episode_starts_from_the_initial_state_within_a_rollout_and_at_its_beginning(resets):
    gru, x = resets.gru(), resets.x
    _, ending = gru(x[0, :4], resets.carry[0])
    start, starting = gru(x[0, 4:])
    assert_near(resets.outputs[0], jnp.concatenate([ending, starting]), 1e-6)
    assert_near(resets.final[0], start, 1e-6)
    assert_near(resets.outputs[1], gru(x[1])[1], 1e-6)
    for one_step in (resets.stepped, resets.output):
        assert_near(one_step, resets.outputs[:, 0], 1e-6)


def test_a_start_is_trained_though_a_carry_is_passed_and_a_carry_from_before_it_is_not(resets):
    def loss(model, carry):
        return (model(resets.x, carry, resets=resets.resets)[1] ** 2).mean()

    assert resets.starts(lambda model: loss(model, resets.carry))[""].all()
    of_carry = jax.jit(jax.grad(lambda carry: loss(resets.bound(), carry)))(resets.carry)
    assert of_carry[0].all()
    assert not of_carry[1].any()
