"""A whole agent with a memory, trained by recurrent PPO."""

import jax
import jax.numpy as jnp
import numpy as np
from support.arrays import assert_bits, assert_near

RECIPE = "reinforcement.md#A whole agent"


def one(recipe, seed=0):
    """The first parameters of a seed."""
    return jax.tree.map(lambda a: a[seed], recipe.params)


def begin(recipe, first=True):
    episodes = recipe.new_episodes(jax.random.key(5))
    carry = jax.random.normal(jax.random.key(6), (recipe.ENVIRONMENTS, recipe.UNITS))
    return episodes, carry, jnp.full(recipe.ENVIRONMENTS, first)


def test_it_learns_with_every_seed(recipe):
    """Of two cues, chance names one in two."""
    assert recipe.rewards.shape == (2, recipe.UPDATES)
    assert (abs(recipe.rewards[:, 0] - 0.5) < 0.15).all()
    assert (recipe.rewards[:, -5:].mean(axis=1) > 0.95).all()


def test_seeds_are_trained_apart(recipe):
    first, second = recipe.drawn
    assert all(bool((a != b).any()) for a, b in zip(*map(jax.tree.leaves, (first, second)), strict=True) if a.any())
    assert (recipe.rewards[0] != recipe.rewards[1]).any()


def test_the_initial_state_is_trained(recipe):
    before, after = (
        [a for path, a in jax.tree_util.tree_leaves_with_path(tree) if "initial_carry" in jax.tree_util.keystr(path)]
        for tree in (recipe.params, recipe.trained)
    )
    assert not before[0].any()
    assert after[0].all()


def test_the_cue_is_seen_at_the_first_step_alone(recipe):
    episode = recipe.new_episodes(jax.random.key(1))
    for step in range(6):
        seen = recipe.observe(episode._replace(step=jnp.full_like(episode.step, step)))
        other = recipe.observe(episode._replace(step=jnp.full_like(episode.step, step), cue=1 - episode.cue))
        assert bool((seen == other).all()) == (step > 0)
        assert_bits(seen[:, 2] == 1, np.asarray(episode.length == step + 1))


def test_an_episode_pays_at_its_end_and_another_begins(recipe):
    episode = recipe.new_episodes(jax.random.key(1))
    assert {*episode.length.tolist()} == {3, 4, 5, 6}
    for step in range(3):
        at = episode._replace(step=jnp.full_like(episode.step, step))
        later, reward, done = recipe.act(at, episode.cue, jax.random.key(2))
        assert_bits(done, np.asarray(episode.length == step + 1))
        assert_bits(reward == 1, np.asarray(done))
        assert_bits(later.step, np.where(done, 0, step + 1).astype("i4"))
        _, wrong, _ = recipe.act(at, 1 - episode.cue, jax.random.key(2))
        assert not wrong.any()


def test_the_first_reset_is_what_starts_episodes_from_the_initial_state(recipe):
    """With it, no carry matters; without it, a rollout silently starts from the one that is passed."""
    for first in (True, False):
        episodes, carry, start = begin(recipe, first)
        _, logits, _ = recipe.step(one(recipe), recipe.observe(episodes), carry, start)
        _, others, _ = recipe.step(one(recipe), recipe.observe(episodes), carry + 1, start)
        assert bool((logits == others).all()) == first
    assert "jnp.ones(ENVIRONMENTS, bool))" in recipe.program.code


def test_training_runs_the_steps_of_the_rollout_again(recipe):
    """As a chunk from the stored carry, with the rollout's resets: the same values, and so the same probabilities."""
    params, state = one(recipe), begin(recipe)
    for _ in range(2):  # the second starts within episodes
        _, carry, _ = state
        state, seen = jax.jit(recipe.rollout)(params, state, jax.random.key(7))
        _, logits, value = recipe.run(params, seen["x"], carry, seen["reset"])
        assert_near(value, seen["value"], 1e-5)
        assert_near(recipe.log_prob_of(logits, seen["action"]), seen["log_prob"], 1e-5)
        assert seen["reset"].any()
        assert_bits(seen["reset"][:, 1:], np.asarray(seen["done"][:, :-1]), "an episode starts after one has ended")
        assert_bits(state[2], np.asarray(seen["done"][:, -1]), "also in the next rollout")
    assert not seen["reset"][:, 0].all()


def test_advantages_are_those_of_the_definition(recipe, rng):
    T, B = 5, 2
    reward, value = rng.normal(size=(2, T, B)).astype("f4")
    done, last = rng.random((T, B)) < 0.4, rng.normal(size=B).astype("f4")
    seen = {"reward": jnp.asarray(reward), "value": jnp.asarray(value), "done": jnp.asarray(done)}
    found = recipe.advantages(seen, jnp.asarray(last))
    values = np.concatenate([value, last[None]])
    for b in range(B):
        for t in range(T):
            total, weight = 0.0, 1.0
            for k in range(t, T):
                total += weight * (reward[k, b] + recipe.DISCOUNT * values[k + 1, b] * (not done[k, b]) - values[k, b])
                if done[k, b]:
                    break
                weight *= recipe.DISCOUNT * recipe.TRACE
            assert abs(found[t, b] - total) < 1e-5


def test_the_loss_of_a_rollout_by_its_own_parameters(recipe):
    """There the ratio is 1, so the gain is the mean of scaled advantages, 0, and the error that of the advantages."""
    params, rollout = one(recipe), jax.jit(recipe.rollout)
    state, _ = rollout(params, begin(recipe), jax.random.key(7))  # the next starts within episodes
    _, seen = rollout(params, state, jax.random.key(8))
    _, logits, _ = recipe.run(params, seen["x"], state[1], seen["reset"])
    p = jax.nn.softmax(logits)
    entropy = -(p * jnp.log(p)).sum(axis=-1).mean()
    expected = 0.5 * (seen["advantage"] ** 2).mean() - 0.01 * entropy
    assert abs(recipe.loss_of(params, state[1], seen) - expected) < 1e-5
