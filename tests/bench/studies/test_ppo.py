"""The recurrent PPO loop: its arithmetic, that it learns, and that a wrong agent is noticed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.bench.studies.program import comparison
from trigru.bench.studies.program.comparison import AGENTS, OWN, make_agent, show_equal
from trigru.bench.studies.program.environments import Environment
from trigru.bench.studies.program.ppo import Rollout, Settings, _advantages, make_update, start
from trigru.bench.studies.study import NotEqualArmsError, checked

TINY = Settings(environments=4, steps=8, epochs=2, minibatches=2, hidden=6, learning_rate=1e-2)
LENGTH = 3


def observe(state):
    """The cue in the first step alone, and the time."""
    cue, time = state
    return jnp.stack([jnp.where(time == 0, 2.0 * cue - 1, 0.0), time / LENGTH])


def begin(key):
    """A new cue."""
    state = jax.random.bernoulli(key).astype(int), jnp.zeros((), int)
    return observe(state), state


def go_on(key, state, action):
    """One step; in the last, the reward is 1 if the action is the cue."""
    cue, time = state
    ended = time == LENGTH - 1
    reward = jnp.where(ended & (action == cue), 1.0, 0.0)
    state = jax.tree.map(lambda new, old: jnp.where(ended, new, old), begin(key)[1], (cue, time + 1))
    return observe(state), state, reward, ended


RECALL = Environment(begin, go_on, 2, 2)


@pytest.fixture
def wide():
    """Arrays of 64 bits."""
    with jax.enable_x64(True):
        yield


def test_agents_with_equal_parameters_learn_alike(wide):
    shown, curves = show_equal(RECALL, TINY, updates=3)
    checked(shown)
    assert {s.what.partition(" over ")[0].partition(" after ")[0] for s in shown} == {
        f"{what} of {name}" for what in ("logits", "values", "returns", "embedding") for name in [*AGENTS][1:]
    }
    assert curves["episodes"] == [8, 12, 12]  # the episodes of three steps within eight, of four environments
    assert all(0 <= mean <= 1 for mean in curves["mean return"])


@pytest.mark.parametrize("name", [*AGENTS][1:])
def test_an_agent_that_starts_from_another_state_is_noticed(wide, monkeypatch, name):
    make = comparison.make_agent

    def broken(arm, *rest, **options):
        agent = make(arm, *rest, **options)
        if arm != name:
            return agent
        moved = jax.tree.map_with_path(
            lambda path, p: p + 0.5 if "initial_carry" in jax.tree_util.keystr(path[-1:]) else p, agent.params
        )
        return agent._replace(params=moved)

    monkeypatch.setattr(comparison, "make_agent", broken)
    shown, _ = show_equal(RECALL, TINY, updates=1)
    with pytest.raises(NotEqualArmsError, match=f"logits of {name}: .* apart, at most 1e-12 passes"):
        checked(shown)


def test_the_initial_state_stays_where_it_is():
    agent = make_agent("linen", RECALL, TINY.hidden, jnp.float32)
    update = make_update(agent, RECALL, TINY)
    runner, _ = update(start(agent, RECALL, TINY, jax.random.key(0)))
    np.testing.assert_array_equal(runner.params["gru"]["initial_carry"], 0)
    assert (runner.params["gru"]["cell"]["hn"]["kernel"] != agent.params["gru"]["cell"]["hn"]["kernel"]).any()


def test_it_learns_to_recall_what_it_saw():
    loop = TINY._replace(environments=16, steps=24, minibatches=4, epochs=4)
    agent = make_agent(OWN, RECALL, loop.hidden, jnp.float32)
    update, runner = make_update(agent, RECALL, loop), start(agent, RECALL, loop, jax.random.key(0))
    means = []
    for _ in range(25):
        runner, (returned, ends) = update(runner)
        means.append(float(returned.sum() / ends.sum()))
    assert means[0] < 0.7
    assert np.mean(means[-3:]) > 0.95


def test_advantages_are_sums_of_discounted_differences(rng):
    T, E, settings = 6, 2, Settings(discount=0.9, trace=0.8)
    rewards, values, last = rng.normal(size=(T, E)), rng.normal(size=(T, E)), rng.normal(size=E)
    ends = rng.random((T, E)) < 0.3
    next_values = np.concatenate([values[1:], last[None]])
    errors = rewards + 0.9 * np.where(ends, 0, next_values) - values
    want = np.zeros((T, E))
    for t in range(T):
        weight = np.ones(E)
        for later in range(t, T):
            want[t] += weight * errors[later]
            weight = weight * np.where(ends[later], 0, 0.9 * 0.8)
    single = [jnp.asarray(a, jnp.float32) for a in (values, rewards, last)]
    rollout = Rollout(None, None, None, None, single[0], single[1], jnp.asarray(ends), None)
    found = _advantages(rollout, single[2], settings)
    np.testing.assert_allclose(found, want, rtol=2e-5, atol=2e-6)
