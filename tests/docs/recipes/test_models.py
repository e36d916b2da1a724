"""How sequences are fed, where the initial state comes from, and several GRUs in one
model.
"""

import jax
import jax.numpy as jnp
from support.cases import assert_bits, assert_each_near, assert_near
from support.recipes import recipe_fixture
from trigru.common.parameters.layouts import flatten

lengths, streaming, serving, resets = map(
    recipe_fixture, ("lengths.md", "streaming.md", "serving.md", "resets.md")
)
initializer, noise = map(recipe_fixture, ("initializer.md", "noise.md"))
by_class = recipe_fixture("conditional.md#A state for each class")
by_features = recipe_fixture("conditional.md#A state from features")
stacking, bidirectional, dropout = map(
    recipe_fixture, ("stacking.md", "bidirectional.md", "dropout.md")
)
#: The code by which a recipe calls its model in functional style.
STYLES = {
    "linen": "model.apply(",
    "nnx": "nnx.merge(graphdef, params)",
    "equinox": "eqx.combine(params, static)",
}


def test_the_loss_is_a_mean_over_valid_steps_that_no_padding_reaches(lengths):
    outputs = [
        lengths.gru()(lengths.x[row, :length])[1] for row, length in ((0, 6), (1, 2))
    ]
    assert_near(lengths.loss, ((jnp.concatenate(outputs) - 1) ** 2).mean(), 1e-6)
    padded = lengths.x.at[1, 2:].set(jnp.nan).at[2].set(jnp.nan)
    whole = lengths.bound().whole
    assert_bits(lengths.loss_of(whole, padded), lengths.loss_of(whole, lengths.x))
    found, expected = (
        lengths.gradients(lambda model, x=x: lengths.loss_of(model.whole, x))
        for x in (padded, lengths.x)
    )
    assert_each_near(found, expected, 0)
    assert_each_near(flatten(lengths.grads), expected, 1e-5)


def test_chunks_give_the_outputs_and_the_gradient_of_the_whole(streaming):
    def start(until=None, **options):
        """The initial state's gradient of the steps up to one."""
        return streaming.starts(
            lambda model: (
                (streaming.run(model.whole, **options)[:, :until] - 1) ** 2
            ).sum()
        )[""]

    _, whole = streaming.gru()(streaming.x)
    assert_near(streaming.outputs, whole, 1e-6)
    expected, truncated = start(chunks=1), start(chunks=2, truncate=True)
    assert expected.all()
    assert_near(start(chunks=2), expected, 1e-5)
    assert_near(
        truncated,
        start(chunks=2, until=4),
        1e-5,
        "cut, the first chunk alone trains the start",
    )
    assert not jnp.allclose(truncated, expected, rtol=1e-3)


def test_served_steps_give_the_outputs_of_the_sequence_by_one_program(serving):
    _, expected = serving.gru()(jnp.swapaxes(serving.frames, 0, 1))
    assert_near(jnp.stack(serving.outputs, axis=1), expected, 1e-6)
    carry = 3 * jnp.ones((2, 8))
    _, output = serving.step(
        serving.params, carry, serving.frames[0], jnp.ones(2, bool)
    )
    assert_near(output, serving.outputs[0], 1e-6, "a reset makes any carry do")
    assert serving.step._cache_size() == 1
    assert carry.is_deleted(), "it is donated"
    assert STYLES[serving.framework] in serving.program.code


def test_an_episode_starts_from_the_initial_state_within_a_rollout_and_at_its_beginning(
    resets,
):
    gru, x = resets.gru(), resets.x
    _, ending = gru(x[0, :4], resets.carry[0])
    start, starting = gru(x[0, 4:])
    assert_near(resets.outputs[0], jnp.concatenate([ending, starting]), 1e-6)
    assert_near(resets.final[0], start, 1e-6)
    assert_near(resets.outputs[1], gru(x[1])[1], 1e-6)
    for one_step in (resets.stepped, resets.output):
        assert_near(one_step, resets.outputs[:, 0], 1e-6)


def test_an_initializer_draws_the_initial_state(initializer):
    def start_of(model):
        if initializer.framework == "linen":
            return model.init(jax.random.key(0), initializer.x)["params"][
                "initial_carry"
            ]
        return model.initial_carry[...]

    normal = start_of(initializer.normal)
    assert normal.shape == (8,)
    assert 0 < abs(normal).max() < 1
    assert_bits(start_of(initializer.given), initializer.known)
    assert {*abs(initializer.start).tolist()} == {0.5}


def test_each_sequence_starts_from_the_state_of_its_class_which_learns(by_class):
    _, outputs = by_class.gru("gru.")(
        by_class.x, by_class.flat["initial_carry"][by_class.label]
    )
    assert_near(by_class.outputs, outputs, 1e-6)
    assert_bits(by_class.carry, by_class.outputs[:, -1])
    starts = by_class.starts(
        lambda model: (model(by_class.x, by_class.label)[1] ** 2).mean()
    )
    learns = starts[""].any(axis=1)
    assert [bool(learns[number]) for number in range(3)] == [
        number in by_class.label for number in range(3)
    ]
    assert not starts["gru."].any(), "nothing starts there"


def test_a_network_of_features_gives_the_start_and_learns(by_features):
    frames = jnp.stack([by_features.x[0], by_features.x[0]])
    _, (first, second) = by_features(frames, by_features.context)
    assert not jnp.allclose(first, second), "another context"
    assert_bits(by_features.carry, by_features.outputs[:, -1])
    assert abs(by_features(frames, 1e3 * by_features.context)[1]).max() <= 1, (
        "the state is within one"
    )
    gradients = by_features.gradients(
        lambda model: (model(by_features.x, by_features.context)[1] ** 2).mean()
    )
    weights = [
        a
        for name, a in gradients.items()
        if not name.startswith("gru.") and a.ndim == 2
    ]
    assert [bool(weight.all()) for weight in weights] == [True, True]
    assert not gradients["gru.initial_carry"].any(), "nothing starts there"


def test_each_example_and_step_of_training_has_noise_of_its_own_and_evaluation_has_none(
    noise,
):
    assert (noise.x[0] == noise.x[1]).all()
    assert not jnp.allclose(*noise.outputs), "for each example"
    assert_near(noise.evaluated, noise.gru("gru.")(noise.x)[1], 1e-6)
    if noise.framework == "nnx":
        twin = noise.edited("model.eval()", "_, later = run(model, x)\nmodel.eval()")
        assert not jnp.allclose(twin.later[0], twin.outputs[0]), "at each call"


def assert_states_learn(recipe, *names):
    """The gradient reaches the initial states of these parts, which were drawn apart,
    and there are no others.
    """
    starts = recipe.starts(lambda model: (model(recipe.x)[1] ** 2).mean())
    assert {*starts} == {f"{name}." for name in names}
    assert all(start.all() for start in starts.values())
    one, other = (recipe.flat[f"{name}.initial_carry"] for name in names)
    assert (one != other).all()


def test_a_stack_is_one_gru_after_the_other_with_a_state_each(stacking):
    names = [
        f"layer{'_' if stacking.framework == 'linen' else 's.'}{number}"
        for number in range(2)
    ]
    first, second = (stacking.gru(f"{name}.") for name in names)
    carries, outputs = stacking(stacking.x)
    lower, between = first(stacking.x)
    upper, expected = second(between)
    assert_near(outputs, expected, 1e-6)
    assert_near(jnp.stack(carries), jnp.stack([lower, upper]), 1e-6)
    assert_near(
        jnp.concatenate([stacking.first, stacking.second], axis=1),
        outputs,
        1e-6,
        "in chunks",
    )
    assert_near(jnp.stack(stacking.carries), jnp.stack(carries), 1e-6, "in chunks")
    assert_states_learn(stacking, *names)


def test_each_direction_reads_the_sequence_from_its_end_and_learns(bidirectional):
    ahead, back = jnp.split(bidirectional.outputs, 2, axis=-1)
    x = bidirectional.x
    assert_bits(ahead[:, -1], bidirectional.end)
    assert_bits(back[:, 0], bidirectional.start)
    assert_near(ahead, bidirectional.gru("forward.")(x)[1], 1e-6)
    assert_near(back, bidirectional.gru("backward.")(x[:, ::-1])[1][:, ::-1], 1e-6)
    _, shorter = bidirectional(x, lengths=jnp.array([6, 2]))
    _, alone = bidirectional(x[1:, :2])
    assert_near(shorter[1, :2], alone[0], 1e-6, "from the last valid step")
    assert_states_learn(bidirectional, "backward", "forward")


def test_dropout_changes_the_second_layer_in_training_alone(dropout):
    names = ("GRU_0", "GRU_1") if dropout.framework == "linen" else ("first", "second")
    lower, upper = (dropout.gru(f"{name}.") for name in names)
    _, expected = upper(lower(dropout.x)[1])
    assert_near(dropout.evaluated, expected, 1e-6)
    assert not jnp.allclose(dropout.outputs, expected)
    if dropout.framework == "nnx":
        later = dropout.edited(
            "model.eval()", "_, later = model(x)\nmodel.eval()"
        ).later
        assert not jnp.allclose(later, dropout.outputs), "another mask at another call"
