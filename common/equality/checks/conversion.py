"""The check of parameters on their way: into a port and back, in layouts, through a
file, and into an optimizer.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError, ParamsFileError
from ...gru.optimizers import carry_learning_rate
from ...parameters.layouts import CANONICAL, TORCH, Layout, flatten
from ...parameters.record import GRUParams, config_of, random_params, tensors_content
from ...port.protocol import Port
from .check import CARRY, CONFIG, PARAMS, REFUSED, H, Trial


def _with_negative_zero(array: np.ndarray) -> np.ndarray:
    """An array whose first number is -0.0, whose sign an addition loses."""
    changed = array.copy()
    changed.flat[0] = -0.0
    return changed


#: One has a -0.0, one has one unit, so that no shape tells axes apart, and there is one
#: in each dtype of storage.
RECORDS = (
    jax.tree.map(_with_negative_zero, PARAMS),
    random_params(GRUConfig(1, 1)),
    random_params(GRUConfig(2, 3, param_dtype="float32")),
    random_params(GRUConfig(2, 3, param_dtype="bfloat16")),
    random_params(GRUConfig(2, 3, param_dtype="float16")),
)


def conversions(port: Port) -> Iterator[Trial]:
    """Dumped parameters keep their bits through both layouts and the port's own, and
    through a file.
    """
    for params in RECORDS:
        config = config_of(params)
        dumped: Any = port.dump(port.load(config, params))
        for array in dumped:
            if not isinstance(array, np.ndarray):
                raise DefectError("dump gives other arrays than NumPy's.")
        what = f"{config.param_dtype} parameters of {config.hidden_size} units"
        for name, convert in _conversions(port, config).items():
            yield Trial(f"{what} {name}", partial(convert, dumped), params, None)
    for layout in {TORCH.name: TORCH, _layout_of(port).name: _layout_of(port)}.values():
        yield from _second_biases(layout)
    yield from _files()
    yield Trial("a start with scale=0", partial(_require_frozen, port))


def _layout_of(port: Port) -> Layout:
    return getattr(port, "layout", CANONICAL)


def _second_biases(layout: Layout) -> Iterator[Trial]:
    """Torch has two biases of r and of z, of which the model's is the sum."""
    flat = dict(layout.flat(PARAMS))
    for name, row in layout.table().items():
        if row.field == "bias_hh":
            second = np.random.default_rng(2).normal(size=3 * H)
            flat[name] = second
            bias = PARAMS.bias + np.where(np.arange(3 * H) < 2 * H, second, 0)
            summed = PARAMS._replace(bias=bias, bias_n=second[2 * H :])
            what = f"second biases in the layout {layout.name}"
            yield Trial(what, partial(layout.record, flat), summed)


def _files() -> Iterator[Trial]:
    """Files that are not to be written or read, and one that is written where a link
    stands.
    """
    spoiled = PARAMS._replace(bias=np.full_like(PARAMS.bias, np.nan))
    yield Trial("NaN in a file", partial(_through_file, spoiled), REFUSED)
    yield Trial("a file with an array too many", _require_unread)
    yield Trial("a file that is written where a link stands", _require_link_replaced)


def _require_unread() -> None:
    arrays = {**PARAMS._asdict(), "bias_2": PARAMS.bias}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gru.safetensors"
        path.write_bytes(tensors_content(arrays, "GRUParams"))
        try:
            GRUParams.open(path)
        except ParamsFileError:
            return
    raise DefectError("it is read")


def _require_link_replaced() -> None:
    with tempfile.TemporaryDirectory() as folder:
        link, original = Path(folder) / "link", Path(folder) / "original"
        original.write_bytes(b"")
        try:
            link.symlink_to(original)
        except OSError as error:  # where only some users may
            raise NotOfferedError(f"a link cannot be made: {error}") from error
        PARAMS.save(link)
        if original.read_bytes():
            raise DefectError("what the link leads to is written over")


def _require_frozen(port: Port) -> None:
    """Require an initial carry with `scale=0` to have no state, and what has its name
    in a longer one to have some.
    """
    model = port.load(CONFIG, PARAMS)
    if jax.tree.leaves(model)[0] is model:  # before flax 0.12, an NNX module is a leaf
        raise NotOfferedError("a model that is a pytree")
    tree = {"model": model, "initial_carry_of_another": CARRY}
    optimizer = carry_learning_rate(optax.adam(1e-2), scale=0.0)
    state = jax.eval_shape(optimizer.init, tree)
    size = sum(array.size for array in jax.tree.leaves(state) if array.ndim)
    learned = sum(array.size for array in jax.tree.leaves(tree)) - H
    if size != 2 * learned:
        raise DefectError(
            f"Adam keeps {size} numbers, expected {2 * learned}: two of each that is "
            "learned"
        )


def _conversions(
    port: Port, config: GRUConfig
) -> dict[str, Callable[[GRUParams], GRUParams]]:
    """Ways from a record to the same one, by name."""
    port_layout = _layout_of(port)
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
