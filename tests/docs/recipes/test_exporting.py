"""A model in a file of `jax.export`."""

import jax
import pytest
from jax import export
from support.arrays import assert_near

RECIPE = "exporting.md"


@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 7, 4)])
def test_batches_and_sequences_of_any_length_run(recipe, shape):
    loaded = export.deserialize(bytearray((recipe.folder / "gru.bin").read_bytes()))
    x = jax.random.normal(jax.random.key(1), shape)
    for found, expected in zip(loaded.call(x), recipe.gru()(x), strict=True):
        assert_near(found, expected, 1e-6)


def test_it_runs_where_it_was_loaded(recipe):
    assert (recipe.carry.shape, recipe.outputs.shape) == ((3, 8), (3, 7, 8))
