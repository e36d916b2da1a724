"""The check of what `make` draws: the distributions of docs/model.md, and nothing twice.

Bounds are five standard errors, so that a sound port fails one time in a million; keys are fixed. Half precision adds
some units in its last place, since its draws are coarse.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from scipy.special import ndtr

from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...parameters.record import ClassifierParams, leaf_shapes, leaves
from ...port.compilation import configured
from ...port.protocol import Port
from ...program import Traced
from ..bounds import relative_error
from .check import Part

D, H, C = 72, 96, 48  # a fan-in of inputs is none of units
#: As few shapes as can be: outside of jit, JAX compiles each function for each.
SMALL = GRUConfig(2, 2, param_dtype="float64")
ERRORS = 5  # standard errors
CORRELATION_ERRORS = 6  # of many pairs
#: Of a normal distribution that is cut at two standard deviations: its own, and its kurtosis.
CUT, CUT_DEVIATION, CUT_KURTOSIS = 2.0, 0.87962566103423978, 2.3656
#: Kolmogorov and Smirnov's distance, times the square root of the number of draws, passed once in a quarter million.
DISTANCE = 2.5
#: Draws within jit and outside of it differ by rounding alone.
SAME_DRAW = 1e-9

Array = np.ndarray


def _require_draws(port: Port) -> None:
    """Statistics of all that is drawn, in half precision and, by two keys, in double."""
    _require_alike_outside_jit(port)
    (drawn,) = _draw(port, "bfloat16", keys=(0,))
    _require_distributions(drawn, "bfloat16")
    first, second = _draw(port, "float64", keys=(0, 1))
    _require_distributions(first, "float64")
    _require_apart(dict(_blocks(first, "")) | dict(_blocks(second, " of another key")))


class _CarryInit:
    """An initializer of the initial carry that notes how it is called."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self._draw = draw
        self.calls: set[tuple[Any, str]] = set()  # shapes and dtypes

    def __call__(self, key: Any, shape: Any, dtype: Any = None) -> Any:
        self.calls.add((tuple(shape), str(dtype and jnp.dtype(dtype))))
        return self._draw(key, shape, dtype or jnp.float32)


def _models(port: Port, config: GRUConfig, keys: tuple[int, ...]) -> list[Any]:
    """Models that are made within jit, evaluated from the trace; `carry_init` is called for what it should draw."""
    init: Any = config.carry_init
    try:
        traced = Traced(lambda key: port.make(config, key), jax.random.key(0))
    except jax.errors.JAXTypeError as error:
        raise DefectError(f"make cannot be traced by JAX, as by jax.jit: {type(error).__name__}.") from None
    expected = {((config.hidden_size,), config.param_dtype)}
    if init is not None and init.calls != expected:
        raise DefectError(f"carry_init is called with {init.calls or 'nothing'}, expected {expected}.")
    return [traced(jax.random.key(key)) for key in keys]


def _require_alike_outside_jit(port: Port) -> None:
    """Within jit and outside of it, `make` draws the same, and what `carry_init` gives arrives."""
    init = _CarryInit(lambda key, shape, dtype: jnp.arange(1, 1 + shape[0], dtype=dtype))
    config = replace(SMALL, carry_init=init)
    (made,) = _models(port, config, (0,))
    with configured({"jax_disable_most_optimizations": True}):
        eager = leaves(port.dump(port.make(config, jax.random.key(0))))
    within = leaves(port.dump(made))
    if not np.array_equal(within["initial_carry"], np.arange(1, 1 + config.hidden_size)):
        raise DefectError("what carry_init gives is not the initial carry.")
    for name, array in within.items():
        if not relative_error(eager[name], array) <= SAME_DRAW:
            raise DefectError(f"outside of jit, make draws another {name} than within.")


def _draw(port: Port, dtype: str, keys: tuple[int, ...]) -> list[ClassifierParams]:
    """The parameters of made classifiers; those of made GRUs, without a readout, where the port has no classifier."""
    try:
        return _draw_of(port, dtype, keys, C)
    except NotOfferedError:
        return [ClassifierParams(gru, None) for gru in _draw_of(port, dtype, keys, None)]  # pyright: ignore[reportArgumentType]


def _draw_of(port: Port, dtype: str, keys: tuple[int, ...], classes: int | None) -> list[Any]:
    """The parameters of made models, whose start is that of the default where they have half precision."""
    init = _CarryInit(initializers.normal(0.5)) if dtype == "float64" else None
    config = GRUConfig(D, H, classes, param_dtype=dtype, carry_init=init)
    found: list[Any] = [port.dump(model) for model in _models(port, config, keys)]
    for params, (name, shape) in itertools.product(found, leaf_shapes(D, H, classes).items()):
        array = leaves(params)[name]
        if (np.shape(array), str(array.dtype)) != (shape, dtype):
            raise DefectError(f"{name} is drawn as {array.dtype}{np.shape(array)}, expected {dtype}{shape}.")
        if not np.isfinite(np.asarray(array, np.float64)).all():
            raise DefectError(f"{name} is drawn with values in {dtype} that are not finite.")
    return [jax.tree.map(lambda array: np.asarray(array, np.float64), params) for params in found]


# Distributions ----------------------------------------------------------------------------------------------------


def _require_distributions(params: ClassifierParams, dtype: str) -> None:
    eps = float(jnp.finfo(dtype).eps)
    gru, readout = params
    cut = [(f"input gate {gate}", block, D) for gate, block in zip("rzn", np.split(gru.weight_ih, 3), strict=True)]
    cut += [] if readout is None else [("the readout", readout.weight, H)]
    for what, block, fan_in in cut:  # by `lecun_normal`: of variance 1 times the square root of the fan-in
        drawn = block * fan_in**0.5
        _require_spread(f"{what} in {dtype}", drawn, CUT_KURTOSIS, eps)
        most = np.abs(drawn).max() * CUT_DEVIATION
        off = f"{what} in {dtype} has an entry away from 0, in untruncated standard deviations,"
        _require(off, most, CUT * (1 + 2 * eps))
        _require_shape(f"{what} in {dtype}", drawn, eps, _cut_normal)
    recurrent = np.split(gru.weight_hh, 3)
    for gate, block in zip("rzn", recurrent, strict=True):
        what = f"recurrent gate {gate} in {dtype}"
        _require(f"{what} is apart from orthogonal", np.abs(block @ block.T - np.eye(H)).max(), 16 * eps)
        _require_shape(what, block * H**0.5, eps, ndtr)
    # each trace has variance 1, whatever the size; not so where the signs of a QR decomposition are not drawn
    traces = sum(np.trace(block) for block in recurrent)
    _require(f"the sum of the traces of the recurrent gates in {dtype} is off", abs(traces), ERRORS * 3**0.5)
    biases = {"bias": gru.bias, "bias_n": gru.bias_n} | ({} if readout is None else {"readout.bias": readout.bias})
    biases |= {} if dtype == "float64" else {"without carry_init, initial_carry": gru.initial_carry}
    for name, bias in biases.items():
        _require(f"{name} in {dtype} is away from 0", np.abs(bias).max(), 0.0)


def _require(what: str, off: float, bound: float) -> None:
    if not off <= bound:
        raise DefectError(f"{what} by {off:.3g}, expected at most {bound:.3g}.")


def _require_spread(what: str, drawn: Array, kurtosis: float, eps: float) -> None:
    """Require variance 1."""
    bound = ERRORS * ((kurtosis - 1) / (4 * drawn.size)) ** 0.5 + 4 * eps
    _require(f"{what} has a standard deviation that is off", abs(drawn.std() - 1), bound)


def _require_shape(what: str, drawn: Array, eps: float, distribution: Callable[[Array], Array]) -> None:
    """Require a distribution; its mean, too, is off where all numbers are."""
    known = distribution(np.sort(drawn, axis=None))
    ranks = np.arange(drawn.size + 1) / drawn.size
    distance = max(np.abs(known - ranks[1:]).max(), np.abs(known - ranks[:-1]).max())
    _require(f"{what} has another distribution, off", distance, DISTANCE / drawn.size**0.5 + 4 * eps)


def _cut_normal(z: Array) -> Array:
    low = ndtr(-CUT)
    return (ndtr(z * CUT_DEVIATION) - low) / (1 - 2 * low)


# Nothing twice ----------------------------------------------------------------------------------------------------


def _blocks(params: ClassifierParams, of: str) -> Iterator[tuple[str, Array]]:
    for side, matrix in (("input", params.gru.weight_ih), ("recurrent", params.gru.weight_hh)):
        yield from ((f"{side} gate {g}{of}", block) for g, block in zip("rzn", np.split(matrix, 3), strict=True))
    if params.readout is not None:
        yield f"the readout{of}", params.readout.weight
    yield f"the initial carry{of}", params.gru.initial_carry


def _require_apart(blocks: dict[str, Array]) -> None:
    for (what, a), (other, b) in itertools.combinations(blocks.items(), 2):
        for x, y in _views(a, b):
            correlation = np.corrcoef(x, y)[0, 1]
            if not abs(correlation) <= CORRELATION_ERRORS / x.size**0.5:
                raise DefectError(f"{what} and {other} share draws: {x.size} entries correlate by {correlation:.2f}.")


def _views(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    """Entries that two blocks would share, had they been drawn by one key: in either order of the axes."""
    for x, y in itertools.product((a, a.T), (b, b.T)):
        yield _as_long(x.ravel(), y.ravel())
        if x.ndim == y.ndim == 2:  # of an orthogonal matrix, only the first column is close to what was drawn
            rows, columns = np.minimum(x.shape, y.shape)
            yield x[:rows, :columns].ravel(), y[:rows, :columns].ravel()
        yield _as_long(x.reshape(len(x), -1)[:, 0], y.reshape(len(y), -1)[:, 0])


def _as_long(x: Array, y: Array) -> tuple[Array, Array]:
    size = min(x.size, y.size)
    return x[:size], y[:size]


PARTS = (Part(_require_draws),)
