"""Writes the candidate of a comparison, with the reference's values, to a file."""

import io
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.errors import InputError, listed
from ...common.files import write_whole
from ...common.parity.report import Comparison
from ...common.program.model import Model, in_dtypes_of, is_float, leaves_of

#: The frameworks whose models a file may hold, by its suffix; "" is plain JAX.
FORMATS = {
    ".safetensors": ("", "linen", "nnx", "equinox", "torch"),
    ".msgpack": ("linen", "nnx"),
    ".eqx": ("equinox",),
}


def save_candidate(path: Path, model: Model, comparison: Comparison) -> None:
    """Write the candidate of a comparison, with the reference's values.

    They are in the candidate's dtypes. The file is written whole or not at all. What is
    in it depends on its suffix:

    - A safetensors file has each array under its path.
    - A msgpack file is read by `flax.serialization`. It has the variables of a linen
      module, or, of an NNX module,
      `nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngState)))`.
    - An eqx file is read by `equinox.tree_deserialise_leaves`. It has the model, or the
      pair of the model and its state.

    Raises:
        InputError: no format of the model has this suffix, or leaves of the candidate
            have no partner.
        OSError: it cannot be written.
    """
    check_suffix(path, model)
    missing = comparison.parameters.only_candidate
    if missing:
        raise InputError(
            f"{path} is not written: the reference has no values for "
            f"{listed(missing)}. A mapping may tell which they are."
        )
    params = _with_values(model.params, comparison.converted)
    state = _with_values(model.state, comparison.converted_state)
    write = _WRITERS[path.suffix.lower()]
    write_whole(path, write(model, params, state))


def check_suffix(path: Path, model: Model) -> None:
    """Raise an InputError if no format of the model has the suffix of a file."""
    suffixes = []
    for suffix, frameworks in FORMATS.items():
        if model.framework in frameworks:
            suffixes.append(suffix)
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"{path}: {model.name} cannot be saved with the suffix {path.suffix!r}, "
            f"expected {' or '.join(suffixes)}."
        )


def _with_values(tree: Any, values: Any) -> Any:
    _, _, rebuild = leaves_of(tree)
    return rebuild(in_dtypes_of(tree, values))


def _safetensors(model: Model, params: Any, state: Any) -> bytes:
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    for tree in (params, state):
        leaves, _, _ = leaves_of(tree)
        values = filter(is_float, jax.tree.leaves(tree))
        for leaf, value in zip(leaves, values, strict=True):
            name = f"state/{leaf.path}" if leaf.path in arrays else leaf.path
            arrays[name] = np.ascontiguousarray(value)
    return save(arrays, metadata={"format": "np"})


def _msgpack(model: Model, params: Any, state: Any) -> bytes:
    from flax.serialization import to_bytes

    return to_bytes(model.whole(params, state))


def _eqx(model: Model, params: Any, state: Any) -> bytes:
    import equinox as eqx

    def of_jax(leaf: Any) -> Any:
        return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf

    params, state = jax.tree.map(of_jax, (params, state))
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, model.whole(params, state))
    return buffer.getvalue()


_WRITERS = {".safetensors": _safetensors, ".msgpack": _msgpack, ".eqx": _eqx}
