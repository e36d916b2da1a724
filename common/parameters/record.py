"""Canonical parameters: the one layout that every port loads and dumps, bit for bit.

With D inputs, H units, and the gates stacked in the order r, z, n (Equinox's and
torch's layout and names):

    field           shape     in the equations of `trigru.common.equality.oracle`
    weight_ih       (3H, D)   W_ir, W_iz, W_in
    weight_hh       (3H, H)   W_hr, W_hz, W_hn
    bias            (3H,)     b_ir, b_iz, b_in
    bias_n          (H,)      b_hn
    initial_carry   (H,)      the learned initial state

Gradients use the same record. On disk it is a safetensors file with these five names.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config import GRUConfig
from ..errors import InputError, ParamsFileError, brief
from ..files import read_whole, write_whole

MATRICES = ("weight_ih", "weight_hh")  # whose columns are D and H


class GRUParams(NamedTuple):
    """Parameters, or gradients, of one GRU in canonical layout. A JAX pytree.

    >>> params = random_params(GRUConfig(input_size=2, hidden_size=3))
    >>> {name: array.shape for name, array in params._asdict().items()}
    {'weight_ih': (9, 2), 'weight_hh': (9, 3), 'bias': (9,), 'bias_n': (3,),
     'initial_carry': (3,)}
    """

    weight_ih: Any  # (3H, D)
    weight_hh: Any  # (3H, H)
    bias: Any  # (3H,)
    bias_n: Any  # (H,)
    initial_carry: Any  # (H,)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all; one that exists is replaced.

        Raises:
            InputError: a field is mis-shaped, not finite, or none of float16, float32
                and float64.
        """
        tensors = {name: np.asarray(array) for name, array in self._asdict().items()}
        try:
            _check_tensors(tensors)
        except InputError as error:
            raise InputError(f"parameters not saved: {error}") from error
        write_whole(Path(path), tensors_content(tensors, "GRUParams"))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "GRUParams":
        """Read a safetensors file into NumPy arrays.

        `save` wrote it, or any program that uses the five names.

        Raises:
            ParamsFileError: the file is missing, truncated, or holds other names,
                shapes, dtypes or values than a GRU's parameters.
        """
        try:
            tensors = tensors_of(read_whole(Path(path)))
            _check_tensors(tensors)
        except OSError as error:
            hint = "Pass a safetensors file of a GRU's parameters."
            raise ParamsFileError(f"{path}: {error.strerror}. {hint}") from error
        except InputError as error:
            raise ParamsFileError(f"{path}: {error}") from error
        return cls(**tensors)


def leaves(params: GRUParams) -> dict[str, Any]:
    """The arrays of a canonical record by name."""
    return params._asdict()


def from_leaves(arrays: Mapping[str, Any]) -> GRUParams:
    """The inverse of `leaves`."""
    return GRUParams(*(arrays[name] for name in GRUParams._fields))


def leaf_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each field of GRUParams, for D = input_size and H = hidden_size."""
    D, H = input_size, hidden_size
    return {
        "weight_ih": (3 * H, D),
        "weight_hh": (3 * H, H),
        "bias": (3 * H,),
        "bias_n": (H,),
        "initial_carry": (H,),
    }


def random_params(config: GRUConfig, seed: int = 0) -> GRUParams:
    """Draw parameters: NumPy arrays of dtype param_dtype.

    Magnitudes are uniform in [0.25, 1] / sqrt(H) with a random sign, also of biases:
    zeros hide a missing bias, and constants hide a transpose or a swap of gates.
    """
    rng = np.random.default_rng(seed)
    scale = config.hidden_size**-0.5

    arrays = {}
    for name, shape in leaf_shapes(config.input_size, config.hidden_size).items():
        magnitudes = rng.uniform(0.25 * scale, scale, shape)
        signs = rng.choice([-1.0, 1.0], shape)
        arrays[name] = (magnitudes * signs).astype(config.param_dtype)
    return GRUParams(*(arrays[name] for name in GRUParams._fields))


def check_params(params: GRUParams, config: GRUConfig) -> None:
    """Raise InputError unless the parameters fit the configuration.

    They fit if their kind, shapes and dtypes are those that it says.

    >>> check_params(random_params(GRUConfig(2, 3)), GRUConfig(2, 4))
    Traceback (most recent call last):
    trigru.common.errors.InputError: weight_ih has shape (9, 2), expected (12, 2):
        input_size 2, hidden_size 4.
    """
    _check_kind(params)
    D, H = config.input_size, config.hidden_size
    why = f": input_size {D}, hidden_size {H}"
    check_arrays(params._asdict(), leaf_shapes(D, H), why, config.param_dtype)


def config_of(params: GRUParams, **options: Any) -> GRUConfig:
    """The configuration with which a port loads parameters.

    Args:
        params: which tell the sizes and the dtype of the parameters.
        options: the other fields of GRUConfig.

    Raises:
        InputError: these are no parameters of a GRU, or have a matrix without two axes.

    >>> config_of(random_params(GRUConfig(2, 3))).hidden_size
    3
    """
    _check_kind(params)
    input_size = columns_of("weight_ih", params.weight_ih)
    hidden_size = columns_of("weight_hh", params.weight_hh)
    param_dtype = str(params.weight_ih.dtype)
    return GRUConfig(input_size, hidden_size, param_dtype=param_dtype, **options)


def _check_kind(params: Any) -> None:
    if not isinstance(params, GRUParams):
        kind = type(params).__name__
        raise InputError(f"parameters are a {kind}, expected GRUParams.")


def columns_of(name: str, matrix: Any) -> int:
    """The columns of an array.

    Raises an InputError with its name unless it has two axes.
    """
    if getattr(matrix, "ndim", None) == 2:
        return matrix.shape[1]
    if hasattr(matrix, "shape"):
        problem = f"has shape {matrix.shape}"
    else:
        problem = f"is a {type(matrix).__name__}"
    raise InputError(f"{name} {problem}, expected an array of two axes.")


def check_arrays(
    arrays: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    why: str = "",
    dtype: str | None = None,
) -> None:
    """Raise InputError unless arrays have these shapes and one dtype.

    A shape without entries is refused, too. Where no dtype is given, the arrays are
    NumPy's, of whatever floating-point dtype, and their values are finite.
    """
    first = next(iter(shapes))
    for name, shape in shapes.items():
        problem = _problem_of_shape(arrays[name], shape, why)
        if not problem and dtype is not None:
            problem = _problem_of_dtype(arrays[name], dtype)
        elif not problem:
            problem = _problem_of_values(arrays[name], first, arrays[first])
        if problem:
            raise InputError(f"{name} {problem}")


def _problem_of_shape(array: Any, shape: tuple[int, ...], why: str) -> str:
    if not hasattr(array, "dtype"):
        kind = type(array).__name__
        return f"is a {kind}, expected an array. Convert it with np.asarray."
    if 0 in shape:
        return (
            f"has shape {array.shape}, expected {shape} with at least one entry{why}."
        )
    if array.shape != shape:
        return f"has shape {array.shape}, expected {shape}{why}."
    return ""


def _problem_of_dtype(array: Any, dtype: str) -> str:
    if str(array.dtype) == dtype:
        return ""
    return f"has dtype {array.dtype}, expected {dtype}. Convert it, or set param_dtype."


def _problem_of_values(array: np.ndarray, first: str, first_array: np.ndarray) -> str:
    """What is wrong with the dtype or the values of an array; "" for nothing.

    Its dtype is to be that of the first array.
    """
    if array.dtype != first_array.dtype:
        dtypes = f"has dtype {array.dtype}, but {first} has {first_array.dtype}"
        return f"{dtypes}: expected one dtype."
    if array.dtype.name not in ("float16", "float32", "float64"):
        return (
            f"has dtype {array.dtype}, expected float16, float32 or float64. "
            "Convert it."
        )
    if not np.isfinite(array).all():
        return "has values that are not finite (NaN or infinity)."
    return ""


def _check_tensors(tensors: Mapping[str, np.ndarray]) -> None:
    """Raise InputError unless these are a GRU's parameters."""
    expected = sorted(GRUParams._fields)
    names = sorted(tensors)
    if names != expected:
        has = ", ".join(names) or "none"
        raise InputError(f"has the tensors {has}, expected {', '.join(expected)}.")
    D, H = (columns_of(name, tensors[name]) for name in MATRICES)
    why = f": weight_ih and weight_hh have {D} and {H} columns"
    check_arrays(tensors, leaf_shapes(D, H), why)


def tensors_of(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file.

    Raises an InputError if it is damaged, or has a dtype that NumPy lacks.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except KeyError as error:
        raise InputError(
            f"has dtype {error}, expected F16, F32 or F64. Convert it."
        ) from error
    except (SafetensorError, ValueError, TypeError) as error:
        reason = f"not a readable safetensors file ({brief(error)})"
        raise InputError(f"{reason}. It may be truncated; write it again.") from error


def tensors_content(tensors: Mapping[str, np.ndarray], kind: str) -> bytes:
    """A safetensors file of arrays, with their kind in its metadata."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return save(contiguous, metadata={"format": f"trigru.{kind}", "version": "1"})
