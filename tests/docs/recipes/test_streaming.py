"""A long sequence in chunks, whole and with the gradient cut between them."""

import jax.numpy as jnp
import pytest
from support.arrays import assert_near

RECIPE = "streaming.md"


@pytest.fixture
def start(recipe):
    """The initial state's gradient, with options of the recipe's `run`, of the steps up to one."""

    def gradient(until=None, **options):
        def loss(model):
            return ((recipe.run(model.whole, **options)[:, :until] - 1) ** 2).sum()

        return recipe.starts(loss)[""]

    return gradient


def test_chunks_give_the_outputs_of_the_whole(recipe):
    _, whole = recipe.gru()(recipe.x)
    assert_near(recipe.outputs, whole, 1e-6)
    assert_near(recipe.run(recipe.bound().whole, chunks=1), whole, 1e-6)


def test_and_its_gradient(start):
    whole = start(chunks=1)
    assert whole.all()
    assert_near(start(chunks=2), whole, 1e-5)


def test_cut_between_chunks_the_first_one_alone_trains_the_start(start):
    truncated = start(chunks=2, truncate=True)
    assert_near(truncated, start(chunks=2, until=4), 1e-5)
    assert not jnp.allclose(truncated, start(chunks=1), rtol=1e-3)
