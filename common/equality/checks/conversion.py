"""The check of parameters on their way: into a port and back, in layouts, and through a file."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError
from ...parameters.layouts import CANONICAL, TORCH, Layout, flatten
from ...parameters.record import GRUParams, config_of, random_params
from ...port.protocol import Port
from .check import PARAMS, Trial


def _with_negative_zero(array: np.ndarray) -> np.ndarray:
    """An array whose first number is -0.0, whose sign an addition loses."""
    changed = array.copy()
    changed.flat[0] = -0.0
    return changed


#: One has a -0.0, one has one unit, so that no shape tells axes apart, and there is one in each dtype of storage.
RECORDS = (
    jax.tree.map(_with_negative_zero, PARAMS),
    random_params(GRUConfig(1, 1)),
    random_params(GRUConfig(2, 3, param_dtype="float32")),
    random_params(GRUConfig(2, 3, param_dtype="bfloat16")),
    random_params(GRUConfig(2, 3, param_dtype="float16")),
)


def conversions(port: Port) -> Iterator[Trial]:
    """Dumped parameters keep their bits through both layouts and the port's own, and through a file."""
    for params in RECORDS:
        config = config_of(params)
        dumped: Any = port.dump(port.load(config, params))
        for array in dumped:
            if not isinstance(array, np.ndarray):
                raise DefectError("dump gives other arrays than NumPy's.")
        what = f"{config.param_dtype} parameters of {config.hidden_size} units"
        for name, convert in _conversions(port, config).items():
            yield Trial(f"{what} {name}", partial(convert, dumped), params, None)


def _conversions(
    port: Port, config: GRUConfig
) -> dict[str, Callable[[GRUParams], GRUParams]]:
    """Ways from a record to the same one, by name."""
    port_layout = getattr(port, "layout", CANONICAL)
    ways: dict[str, Callable[[GRUParams], GRUParams]] = {"dumped": _unchanged}
    for layout in (CANONICAL, TORCH, port_layout):
        ways[f"in the layout {layout.name}"] = partial(_through_layout, layout)
    as_tree = partial(_through_tree, port_layout)
    ways[f"in the layout {port_layout.name} as a tree"] = as_tree
    if config.param_dtype != "bfloat16":  # which no file holds
        ways["in a file"] = _through_file
    return ways


def _unchanged(params: GRUParams) -> GRUParams:
    return params


def _through_layout(layout: Layout, params: GRUParams) -> Any:
    arrays = layout.flat(params)
    if config_of(params).param_dtype != "bfloat16":
        layout.check(arrays)
    return layout.record(arrays)


def _through_tree(layout: Layout, params: GRUParams) -> Any:
    return layout.record(flatten(layout.tree(params)))


def _through_file(params: GRUParams) -> GRUParams:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gru.safetensors"
        params.save(path)
        return GRUParams.open(path)
