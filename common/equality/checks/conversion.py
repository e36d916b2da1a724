"""The check of parameters on their way: into a port and back, in trigru's own layout and torch's, and through a file.

`trigru convert` and checkpoints go through these layouts. Each value has to keep its bits and its place.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...parameters.layouts import CANONICAL, TORCH, Layout, flatten
from ...parameters.record import GRUParams, config_of, leaves, random_params
from ...port.protocol import Params, Port
from ..cases import OF_READOUT, PARAMS
from .check import Case, part_of

#: Records with a -0.0, whose sign an addition loses; of one unit, of which no shape tells axes apart; and in each dtype
#: of storage.
RECORDS: tuple[Params, ...] = (
    *(jax.tree.map(lambda p: np.where(np.arange(p.size).reshape(p.shape) == 0, -0.0, p), params)
      for params in (PARAMS, OF_READOUT)),
    random_params(GRUConfig(1, 1)),
    *(random_params(GRUConfig(2, 3, param_dtype=dtype)) for dtype in ("float32", "bfloat16", "float16")),
)  # fmt: skip


def _cases(port: Port) -> Iterator[Case]:
    """Dumped parameters keep their bits through both layouts and the port's own, and through a file."""
    own = getattr(port, "layout", CANONICAL)
    for params in RECORDS:
        config, is_gru = config_of(params), isinstance(params, GRUParams)
        with suppress(*() if is_gru else (NotOfferedError,)):
            dumped: Any = port.dump(port.load(config, params))
            if not all(isinstance(array, np.ndarray) for array in leaves(dumped).values()):
                raise DefectError("dump gives other arrays than NumPy's.")
            ways: dict[str, Callable[[Any], Params]] = {"dumped": lambda params: params}
            for layout in (CANONICAL, TORCH, own):
                ways[f"in the layout {layout.name}"] = partial(_through, layout)
            ways[f"in the layout {own.name} as a tree"] = lambda params: own.record(flatten(own.tree(params)))
            if is_gru and config.param_dtype != "bfloat16":  # which no file holds
                ways["in a file"] = _through_file
            what = f"{config.param_dtype} parameters of {config.hidden_size} units{'' if is_gru else ' and a readout'}"
            for way, through in ways.items():
                yield Case(f"{what} {way}", partial(through, dumped), params, bound=None)


def _through(layout: Layout, params: Params) -> Params:
    arrays, config = layout.flat(params), config_of(params)
    shapes = {name: array.shape for name, array in arrays.items()}
    expected = layout.shapes(config.input_size, config.hidden_size, config.classes)
    if shapes != expected:
        raise DefectError(f"shapes {shapes}, expected {expected}")
    if config.param_dtype != "bfloat16" and (problem := layout.problem(arrays)):
        raise DefectError(problem)
    return layout.record(arrays)


def _through_file(params: GRUParams) -> GRUParams:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gru.safetensors"
        params.save(path)
        return GRUParams.open(path)


PARTS = (part_of(_cases),)
