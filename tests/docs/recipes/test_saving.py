"""Parameters that come back from a file."""

from support.arrays import same_bits
from support.recipes import Recipe
from trigru.common import GRUParams
from trigru.common.parameters.layouts import flatten
from trigru.impls import get_port

RECIPE = "saving.md"


def dumped(recipe, tree):
    return get_port(recipe.framework).layout.record(flatten(tree))


def test_every_bit_comes_back(recipe: Recipe):
    assert recipe.flat["initial_carry"].any()
    expected = dumped(recipe, recipe.tree)
    assert same_bits(dumped(recipe, recipe.restored), expected)
    assert same_bits(dumped(recipe, recipe.opened), expected)


def test_the_safetensors_file_has_the_canonical_record(recipe: Recipe):
    found = GRUParams.open(str(recipe.folder / "gru.safetensors"))
    assert same_bits(found, dumped(recipe, recipe.tree))
