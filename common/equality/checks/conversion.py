"""The check of parameters on their way: into a port and back, in trigru's own layout and torch's, and through a file.

`trigru convert` and checkpoints go through these layouts. Each value has to keep its bits and its place.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...config import GRUConfig
from ...errors import DefectError, ParamsFileError
from ...parameters.layouts import CANONICAL, TORCH, Layout, flatten
from ...parameters.record import GRUParams, leaves, random_params
from ...parameters.safetensors import read_tensors, write_tensors
from ...port.protocol import Port
from ..cases import CASE
from .check import Answers, Check, unless_left_out

#: What keeps an array from being a parameter.
DAMAGES = {
    "one axis too many": lambda array: array[None],
    "an entry too many": lambda array: np.append(array, array[:1]),
    "nothing in it": lambda array: array[:0],
    "a NaN": lambda array: np.full_like(array, np.nan),
    "an infinity": lambda array: np.full_like(array, -np.inf),
    "another dtype": lambda array: array.astype(np.float32),
    "integers": lambda array: np.ones(array.shape, np.int64),
}


def conversion_check(name: str, catches: str) -> Check:
    """The check of dumped parameters through both layouts and back, and of refused damage."""

    def answer(port: Port) -> Answers:
        found, names = {}, expect()
        for kind, config, params in _kinds():
            ask = partial(_converted, port, kind, config, params)
            of_kind = [name for name in names if name.startswith(kind)]
            found |= ask() if config.classes is None else unless_left_out(ask, of_kind)
        return found

    def expect() -> Answers:
        found = {}
        for kind, _, params in _kinds():
            for what in ("dumped", CANONICAL.name, TORCH.name):
                found |= _named(kind, what, params)
            found |= _named(kind, "a file", params) if isinstance(params, GRUParams) else {}
            r, z, n = np.split(_second_biases(), 3)
            both = _named(kind, "torch, two biases", params)
            (bias,) = (name for name in both if name.endswith("bias") and "readout" not in name)
            (bias_n,) = (name for name in both if name.endswith("bias_n"))
            found |= both | {bias: both[bias] + np.concatenate([r, z, np.zeros_like(n)]), bias_n: n}
        return found

    return Check(name, catches, answer, expect, exact=True)


def _converted(port: Port, kind: str, config: GRUConfig, params: Any) -> Answers:
    dumped = jax.tree.map(np.asarray, port.dump(port.load(config, params)))
    found = _named(kind, "dumped", dumped)
    for layout in (CANONICAL, TORCH):
        arrays = layout.flat(dumped)
        _require_shapes(layout, arrays, config)
        _refuse(layout, arrays)
        found |= _named(kind, layout.name, layout.record(arrays))
    both = TORCH.flat(dumped)
    (second,) = (name for name in both if name.endswith("bias_hh_l0"))
    both[second] = _second_biases()
    found |= _named(kind, "torch, two biases", TORCH.record(both))
    if isinstance(dumped, GRUParams):
        found |= _named(kind, "a file", _through_a_file(dumped))
        for small in (GRUConfig(1, 1), *(GRUConfig(2, 3, param_dtype=d) for d in ("float32", "bfloat16", "float16"))):
            _require_kept(port, small)
    own = getattr(port, "layout", None)
    if isinstance(own, Layout):
        _require_own(own, dumped, config)
    return found


def _require_kept(port: Port, config: GRUConfig) -> None:
    """Raise a DefectError unless parameters of a size or a dtype come back from the port, a file and both layouts."""
    params = random_params(config)
    dumped: Any = port.dump(port.load(config, params))
    others = {name: type(array).__name__ for name, array in leaves(dumped).items() if not isinstance(array, np.ndarray)}
    if others:
        raise DefectError(f"dump gives no arrays of NumPy: {others}.")
    ways = {"dump": leaves(dumped)}
    if config.param_dtype != "bfloat16":  # which no file holds
        ways["a file"] = leaves(_through_a_file(dumped, refuse=False))
    ways |= {f"the layout {layout.name}": leaves(layout.record(layout.flat(dumped))) for layout in (CANONICAL, TORCH)}
    for what, found in ways.items():
        if not _same(found, leaves(params)):
            raise DefectError(f"{config.param_dtype} parameters of {config.hidden_size} units change in {what}.")
    for layout in (CANONICAL, TORCH):
        other = {name: a.dtype for name, a in layout.flat(dumped).items() if str(a.dtype) != config.param_dtype}
        if other:
            raise DefectError(f"of parameters in {config.param_dtype}, in the layout {layout.name}, {other}.")


def _through_a_file(params: GRUParams, *, refuse: bool = True) -> GRUParams:
    """Written to a safetensors file and read back; files with a damaged array, or without one, must be refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gru.safetensors"
        params.save(path)
        found = GRUParams.open(path)
        arrays = read_tensors(path)
        for name, array in arrays.items() if refuse else ():
            without = {other: arrays[other] for other in arrays if other != name}
            damaged = {what: without | {name: damage(array)} for what, damage in DAMAGES.items()}
            for what, tensors in {"missing": without, **damaged, "one too many": arrays | {"more": array}}.items():
                write_tensors(path, tensors, "gru")
                with suppress(ParamsFileError):
                    GRUParams.open(path)
                    raise DefectError(f"a file is read in which {name} is damaged: {what}.")
    return found


def _kinds() -> Iterator[tuple[str, GRUConfig, Any]]:
    """A GRU and a classifier whose parameters have a -0.0, whose sign an addition loses."""
    params = jax.tree.map(
        lambda p: np.where(np.arange(p.size).reshape(p.shape) == 0, -np.zeros_like(p), p), CASE.params
    )
    yield "GRU", CASE.gru_config, params.gru
    yield "classifier", CASE.config, params


def _named(kind: str, what: str, params: Any) -> Answers:
    return {f"{kind}, {what}: {name}": np.asarray(array) for name, array in leaves(params).items()}


def _second_biases() -> np.ndarray:
    """Torch's biases of the recurrent products (3H,), of the gates r, z and n: all different from zero."""
    return np.linspace(0.25, 1.0, CASE.params.gru.bias.size)


def _require_shapes(layout: Layout, arrays: dict[str, np.ndarray], config: Any) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    expected = layout.shapes(config.input_size, config.hidden_size, config.classes)
    said = layout.problem(arrays)
    if shapes != expected or said:
        raise DefectError(f"in the {layout.name} layout: {said or f'shapes {shapes}, expected {expected}'}.")


def _require_own(layout: Layout, params: Any, config: Any) -> None:
    """Raise a DefectError unless a framework's layout has its shapes, refuses damage, and loses nothing."""
    arrays = layout.flat(params)
    _require_shapes(layout, arrays, config)
    _refuse(layout, arrays)
    if not _same(leaves(layout.record(arrays)), leaves(params)):
        raise DefectError(f"in the {layout.name} layout, parameters do not come back bit for bit.")
    if not _same(flatten(layout.tree(params)), arrays):
        raise DefectError(f"in the {layout.name} layout, a tree has not the arrays of the names.")


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether names are the same, and all bits."""
    return one.keys() == other.keys() and all(
        np.asarray(one[name]).dtype == np.asarray(other[name]).dtype
        and np.asarray(one[name]).tobytes() == np.asarray(other[name]).tobytes()
        for name in one
    )


def _refuse(layout: Layout, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        for what, damage in DAMAGES.items():
            if "readout" not in name and layout.problem(arrays | {name: damage(array)}) is None:
                raise DefectError(f"in the {layout.name} layout, {name} is not refused: {what}.")
