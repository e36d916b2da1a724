"""Canonical parameters, in memory and on disk."""

import json
import re
import struct

import jax.numpy  # noqa: F401  registers bfloat16
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from trigru.common.config import GRUConfig
from trigru.common.errors import InputError, ParamsFileError
from trigru.common.parameters.record import GRUParams, check_params, config_of, leaf_shapes, leaves, random_params

CONFIG = GRUConfig(4, 3)


@pytest.fixture
def path(tmp_path):
    """A good file."""
    path = tmp_path / "gru.safetensors"
    random_params(CONFIG).save(path)
    return path


def test_random_params_hide_nothing():
    for name, array in leaves(random_params(GRUConfig(7, 5, classes=3))).items():
        assert np.abs(array).min() >= 0.25 * 5**-0.5 * (1 - 1e-6), name
        assert len(np.unique(np.abs(array))) == array.size, name
        assert (array > 0).any(), name
        assert (array < 0).any(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias_n": np.ones(4, "f4")}, r"weight_ih has shape \(9, 4\), expected \(12, 4\): .* hidden_size 4"),
        ({"bias": np.full(9, np.nan, "f4")}, "bias has values that are not finite"),
        ({n: np.ones(s, "i4") for n, s in leaf_shapes(4, 3).items()}, "dtype int32, expected float16, float32 or"),
        ({"extra": np.ones(1, "f4")}, "has the tensors bias, bias_n, extra, initial_carry"),
        ({"weight_ih": np.ones(9, "f4")}, "weight_ih must have two axes"),
    ],
)
def test_a_file_with_other_contents_is_refused(path, changes, message):
    save_file({**load_file(path), **changes}, path)
    with pytest.raises(ParamsFileError, match=message):
        GRUParams.open(path)


def test_a_missing_file_and_a_dtype_that_numpy_lacks_are_named(tmp_path):
    torch = {"bias": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    header = json.dumps(torch).encode()
    (tmp_path / "p").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ParamsFileError, match="has dtype 'BF16', expected F16, F32 or F64"):
        GRUParams.open(tmp_path / "p")
    with pytest.raises(ParamsFileError, match="absent: No such file or directory. Pass a safetensors file"):
        GRUParams.open(tmp_path / "absent")


def test_bad_parameters_are_not_written_and_leave_nothing_behind(tmp_path):
    params = random_params(CONFIG)
    with pytest.raises(InputError, match="not saved: bias has values that are not finite"):
        params._replace(bias=np.full(9, np.nan, "f4")).save(tmp_path / "p")
    with pytest.raises(InputError, match="bfloat16, expected float16, float32 or float64"):
        GRUParams(*(p.astype("bfloat16") for p in params)).save(tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


def test_parameters_must_fit_the_configuration(unchecked):
    check_params(random_params(CONFIG), CONFIG)
    for config, message in (
        (GRUConfig(5, 3), r"weight_ih has shape \(9, 4\), expected \(9, 5\)"),
        (GRUConfig(4, 3, param_dtype="float64"), "dtype float32, expected float64"),
        (GRUConfig(4, 3, classes=2), "expected ClassifierParams"),
    ):
        with pytest.raises(InputError, match=message):
            check_params(random_params(CONFIG), config)
    with pytest.raises(InputError, match="bias is a list, expected an array. Convert it with np.asarray"):
        check_params(random_params(CONFIG)._replace(bias=[0.0] * 9), CONFIG)


def test_the_configuration_of_what_is_none_is_said(unchecked):
    for changes, message in (
        ({"weight_ih": np.ones(9, "f4")}, "weight_ih is an array of shape (9,), expected an array of 2 axes"),
        ({"weight_hh": [[1.0]]}, "weight_hh is a list, expected an array of 2 axes"),
        ({"bias_n": np.float32(1)}, "bias_n is an array of shape (), expected an array of 1 axes"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            config_of(random_params(CONFIG)._replace(**changes))
    with pytest.raises(InputError, match="parameters are a dict, expected GRUParams"):
        config_of(random_params(CONFIG)._asdict())
