"""Safetensors files: arrays by name, without pickle."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import ParamsFileError, brief
from ..files import read_whole, write_whole


def read_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file.

    Raises:
        ParamsFileError: the file is missing or truncated, or holds a dtype that NumPy lacks.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(read_whole(Path(path)))
    except OSError as error:
        raise ParamsFileError(f"{path}: {error.strerror}. Pass a safetensors file of a GRU's parameters.") from error
    except KeyError as error:
        raise ParamsFileError(f"{path}: has dtype {error}, expected F16, F32 or F64. Convert it.") from error
    except (SafetensorError, ValueError, TypeError) as error:
        raise ParamsFileError(
            f"{path}: not a readable safetensors file ({brief(error)}). It may be truncated; write it again."
        ) from error


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], kind: str) -> None:
    """Write a safetensors file, whole or not at all, which says of what kind its arrays are."""
    from safetensors.numpy import save

    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    write_whole(Path(path), save(contiguous, metadata={"format": f"trigru.{kind}", "version": "1"}))
