"""Where the initial state comes from: an initializer, a table of classes, features of the sequence, and noise."""

import jax
import jax.numpy as jnp
from flax import nnx
from support.arrays import assert_bits, assert_near
from support.recipes import recipe_fixture

initializer, noise = map(recipe_fixture, ("initializer.md", "noise.md"))
by_class = recipe_fixture("conditional.md#A state for each class")
by_features = recipe_fixture("conditional.md#A state from features")


def test_an_initializer_draws_the_initial_state(initializer):
    def start_of(model):
        if initializer.framework == "linen":
            return model.init(jax.random.key(0), initializer.x)["params"]["initial_carry"]
        return model.initial_carry[...]

    normal = start_of(initializer.normal)
    assert normal.shape == (8,)
    assert 0 < abs(normal).max() < 1
    assert_bits(start_of(initializer.given), initializer.known)
    start = initializer.start
    assert (abs(start) == 0.5).all()
    assert len({*start.tolist()}) == 2


def test_each_sequence_starts_from_the_state_of_its_class(by_class):
    _, outputs = by_class.gru("gru.")(by_class.x, by_class.flat["initial_carry"][by_class.label])
    assert_near(by_class.outputs, outputs, 1e-6)
    assert_bits(by_class.carry, by_class.outputs[:, -1])


def test_the_classes_of_the_batch_learn_and_no_other(by_class):
    starts = by_class.starts(lambda model: (model(by_class.x, by_class.label)[1] ** 2).mean())
    assert starts[""].shape == (3, 8)
    assert starts[""][by_class.label].all()
    assert not starts[""][1].any()
    assert not starts["gru."].any(), "nothing starts there"


def test_the_network_of_features_learns_and_the_grus_own_start_does_not(by_features):
    gradients = by_features.gradients(lambda model: (model(by_features.x, by_features.context)[1] ** 2).mean())
    weights = [a for name, a in gradients.items() if not name.startswith("gru.") and a.ndim == 2]
    assert len(weights) == 2
    assert all(weight.all() for weight in weights)
    assert not gradients["gru.initial_carry"].any(), "nothing starts there"


def test_another_context_gives_other_outputs_of_the_same_frames(by_features):
    frames = jnp.stack([by_features.x[0], by_features.x[0]])
    _, (first, second) = by_features(frames, by_features.context)
    assert not jnp.allclose(first, second)
    assert_bits(by_features.carry, by_features.outputs[:, -1])
    assert abs(by_features(frames, 1e3 * by_features.context)[1]).max() <= 1, "the state is within one"


def in_training(recipe, seed):
    """A function of the bound model that runs it in training, with a seed."""
    if recipe.framework == "linen":
        return lambda model: model(recipe.x, train=True, rngs={"noise": jax.random.key(seed)})[1]
    if recipe.framework == "equinox":
        return lambda model: model(recipe.x, key=jax.random.split(jax.random.key(seed), len(recipe.x)))[1]

    def run(model):
        own = nnx.clone(model.whole)
        own.train()
        own.rngs = nnx.Rngs(noise=seed).noise
        return own(recipe.x)[1]

    return run


def test_each_example_and_each_step_of_training_has_noise_of_its_own(noise):
    assert (noise.x[0] == noise.x[1]).all()
    assert not jnp.allclose(*noise.outputs), "for each example"
    once, again, others = (in_training(noise, seed)(noise.bound()) for seed in (1, 1, 2))
    assert_bits(once, again, "the same from the same key")
    assert not jnp.allclose(others[0], once[0]), "for each key"
    if noise.framework == "nnx":
        twin = noise.edited("model.eval()", "_, later = run(model, x)\nmodel.eval()")
        assert_bits(twin.outputs, noise.outputs, "the same from the same seed")
        assert not jnp.allclose(twin.later[0], twin.outputs[0]), "at each call"
    else:
        assert_bits(once, noise.outputs)


def test_noise_lets_the_gradient_reach_the_start_and_is_off_in_evaluation(noise):
    (start,) = noise.starts(lambda model: (in_training(noise, 1)(model) ** 2).mean()).values()
    assert start.all()
    assert_bits(*noise.evaluated)
    assert_near(noise.evaluated, noise.gru("gru.")(noise.x)[1], 1e-6)
