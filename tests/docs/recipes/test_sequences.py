"""How sequences are fed: of different lengths, in chunks, step by step, and with episodes that end within them."""

import jax.numpy as jnp
from support.arrays import assert_bits, assert_each_near, assert_near
from support.recipes import recipe_fixture
from trigru.common.parameters.layouts import flatten

lengths, streaming, serving, resets = map(recipe_fixture, ("lengths.md", "streaming.md", "serving.md", "resets.md"))
#: The code by which a recipe calls its model in functional style.
STYLES = {"linen": "model.apply(", "nnx": "nnx.merge(graphdef, params)", "equinox": "eqx.combine(params, static)"}


def test_the_loss_is_a_mean_over_valid_steps_that_no_padding_reaches(lengths):
    outputs = [lengths.gru()(lengths.x[row, :length])[1] for row, length in ((0, 6), (1, 2))]
    assert_near(lengths.loss, ((jnp.concatenate(outputs) - 1) ** 2).mean(), 1e-6)
    padded = lengths.x.at[1, 2:].set(jnp.nan).at[2].set(jnp.nan)
    whole = lengths.bound().whole
    assert_bits(lengths.loss_of(whole, padded), lengths.loss_of(whole, lengths.x))
    found, expected = (
        lengths.gradients(lambda model, x=x: lengths.loss_of(model.whole, x)) for x in (padded, lengths.x)
    )
    assert_each_near(found, expected, 0)
    assert_each_near(flatten(lengths.grads), expected, 1e-5)


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
    carry = 3 * jnp.ones((2, 8))
    _, output = serving.step(serving.params, carry, serving.frames[0], jnp.ones(2, bool))
    assert_near(output, serving.outputs[0], 1e-6, "a reset makes any carry do")
    assert serving.step._cache_size() == 1
    assert carry.is_deleted(), "it is donated"
    assert STYLES[serving.framework] in serving.program.code


def test_an_episode_starts_from_the_initial_state_within_a_rollout_and_at_its_beginning(resets):
    gru, x = resets.gru(), resets.x
    _, ending = gru(x[0, :4], resets.carry[0])
    start, starting = gru(x[0, 4:])
    assert_near(resets.outputs[0], jnp.concatenate([ending, starting]), 1e-6)
    assert_near(resets.final[0], start, 1e-6)
    assert_near(resets.outputs[1], gru(x[1])[1], 1e-6)
    for one_step in (resets.stepped, resets.output):
        assert_near(one_step, resets.outputs[:, 0], 1e-6)
