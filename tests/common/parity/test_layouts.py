"""Laws of layouts: what is converted is given back, and pieces of what is joined are
the parts.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trigru.common.errors import InputError
from trigru.common.parity.layouts import Leaf, Transform, joined, piece, whole
from trigru.common.parity.matching import match

AXES = st.integers(1, 4)
SHAPES = st.lists(AXES, min_size=1, max_size=3).map(tuple)


def filled(shape, seed):
    return (
        np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(1, *shape)
        + 1000.0 * seed
    )


@st.composite
def conversions(draw):
    """A function of layouts, its arguments, the shapes of the reference's leaves, and a
    number to choose by.
    """
    of = draw(SHAPES)
    to = draw(st.permutations(of).map(tuple))
    axis, k, number = (
        draw(st.integers(0, len(to) - 1)),
        draw(st.integers(2, 3)),
        draw(st.integers(0, 1000)),
    )
    longer = (*to[:axis], k * to[axis], *to[axis + 1 :])
    other, both = (
        (*to[:axis], n, *to[axis + 1 :]) for n in (to[axis] + 1, 2 * to[axis] + 1)
    )
    options = [
        (whole, (0, of, to), [of], number),
        (joined, (range(k), [of] * k, longer), [of] * k, number),
        (joined, ((0, 1), [to, other], both), [to, other], number),
        (piece, (0, longer, to, number % k, k), [longer], number),
    ]
    return draw(st.sampled_from(options))


@given(conversions())
def test_giving_back_is_the_transpose_of_converting(drawn):
    function, arguments, shapes, number = drawn
    options = function(*arguments)
    layout = options[number % len(options)]
    leaves = [filled(shape, seed) for seed, shape in enumerate(shapes)]
    converted = layout.convert(leaves)
    gradient = np.random.default_rng(9).normal(size=converted.shape)
    totals = [np.zeros((1, *shape)) for shape in shapes]
    layout.give_back(gradient, totals)
    inside = sum(
        (leaf * total).sum() for leaf, total in zip(leaves, totals, strict=True)
    )
    np.testing.assert_allclose((converted * gradient).sum(), inside, rtol=1e-9)
    assert len(np.unique(converted)) == converted.size, "a number is there twice"


@given(SHAPES, st.data())
def test_a_piece_of_what_is_joined_is_the_part(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    k = data.draw(st.integers(2, 4))
    together = (*shape[:axis], k * shape[axis], *shape[axis + 1 :])
    parts = [filled(shape, seed) for seed in range(k)]
    whole_leaf = np.concatenate(parts, axis + 1)
    assert any(
        np.array_equal(way.convert(parts), whole_leaf)
        for way in joined(range(k), [shape] * k, together)
    )
    for number, part in enumerate(parts):
        ways = piece(0, together, shape, number, k)
        assert any(np.array_equal(way.convert([whole_leaf]), part) for way in ways)


@given(SHAPES, st.data())
def test_each_transposition_is_an_option(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    leaf = filled(shape, 0)
    moved = leaf.transpose(0, *[n + 1 for n in order])
    for source in (leaf, leaf.reshape(1, -1)):
        options = whole(0, source.shape[1:], moved.shape[1:])
        assert any(
            np.array_equal(option.convert([source]), moved) for option in options
        )
        assert len({option.key for option in options}) == len(options)


def test_a_mapping_that_names_a_leaf_twice_is_refused():
    leaves = [Leaf("layer/kernel", (2, 3))]
    with pytest.raises(InputError, match="names 'layer/kernel' twice"):
        match(
            leaves, leaves, {"layer.kernel": "layer/kernel", "kernel": "layer/kernel"}
        )
    (rounded,) = match(leaves, leaves, {"kernel": ("kernel", np.rint)})
    assert isinstance(rounded.layout, Transform), "it keeps whole numbers alone"


def test_biases_of_eight_are_joined_beside_their_kernels():
    apart = [
        Leaf(f"cell/{side}{gate}/kernel", (4 if side == "i" else 5, 5))
        for side in "ih"
        for gate in "ifgo"
    ]
    apart += [Leaf(f"cell/{side}{gate}/bias", (5,)) for side in "ih" for gate in "ifgo"]
    fused = [Leaf(f"weight_{side}h", (20, 4 if side == "i" else 5)) for side in "ih"]
    fused += [Leaf(f"bias_{side}h", (20,)) for side in "ih"]
    assert all(
        m.layout is not None
        for pair in ((apart, fused), (fused, apart))
        for m in match(*pair)
    )


def test_a_leaf_of_one_model_alone_shifts_no_block():
    reference, candidate = [], [Leaf("tokens", (4, 6), used=(0, 0))]
    for block in range(2):
        used = (block + 1, 0)
        reference.append(Leaf(f"blocks/{block}/fc1/bias", (24,), used=used))
        candidate.append(Leaf(f"blocks/0/blocks/{block}/fc1/bias", (24,), used=used))
    alone, *blocks = match(reference, candidate)
    assert alone.layout is None
    assert [m.layout.sources for m in blocks if m.layout] == [(0,), (1,)]
