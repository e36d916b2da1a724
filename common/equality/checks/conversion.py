"""The check of parameters on their way: into a port and back, in trigru's own layout and torch's, and through a file.

`trigru convert` and checkpoints go through these layouts. Each value has to keep its bits and its place.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...parameters.layouts import CANONICAL, TORCH, flatten
from ...parameters.record import GRUParams, config_of, leaves, random_params
from ...port.protocol import Params, Port
from ..cases import OF_READOUT, PARAMS
from .check import Part

#: Records with a -0.0, whose sign an addition loses; of one unit, of which no shape tells axes apart; and in each dtype
#: of storage.
RECORDS: tuple[Params, ...] = (
    *(jax.tree.map(lambda p: np.where(np.arange(p.size).reshape(p.shape) == 0, -0.0, p), params)
      for params in (PARAMS, OF_READOUT)),
    random_params(GRUConfig(1, 1)),
    *(random_params(GRUConfig(2, 3, param_dtype=dtype)) for dtype in ("float32", "bfloat16", "float16")),
)  # fmt: skip


def _require_bits(port: Port) -> None:
    """Dumped parameters keep their bits through both layouts and the port's own, and through a file."""
    for params in RECORDS:
        is_gru = isinstance(params, GRUParams)
        with suppress(*() if is_gru else (NotOfferedError,)):
            for way, found in _ways(port, params):
                if _facts(found) != _facts(params):
                    config = config_of(params)
                    kind = "parameters" if is_gru else "a classifier's parameters"
                    raise DefectError(f"{config.param_dtype} {kind} of {config.hidden_size} units change in {way}.")


def _ways(port: Port, params: Params) -> Iterator[tuple[str, Params]]:
    """Parameters that went some way, with its name."""
    config = config_of(params)
    dumped = port.dump(port.load(config, params))
    if others := {name: type(array).__name__ for name, array in leaves(dumped).items()
                  if not isinstance(array, np.ndarray)}:  # fmt: skip
        raise DefectError(f"dump gives no arrays of NumPy: {others}.")
    yield "dump", dumped
    in_files = config.param_dtype != "bfloat16"  # which no file holds
    own = getattr(port, "layout", CANONICAL)
    for layout in (CANONICAL, TORCH, own):
        arrays = layout.flat(dumped)
        shapes = {name: array.shape for name, array in arrays.items()}
        expected = layout.shapes(config.input_size, config.hidden_size, config.classes)
        if problem := (in_files and layout.problem(arrays)) or (
            shapes != expected and f"shapes {shapes}, expected {expected}"
        ):
            raise DefectError(f"in the {layout.name} layout: {problem}.")
        yield f"the layout {layout.name}", layout.record(arrays)
    yield f"the layout {own.name} as a tree", own.record(flatten(own.tree(dumped)))
    if isinstance(dumped, GRUParams) and in_files:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gru.safetensors"
            dumped.save(path)
            yield "a file", GRUParams.open(path)


def _facts(params: Any) -> dict[str, Any]:
    """The name, dtype, shape and bits of each array of a record."""
    arrays = {name: np.asarray(array) for name, array in leaves(params).items()}
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


PARTS = (Part(_require_bits),)
