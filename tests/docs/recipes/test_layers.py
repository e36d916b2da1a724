"""Several GRUs in one model: a stack, both directions, dropout between layers."""

import jax
import jax.numpy as jnp
from flax import nnx
from support.arrays import assert_bits, assert_near
from support.recipes import recipe_fixture

stacking, bidirectional, dropout = map(recipe_fixture, ("stacking.md", "bidirectional.md", "dropout.md"))


def grus(recipe, *names):
    return [recipe.gru(f"{name}.") for name in names]


def assert_states_learn(recipe, *prefixes):
    """The gradient reaches the initial states of these parts, which were drawn apart, and there are no others."""
    starts = recipe.starts(lambda model: (model(recipe.x)[1] ** 2).mean())
    assert {*starts} == {*prefixes}
    assert all(start.all() for start in starts.values())
    one, other = (recipe.flat[f"{prefix}initial_carry"] for prefix in prefixes)
    assert (one != other).all()


def test_a_stack_is_one_gru_after_the_other_with_a_state_each(stacking):
    names = [f"layer{'_' if stacking.framework == 'linen' else 's.'}{number}" for number in range(2)]
    first, second = grus(stacking, *names)
    carries, outputs = stacking(stacking.x)
    lower, between = first(stacking.x)
    upper, expected = second(between)
    assert_near(outputs, expected, 1e-6)
    assert_near(jnp.stack(carries), jnp.stack([lower, upper]), 1e-6)
    assert_near(jnp.concatenate([stacking.first, stacking.second], axis=1), outputs, 1e-6, "in chunks")
    assert_near(jnp.stack(stacking.carries), jnp.stack(carries), 1e-6, "in chunks")
    assert_states_learn(stacking, *(f"{name}." for name in names))


def test_each_direction_reads_the_sequence_from_its_end_and_learns(bidirectional):
    ahead, back = jnp.split(bidirectional.outputs, 2, axis=-1)
    forward, backward = grus(bidirectional, "forward", "backward")
    x = bidirectional.x
    assert_bits(ahead[:, -1], bidirectional.end)
    assert_bits(back[:, 0], bidirectional.start)
    assert_near(ahead, forward(x)[1], 1e-6)
    assert_near(back, backward(x[:, ::-1])[1][:, ::-1], 1e-6)
    _, shorter = bidirectional(x, lengths=jnp.array([6, 2]))
    _, alone = bidirectional(x[1:, :2])
    assert_near(shorter[1, :2], alone[0], 1e-6, "from the last valid step")
    assert_states_learn(bidirectional, "backward.", "forward.")


def train(recipe, seed):
    """One call in training, with a seed."""
    if recipe.framework == "linen":
        return recipe(recipe.x, train=True, rngs={"dropout": jax.random.key(seed)})
    if recipe.framework == "equinox":
        return recipe(recipe.x, key=jax.random.split(jax.random.key(seed), len(recipe.x)))
    return recipe.TwoLayers(4, 8, rngs=nnx.Rngs(params=0, dropout=seed))(recipe.x)


def test_dropout_changes_the_second_layer_in_training_alone(dropout):
    names = ("GRU_0", "GRU_1") if dropout.framework == "linen" else ("first", "second")
    lower, upper = grus(dropout, *names)
    start, between = lower(dropout.x)
    end, expected = upper(between)
    assert_near(dropout.evaluated, expected, 1e-6)
    (first, second), outputs = train(dropout, 2)
    assert_bits(outputs, dropout.outputs, "the same mask from the same key")
    assert_near(first, start, 1e-6, "before the dropout nothing changes")
    assert not jnp.allclose(second, end)
    assert not jnp.allclose(train(dropout, 3)[1], dropout.outputs), "another mask from another key"
    if dropout.framework == "nnx":
        later = dropout.edited("model.eval()", "_, later = model(x)\nmodel.eval()").later
        assert not jnp.allclose(later, dropout.outputs), "another mask at another call"
