"""Writes a candidate with the reference's parameters to a file of its framework."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...common.errors import InputError, listed
from ...common.files import write_whole
from ...common.parity.model import Model, in_dtypes_of, is_float, leaves_of
from ...common.parity.record import Comparison


def save(path: Path, model: Model, comparison: Comparison) -> None:
    """Write the candidate of a comparison with the reference's values, in its own dtypes, whole or not at all.

    A safetensors file has each array under its path. A msgpack file is read by `flax.serialization`: it has the
    variables of a linen module, or `nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngState)))` of an NNX module. An
    eqx file is read by `equinox.tree_deserialise_leaves`: it has the model, or the pair of the model and its state.

    Raises:
        InputError: no format of the model has this suffix, or leaves of the candidate have no partner.
        OSError: it cannot be written.
    """
    check_suffix(path, model)
    if missing := comparison.parameters.only_candidate:
        raise InputError(
            f"{path} is not written: the reference has no values for {listed(missing)}. A mapping may tell which they "
            "are."
        )
    params, state = (
        leaves_of(tree)[2](in_dtypes_of(tree, values))
        for tree, values in ((model.params, comparison.converted), (model.state, comparison.converted_state))
    )
    _, content = FORMATS[path.suffix.lower()]
    write_whole(path, content(model, params, state))


def check_suffix(path: Path, model: Model) -> None:
    """Raise an InputError if no format of the model has the suffix of a file."""
    known = [suffix for suffix, (frameworks, _) in FORMATS.items() if model.framework in frameworks]
    if path.suffix.lower() not in known:
        raise InputError(
            f"{path}: {model.name} cannot be saved with the suffix {path.suffix!r}, expected {' or '.join(known)}."
        )


def _safetensors(model: Model, params: Any, state: Any) -> bytes:
    from safetensors.numpy import save as content

    arrays: dict[str, np.ndarray] = {}
    for tree in (params, state):
        values = [np.asarray(leaf) for leaf in jax.tree.leaves(tree) if is_float(leaf)]
        for leaf, value in zip(leaves_of(tree)[0], values, strict=True):
            arrays[f"state/{leaf.path}" if leaf.path in arrays else leaf.path] = np.ascontiguousarray(value)
    return content(arrays, metadata={"format": "np"})


def _msgpack(model: Model, params: Any, state: Any) -> bytes:
    from flax.serialization import to_bytes

    return to_bytes(model.whole(params, state))


def _eqx(model: Model, params: Any, state: Any) -> bytes:
    import equinox as eqx

    buffer = io.BytesIO()
    params, state = jax.tree.map(lambda a: jnp.asarray(a) if isinstance(a, np.ndarray) else a, (params, state))
    eqx.tree_serialise_leaves(buffer, model.whole(params, state))
    return buffer.getvalue()


#: By the suffix of a file, the frameworks whose models it may hold, and a function that gives its bytes.
FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Model, Any, Any], bytes]]] = {
    ".safetensors": (("", "linen", "nnx", "equinox", "torch"), _safetensors),
    ".msgpack": (("linen", "nnx"), _msgpack),
    ".eqx": (("equinox",), _eqx),
}
