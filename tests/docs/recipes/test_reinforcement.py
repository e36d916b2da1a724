"""Reinforcement learning: a whole agent by recurrent PPO, and the burn-in of a replayed sequence."""

import re

import jax
import jax.numpy as jnp
import numpy as np
from support.arrays import assert_bits, assert_each_near, assert_near
from support.recipes import FOLDER, recipe_fixture
from trigru.common.parameters.layouts import flatten

agent = recipe_fixture("reinforcement.md#A whole agent")
burn_in = recipe_fixture("reinforcement.md#Burn in from a stored state")


def one(agent):
    """The first parameters of a seed."""
    return jax.tree.map(lambda a: a[0], agent.params)


def begin(agent, first=True):
    episodes = agent.new_episodes(jax.random.key(5))
    carry = jax.random.normal(jax.random.key(6), (agent.ENVIRONMENTS, agent.UNITS))
    return episodes, carry, jnp.full(agent.ENVIRONMENTS, first)


def test_the_agent_learns_with_every_seed_apart(agent):
    """Of two cues, chance names one in two."""
    assert agent.rewards.shape == (2, agent.UPDATES)
    assert (abs(agent.rewards[:, 0] - 0.5) < 0.15).all()
    assert (agent.rewards[:, -5:].mean(axis=1) > 0.95).all()
    assert (agent.rewards[0] != agent.rewards[1]).any()
    pairs = zip(*map(jax.tree.leaves, agent.drawn), strict=True)
    assert all(bool((a != b).any()) for a, b in pairs if a.any())
    before, after = (
        [array for name, array in flatten(tree).items() if name.endswith("initial_carry")]
        for tree in (agent.params, agent.trained)
    )
    assert not before[0].any()
    assert after[0].all()


def test_the_first_reset_is_what_starts_episodes_from_the_initial_state(agent):
    """With it, no carry matters; without it, a rollout silently starts from the one that is passed."""
    for first in (True, False):
        episodes, carry, start = begin(agent, first)
        _, logits, _ = agent.step(one(agent), agent.observe(episodes), carry, start)
        _, others, _ = agent.step(one(agent), agent.observe(episodes), carry + 1, start)
        assert bool((logits == others).all()) == first
    assert "jnp.ones(ENVIRONMENTS, bool))" in agent.program.code


def test_training_runs_the_steps_of_the_rollout_again(agent):
    """As a chunk from the stored carry, with the rollout's resets: the same values, and so the same probabilities."""
    params, state = one(agent), begin(agent)
    for _ in range(2):  # the second starts within episodes
        _, carry, _ = state
        state, seen = jax.jit(agent.rollout)(params, state, jax.random.key(7))
        _, logits, value = agent.run(params, seen["x"], carry, seen["reset"])
        assert_near(value, seen["value"], 1e-5)
        assert_near(agent.log_prob_of(logits, seen["action"]), seen["log_prob"], 1e-5)
        assert seen["reset"].any()
        assert_bits(seen["reset"][:, 1:], np.asarray(seen["done"][:, :-1]), "an episode starts after one has ended")
        assert_bits(state[2], np.asarray(seen["done"][:, -1]), "also in the next rollout")
    assert not seen["reset"][:, 0].all()


def test_advantages_are_those_of_the_definition(agent, rng):
    """The sum of a step's error and, within the episode, of the later ones, each discounted once more."""
    T, B = 5, 2
    reward, value = rng.normal(size=(2, T, B)).astype("f4")
    done, last = rng.random((T, B)) < 0.4, rng.normal(size=B).astype("f4")
    seen = {"reward": jnp.asarray(reward), "value": jnp.asarray(value), "done": jnp.asarray(done)}
    error = reward + agent.DISCOUNT * np.concatenate([value[1:], last[None]]) * ~done - value
    expected = np.zeros((T, B))
    for t in range(T):
        for k in range(t, T):
            within = ~done[t:k].any(axis=0)
            expected[t] += within * (agent.DISCOUNT * agent.TRACE) ** (k - t) * error[k]
    assert_near(agent.advantages(seen, jnp.asarray(last)), expected, 1e-5)


def start_gradient(recipe, row):
    """The initial state's gradient of the recipe's loss on one of its sequences."""
    arrays = [array[row : row + 1] for array in (recipe.x, recipe.stored, recipe.resets)]
    return recipe.starts(lambda model: recipe.loss_of(model.whole, *arrays))[""]


def test_the_trained_steps_follow_from_the_burn_in_which_no_gradient_reaches(burn_in):
    """A reset after the burn-in alone sends the start a gradient."""
    assert [bool(start_gradient(burn_in, row).any()) for row in (0, 1)] == [False, True]
    gru, burn, x, resets = burn_in.bound(), burn_in.BURN_IN, burn_in.x, burn_in.resets
    _, outputs = burn_in.gru()(x, burn_in.stored, resets=resets)
    assert_near(burn_in.loss, (outputs[:, burn:] ** 2).mean(), 1e-6)
    state, _ = gru(x[:, :burn], burn_in.stored, resets=resets[:, :burn])
    found = flatten(burn_in.grads)
    expected = burn_in.gradients(lambda model: (model(x[:, burn:], state, resets=resets[:, burn:])[1] ** 2).mean())
    assert_each_near(found, expected, 1e-5)


def test_cut_where_no_episode_has_started_the_start_learns_from_both(burn_in):
    page = (FOLDER / "reinforcement.md").read_text(encoding="utf-8")
    (cut,) = re.findall(r"`(jnp\.where\(.*stop_gradient.*)`\.", page)
    mended, burn = burn_in.edited("carry = jax.lax.stop_gradient(carry)", f"carry = {cut}"), burn_in.BURN_IN
    assert_near(mended.loss, burn_in.loss, 1e-6)

    def uncut(model):
        return (model(burn_in.x[:1], burn_in.stored[:1], resets=burn_in.resets[:1])[1][:, burn:] ** 2).mean()

    assert start_gradient(mended, 0).all()
    assert_near(start_gradient(mended, 0), burn_in.starts(uncut)[""], 1e-5)
