"""Layouts are told apart by the names of their arrays. That they keep every bit, tests of files and `verify` check."""

import json
import struct
from dataclasses import replace

import jax.numpy  # noqa: F401  registers bfloat16
import numpy as np
import pytest
from safetensors.numpy import save_file
from support.cases import same_bits
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError, ParamsFileError
from trigru.common.parameters.layouts import CANONICAL, TORCH
from trigru.common.parameters.recognition import below, places_of, recognise
from trigru.common.parameters.record import (
    GRUParams,
    config_of,
    leaf_shapes,
    random_params,
)

KNOWN = [CANONICAL, TORCH]
PARAMS = random_params(GRUConfig(2, 3))
CONFIG = GRUConfig(4, 3)
LARGE = np.full(9, 3e38, "f4")


def torch_state(params, r=0.0, z=0.0):
    """A bare torch.nn.GRU's, with biases of the hidden side for r and z."""
    state = {
        name.removeprefix("gru."): array for name, array in TORCH.flat(params).items()
    }
    del state["initial_carry"]
    size = len(params.bias_n)
    state["bias_hh_l0"] = np.concatenate(
        [np.full(size, r, "f4"), np.full(size, z, "f4"), params.bias_n]
    )
    return state


@pytest.mark.parametrize(("added_r", "added_z"), [(0.1, -0.3), (0.0, 0.1)])
def test_torchs_two_biases_are_added_which_is_said(added_r, added_z):
    found, _, notes = recognise(torch_state(PARAMS, r=added_r, z=added_z), KNOWN)
    assert any("its two biases of r and of z are added" in note for note in notes)
    r, z, n = np.split(PARAMS.bias, 3)
    np.testing.assert_array_equal(
        found.bias,
        np.concatenate([r + np.float32(added_r), z + np.float32(added_z), n]),
    )
    again = TORCH.flat(found)
    assert not again["gru.bias_hh_l0"][:6].any()
    assert same_bits(recognise(again, KNOWN)[0], found), (
        "once summed, no later trip changes a bit"
    )


def test_torchs_biases_that_need_no_adding_keep_the_sign_of_zero():
    minus = PARAMS._replace(bias=-np.zeros(9, "f4"))
    found, _, notes = recognise(torch_state(minus), KNOWN)
    assert np.signbit(found.bias).all()
    assert notes == ("it has no initial_carry: the initial state is 0.",)


def test_what_is_absent_is_zero_and_said():
    bare = {
        name: array for name, array in torch_state(PARAMS).items() if "weight" in name
    }
    found, _, notes = recognise(bare, KNOWN)
    assert notes == (
        "it has no biases: they are 0.",
        "it has no initial_carry: the initial state is 0.",
    )
    assert same_bits(
        found, GRUParams(*PARAMS[:2], *(np.zeros(size, "f4") for size in (9, 3, 3)))
    )


@pytest.mark.parametrize("prefix", ["", "state_dict/rnn/gru/"])
def test_the_cell_may_be_anywhere_and_its_start_in_the_shape_that_torch_takes(prefix):
    moved = {prefix + name: array for name, array in torch_state(PARAMS).items()}
    found, layout, _ = recognise(
        moved | {"h.initial_carry": PARAMS.initial_carry[None, None]}, KNOWN
    )  # (1, 1, H)
    assert layout is TORCH
    assert same_bits(found, PARAMS)
    whole = {f"a.{name}": array for name, array in TORCH.flat(PARAMS).items()}
    assert [places_of(tree, KNOWN) for tree in (whole, whole | {"a.bias": 0})] == [
        ["a"],
        ["a.gru"],
    ]


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
    return lambda state: {
        name: array for name, array in (state | changes).items() if array is not None
    }


#: By the message, a change of a torch state.
@pytest.mark.parametrize(
    ("message", "change"),
    {
        "a GRU of several layers, and": lambda state: (
            state | {n.replace("_l0", "_l1"): a for n, a in state.items()}
        ),
        "torch: it is a bidirectional GRU, and": lambda state: (
            state | {f"{n}_reverse": a for n, a in state.items()}
        ),
        "as torch: it lacks weight_hh_l0": changed(weight_hh_l0=None),
        "as torch: it lacks bias_hh_l0": changed(bias_hh_l0=None),
        "Expected one layout's, in one place: canonical has weight_ih": changed(
            weight_ih_l0=None
        ),
        r"as torch: it lacks a\.weight_hh_l0\.$": lambda state: {
            f"a.{n}": state[n] for n in state if n != "weight_hh_l0"
        },
        r"as canonical: it has a\.bias_hh_l0, .* beside\.$": lambda state: {
            "a": state,
            "b": PARAMS._asdict(),
        },
        "as torch: it has h0 beside": changed(h0=np.ones(3, "f4")),
        "as torch: it has 2 cells, at a, the top": lambda state: (
            state | {f"a.{n}": a for n, a in state.items()}
        ),
        r"has two arrays called a\.bias_ih_l0": lambda state: {
            "a": state,
            "a.bias_ih_l0": 0,
        },
        r"weight_hh_l0 has shape \(12, 3\), expected \(9, 3\)": changed(
            weight_hh_l0=np.ones((12, 3), "f4")
        ),
        r"weight_ih_l0 has shape \(9, 2\), expected \(\d+, 2\)": changed(
            weight_hh_l0=np.ones((0, 2**58), "f4")
        ),
        r"weight_ih_l0 has shape \(9,\), expected an array of two axes": changed(
            weight_ih_l0=np.ones(9, "f4")
        ),
        r"initial_carry has shape \(2, 1, 3\), expected \(3,\)": changed(
            initial_carry=np.ones((2, 1, 3), "f4")
        ),
        "bias_ih_l0 has dtype float64, but weight_ih_l0 has float32": changed(
            bias_ih_l0=np.ones(9)
        ),
        "bias_hh_l0 has values that are not finite": changed(
            bias_hh_l0=np.full(9, np.nan, "f4")
        ),
        "as torch: bias has .* not finite: a sum is": changed(
            **dict.fromkeys(("bias_ih_l0", "bias_hh_l0"), LARGE)
        ),
        "has dtype bfloat16, expected float16": lambda state: {
            n: a.astype("bfloat16") for n, a in state.items()
        },
        "bias_hh_l0 is no array that NumPy can hold: Unwilling": changed(
            bias_hh_l0=Unwilling()
        ),
    }.items(),
)
def test_what_is_no_gru_is_refused_by_name(message, change):
    with pytest.raises(InputError, match=message):
        recognise(change(torch_state(PARAMS)), KNOWN)


#: By the names of what is missing, a layout and a change of its arrays.
@pytest.mark.parametrize(
    ("names", "layout", "changes"),
    [
        ("weight_hh, bias_n", CANONICAL, {"weight_hh": None, "bias_n": None}),
        ("gru.bias_ih_l0", TORCH, {"gru.bias_ih_l0": None}),
    ],
)
def test_a_layout_names_all_that_is_missing(names, layout, changes):
    with pytest.raises(InputError, match=f"^lacks {names}\\.$"):
        layout.check(changed(**changes)(layout.flat(PARAMS)))


@pytest.mark.parametrize("name", ["h0", "/h0/"])
def test_one_name_for_two_arrays_is_refused(name):
    with pytest.raises(InputError, match="has one name for two arrays of a GRU"):
        below({"h0": np.ones(3)}, "", {"bias_n": "h0", "initial_carry": name})


def test_what_two_layouts_call_the_same_must_be_said():
    twin = replace(TORCH, name="twin")
    with pytest.raises(InputError, match="those of torch and twin alike"):
        recognise(torch_state(PARAMS), [TORCH, twin])
    assert recognise(torch_state(PARAMS), [twin])[1] is twin


def test_random_params_hide_nothing():
    params = random_params(GRUConfig(7, 5))
    least = 0.25 * 5**-0.5 * (1 - 1e-6)
    for name, array in params._asdict().items():
        magnitudes = np.abs(array)
        assert magnitudes.min() >= least, name
        assert len(np.unique(magnitudes)) == array.size, name
        assert (array > 0).any(), name
        assert (array < 0).any(), name


@pytest.mark.parametrize(
    ("message", "arrays"),
    {
        r"bias_n has shape \(4,\), expected \(3,\): weight_ih and weight_hh have 4": {
            "bias_n": np.ones(4, "f4")
        },
        "dtype int32, expected float16, float32 or": {
            n: np.ones(s, "i4") for n, s in leaf_shapes(4, 3).items()
        },
        "has the tensors bias, bias_n, extra, initial_carry": {
            "extra": np.ones(1, "f4")
        },
        r"weight_ih has shape \(9, 0\), expected \(9, 0\) with at least one": {
            "weight_ih": np.ones((9, 0), "f4")
        },
    }.items(),
)
def test_a_file_with_other_contents_is_refused(tmp_path, message, arrays):
    path = tmp_path / "gru.safetensors"
    save_file(random_params(CONFIG)._asdict() | arrays, path)
    with pytest.raises(ParamsFileError, match=message):
        GRUParams.open(path)


def test_a_missing_file_and_a_dtype_that_numpy_lacks_are_named(tmp_path):
    torch = {"bias": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    header = json.dumps(torch).encode()
    (tmp_path / "p").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(
        ParamsFileError, match="has dtype 'BF16', expected F16, F32 or F64"
    ):
        GRUParams.open(tmp_path / "p")
    with pytest.raises(
        ParamsFileError,
        match="absent: No such file or directory. Pass a safetensors file",
    ):
        GRUParams.open(tmp_path / "absent")


def test_bad_parameters_are_not_written_and_leave_nothing_behind(tmp_path):
    params = random_params(CONFIG)
    with pytest.raises(
        InputError, match="not saved: bias has values that are not finite"
    ):
        params._replace(bias=np.full(9, np.nan, "f4")).save(tmp_path / "p")
    with pytest.raises(
        InputError, match="bfloat16, expected float16, float32 or float64"
    ):
        GRUParams(*(p.astype("bfloat16") for p in params)).save(tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_of_what_is_none_is_said(unchecked):
    with pytest.raises(
        InputError, match="weight_ih is a list, expected an array of two axes"
    ):
        config_of(random_params(CONFIG)._replace(weight_ih=[[1.0]]))
    with pytest.raises(
        InputError, match=r"weight_hh has shape \(9,\), expected an array of two axes"
    ):
        config_of(random_params(CONFIG)._replace(weight_hh=np.ones(9, "f4")))
    with pytest.raises(InputError, match="parameters are a dict, expected GRUParams"):
        config_of(random_params(CONFIG)._asdict())
