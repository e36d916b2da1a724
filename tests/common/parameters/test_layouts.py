"""Layouts move values and keep their bits; recognition tells them apart by names."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arrays import same_bits
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError
from trigru.common.parameters.detection import recognise
from trigru.common.parameters.layouts import CANONICAL, TORCH
from trigru.common.parameters.record import config_of, random_params

KNOWN = [CANONICAL, TORCH]


@given(
    layout=st.sampled_from(KNOWN),
    sizes=st.tuples(*[st.integers(1, 4)] * 2),
    classes=st.none() | st.integers(1, 3),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_there_and_back_is_bit_for_bit(layout, sizes, classes, dtype, seed):
    config = GRUConfig(*sizes, classes, param_dtype=dtype)
    params = random_params(config, seed)
    flat = layout.flat(params)
    assert {name: array.shape for name, array in flat.items()} == layout.shapes(*sizes, classes)
    assert same_bits(layout.record(flat), params)
    found, recognised, notes = recognise(flat, KNOWN)
    assert same_bits(found, params)
    assert (recognised, notes) == (layout, ())
    assert config_of(found) == config


def torch_state(params, r=0.0, z=0.0):
    """A bare torch.nn.GRU's, with biases of the hidden side for r and z."""
    state = {name.removeprefix("gru."): array for name, array in TORCH.flat(params).items()}
    del state["initial_carry"]
    size = len(params.bias_n)
    state["bias_hh_l0"] = np.concatenate([np.full(size, r, "f4"), np.full(size, z, "f4"), params.bias_n])
    return state


PARAMS = random_params(GRUConfig(2, 3))


@pytest.mark.parametrize(("added_r", "added_z"), [(0.1, -0.3), (0.0, 0.1)])
def test_torchs_two_biases_are_added_which_is_said(added_r, added_z):
    found, _, notes = recognise(torch_state(PARAMS, r=added_r, z=added_z), KNOWN)
    assert any("its two biases of r and of z are added" in note for note in notes)
    r, z, n = np.split(PARAMS.bias, 3)
    np.testing.assert_array_equal(found.bias, np.concatenate([r + np.float32(added_r), z + np.float32(added_z), n]))
    again = TORCH.flat(found)
    assert not again["gru.bias_hh_l0"][:6].any()
    assert same_bits(recognise(again, KNOWN)[0], found), "once summed, no later trip changes a bit"


def test_torchs_biases_that_need_no_adding_keep_the_sign_of_zero():
    minus = PARAMS._replace(bias=-np.zeros(9, "f4"))
    found, _, notes = recognise(torch_state(minus), KNOWN)
    assert np.signbit(found.bias).all()
    assert notes == ("it has no initial_carry: the initial state is 0.",)


@pytest.mark.filterwarnings("error")
def test_biases_whose_sum_is_too_large_are_refused():
    large = PARAMS._replace(bias=np.full(9, 3e38, "f4"))
    with pytest.raises(InputError, match="bias has values that are not finite"):
        recognise(torch_state(large, r=3e38), KNOWN)


def test_what_is_absent_is_zero_and_said():
    bare = {name: array for name, array in torch_state(PARAMS).items() if "weight" in name}
    found, _, notes = recognise(bare, KNOWN)
    assert notes == ("it has no biases: they are 0.", "it has no initial_carry: the initial state is 0.")
    assert [(array.any(), str(array.dtype), array.shape) for array in found[2:]] == [
        (False, "float32", shape) for shape in ((9,), (3,), (3,))
    ]


@pytest.mark.parametrize("prefix", ["", "state_dict/rnn/gru/"])
def test_the_cell_may_be_anywhere_and_its_start_in_the_shape_that_torch_takes(prefix):
    moved = {prefix + name: array for name, array in torch_state(PARAMS).items()}
    found, layout, _ = recognise(moved | {"h.initial_carry": PARAMS.initial_carry[None, None]}, KNOWN)  # (1, 1, H)
    assert layout is TORCH
    assert same_bits(found, PARAMS)


def test_arrays_are_copies():
    """A torch optimiser changes its parameters in place."""
    tree = {name: array.copy() for name, array in CANONICAL.flat(PARAMS).items()}
    found, _, _ = recognise(tree, KNOWN)
    tree["bias"][:] = 7
    assert same_bits(found, PARAMS)


class Unwilling:
    def __array__(self, dtype=None, copy=None):
        raise TypeError("no")


def changed(**changes):
    """The state with other arrays, or without those that are None."""
    return lambda state: {name: array for name, array in (state | changes).items() if array is not None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state | {n.replace("_l0", "_l1"): a for n, a in state.items()}, "a GRU of several layers, and"),
        (lambda state: state | {f"{n}_reverse": a for n, a in state.items()}, "torch: it is a bidirectional GRU, and"),
        (changed(weight_hh_l0=None), "as torch: it lacks weight_hh_l0"),
        (changed(weight_ih_l0=None), r"Expected one layout's, in one place: canonical has weight_ih"),
        (changed(h0=np.ones(3, "f4")), "as torch: it has h0 beside"),
        (lambda state: state | {f"a.{n}": a for n, a in state.items()}, "as torch: it has 2 cells, at a, the top"),
        (lambda state: {"a": state, "a.bias_ih_l0": 0}, r"has two arrays called a\.bias_ih_l0"),
        (changed(weight_hh_l0=np.ones((12, 3), "f4")), r"weight_hh_l0 has shape \(12, 3\), expected \(9, 3\)"),
        (changed(weight_ih_l0=np.ones(9, "f4")), r"weight_ih_l0 has shape \(9,\), expected two axes"),
        (changed(initial_carry=np.ones((2, 1, 3), "f4")), r"initial_carry has shape \(2, 1, 3\), expected \(3,\)"),
        (changed(bias_ih_l0=np.ones(9)), "bias_ih_l0 has dtype float64, but weight_ih_l0 has float32"),
        (changed(bias_hh_l0=np.full(9, np.nan, "f4")), "bias_hh_l0 has values that are not finite"),
        (lambda state: {n: a.astype("bfloat16") for n, a in state.items()}, "has dtype bfloat16, expected float16"),
        (changed(bias_hh_l0=Unwilling()), "bias_hh_l0 is no array that NumPy can hold: Unwilling"),
        (changed(**{"readout.weight": np.ones((2, 3), "f4")}), "as torch: it lacks readout.bias"),
        (
            changed(**{"readout.weight": np.ones((2, 4), "f4"), "readout.bias": np.ones(2, "f4")}),
            r"readout.weight has shape \(2, 4\), expected \(2, 3\)",
        ),
    ],
)
def test_what_is_no_gru_is_refused_by_name(change, message):
    import jax.numpy  # noqa: F401  registers bfloat16

    with pytest.raises(InputError, match=message):
        recognise(change(torch_state(PARAMS)), KNOWN)


def test_what_two_layouts_call_the_same_must_be_said():
    twin = replace(TORCH, name="twin")
    with pytest.raises(InputError, match="has the arrays of torch and twin alike"):
        recognise(torch_state(PARAMS), [TORCH, twin])
    assert recognise(torch_state(PARAMS), [twin])[1] is twin
