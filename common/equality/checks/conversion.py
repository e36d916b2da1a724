"""The check of parameters on their way: into a port and back, in trigru's own layout and torch's, and through a file.

`trigru convert` and checkpoints go through these layouts. Each value has to keep its bits and its place.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError
from ...parameters.layouts import CANONICAL, TORCH, flatten
from ...parameters.record import GRUParams, leaves, random_params
from ...port.protocol import Port
from ..cases import CASE
from .check import Answers, Check, unless_left_out

#: One unit, of which no shape tells axes apart; and each dtype of storage.
SMALL = (GRUConfig(1, 1), *(GRUConfig(2, 3, param_dtype=dtype) for dtype in ("float32", "bfloat16", "float16")))


def conversion_check(name: str, catches: str) -> Check:
    """The check of dumped parameters, through both layouts and the port's own, and through a file."""
    kinds = {
        # a -0.0, whose sign an addition loses
        kind: (config, jax.tree.map(lambda p: np.where(np.arange(p.size).reshape(p.shape) == 0, -0.0, p), params))
        for kind, config, params in (
            ("GRU", CASE.gru_config, CASE.params.gru),
            ("classifier", CASE.config, CASE.params),
        )
    }

    def answer(port: Port) -> Answers:
        for config in SMALL:
            _require_bits(port, config)
        found, names = {}, expect()
        for kind, (config, params) in kinds.items():
            ask = partial(_converted, port, kind, config, params)
            of_kind = [name for name in names if name.startswith(kind)]
            found |= ask() if config.classes is None else unless_left_out(ask, of_kind)
        return found

    def expect() -> Answers:
        return {
            name: array
            for kind, (_, params) in kinds.items()
            for what in ("dumped", CANONICAL.name, TORCH.name)
            for name, array in _named(kind, what, params).items()
        }

    return Check(name, catches, answer, expect, exact=True)


def _converted(port: Port, kind: str, config: GRUConfig, params: Any) -> Answers:
    dumped = jax.tree.map(np.asarray, port.dump(port.load(config, params)))
    found = _named(kind, "dumped", dumped)
    for layout in (CANONICAL, TORCH):
        found |= _named(kind, layout.name, layout.record(layout.flat(dumped)))
    own = getattr(port, "layout", CANONICAL)
    arrays = own.flat(dumped)
    shapes = {name: array.shape for name, array in arrays.items()}
    expected = own.shapes(config.input_size, config.hidden_size, config.classes)
    if problem := own.problem(arrays) or (shapes != expected and f"shapes {shapes}, expected {expected}"):
        raise DefectError(f"in the {own.name} layout: {problem}.")
    if not _same(own.record(flatten(own.tree(dumped))), dumped):
        raise DefectError(f"in the {own.name} layout, parameters do not come back bit for bit.")
    return found


def _named(kind: str, what: str, params: Any) -> Answers:
    return {f"{kind}, {what}: {name}": np.asarray(array) for name, array in leaves(params).items()}


def _require_bits(port: Port, config: GRUConfig) -> None:
    """Raise a DefectError unless parameters of a size and a dtype come back from the port, a file and both layouts."""
    params: GRUParams = random_params(config)
    dumped: Any = port.dump(port.load(config, params))
    others = {name: type(array).__name__ for name, array in leaves(dumped).items() if not isinstance(array, np.ndarray)}
    if others:
        raise DefectError(f"dump gives no arrays of NumPy: {others}.")
    ways = {"dump": dumped}
    ways |= {f"the layout {layout.name}": layout.record(layout.flat(dumped)) for layout in (CANONICAL, TORCH)}
    if config.param_dtype != "bfloat16":  # which no file holds
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gru.safetensors"
            dumped.save(path)
            ways["a file"] = GRUParams.open(path)
    for what, found in ways.items():
        if not _same(found, params):
            raise DefectError(f"{config.param_dtype} parameters of {config.hidden_size} units change in {what}.")


def _same(one: Any, other: Any) -> bool:
    """Whether two records have the same names, dtypes and bits."""
    first, second = (
        {name: (np.asarray(array).dtype, np.shape(array), np.asarray(array).tobytes()) for name, array in found.items()}
        for found in (leaves(one), leaves(other))
    )
    return first == second
