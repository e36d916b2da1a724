"""The check of what `make` draws: the distributions of docs/model.md, and nothing
twice.

Bounds are five standard errors, and of half precision some units in its last place;
keys are fixed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from scipy.special import ndtr

from ...config import GRUConfig
from ...errors import DefectError
from ...parameters.record import GRUParams, random_params
from ...port.compilation import configured
from ...port.protocol import Port
from ...program import Traced
from .check import Trial

#: A fan-in of inputs is none of units.
D, H = 72, 96
#: As few shapes as can be: outside of jit, JAX compiles each function for each.
SMALL = GRUConfig(2, 2, param_dtype="float64")
STANDARD_ERRORS = 5
#: Of many pairs.
CORRELATION_ERRORS = 6
#: Of a normal distribution that is cut at two standard deviations: its own, and its
#: kurtosis.
CUT, CUT_DEVIATION, CUT_KURTOSIS = 2.0, 0.87962566103423978, 2.3656
#: Kolmogorov and Smirnov's distance, times the square root of the number of draws,
#: passed once in a quarter million.
DISTANCE = 2.5

Array = np.ndarray
Initializer = Callable[..., Any]


@dataclass(frozen=True)
class Statistic:
    """A number that is small where parameters are drawn as docs/model.md says.

    Args:
        what: as a failure names it.
        value: of the parameters.
        bound: the largest value that passes.
    """

    what: str
    value: float
    bound: float


def draws(port: Port) -> Iterator[Trial]:
    """Within jit and outside of it, `make` draws the same; then statistics of what it
    draws in two dtypes.
    """
    (made,) = _make(port, SMALL, 1, _count_up)
    with configured({"jax_disable_most_optimizations": True}):
        config = replace(SMALL, carry_init=_count_up)
        # by a key of the older kind
        eager = port.dump(port.make(config, jax.random.PRNGKey(0)))
    counted = np.arange(1.0, 1 + SMALL.hidden_size)
    yield Trial("the initial carry of carry_init", lambda: made.initial_carry, counted)
    yield Trial("outside of jit", lambda: eager, made)  # but for rounding

    plans = (("bfloat16", 1, None), ("float64", 2, initializers.normal(0.5)))
    for dtype, keys, carry_init in plans:
        config = GRUConfig(D, H, param_dtype=dtype)
        drawn = _make(port, config, keys, carry_init)
        zeros = jax.tree.map(np.zeros_like, random_params(config))
        # whatever the numbers, none is NaN
        run = partial(list, drawn)
        yield Trial(f"drawn in {dtype}", run, [zeros] * keys, bound=np.inf)
        wide = [jax.tree.map(_in_float64, params) for params in drawn]
        for statistic in statistics_of(wide[0], dtype):
            what = f"{statistic.what}, in {dtype}"
            run = partial(np.float64, statistic.value)
            yield Trial(what, run, np.zeros(()), statistic.bound)
        if keys > 1:
            yield Trial(f"in {dtype}", partial(_require_independent, wide))


def _count_up(key: Any, shape: Any, dtype: Any) -> Any:
    return jnp.arange(1, 1 + shape[0], dtype=dtype)


def _in_float64(array: Array) -> Array:
    return np.asarray(array, np.float64)


def _make(
    port: Port, config: GRUConfig, keys: int, carry_init: Initializer | None
) -> list[GRUParams]:
    """The parameters of models that are made within jit, evaluated from the trace.

    Raises:
        DefectError: `make` cannot be traced, or calls `carry_init` for another shape or
            dtype.
    """
    calls = set[tuple[Any, str]]()
    if carry_init is not None:
        config = replace(config, carry_init=_watched(carry_init, calls))
    try:
        traced = Traced(partial(port.make, config), jax.random.key(0))
    except jax.errors.JAXTypeError as error:
        kind = type(error).__name__
        raise DefectError(
            f"make cannot be traced by JAX, as by jax.jit: {kind}."
        ) from None
    expected = {((config.hidden_size,), config.param_dtype)}
    if carry_init is not None and calls != expected:
        raise DefectError(
            f"carry_init is called with {calls or 'nothing'}, expected {expected}."
        )
    params: list[Any] = []
    for key in range(keys):
        params.append(port.dump(traced(jax.random.key(key))))
    return params


def _watched(initializer: Initializer, calls: set[tuple[Any, str]]) -> Initializer:
    """An initializer that adds to `calls` for which shapes and dtypes it is called."""

    def draw(key: Any, shape: Any, dtype: Any = None) -> Any:
        calls.add((tuple(shape), str(dtype and jnp.dtype(dtype))))
        return initializer(key, shape, dtype or jnp.float32)

    return draw


def statistics_of(params: GRUParams, dtype: str) -> Iterator[Statistic]:
    """Statistics of parameters that were drawn in a dtype, without a `carry_init`
    unless that is float64.
    """
    eps = float(jnp.finfo(dtype).eps)
    for gate, block in _gates_of(params.weight_ih):
        yield from _of_cut_normal(f"input gate {gate}", block, eps)
    for gate, block in _gates_of(params.weight_hh):
        yield from _of_orthogonal(f"recurrent gate {gate}", block, eps)

    # each trace has variance 1, whatever the size; not so where the signs of a QR
    # decomposition are not drawn
    total = sum(np.trace(block) for _, block in _gates_of(params.weight_hh))
    what = "sum of the traces of the recurrent gates"
    yield Statistic(what, abs(total), STANDARD_ERRORS * 3**0.5)

    zeros = {"bias": params.bias, "bias_n": params.bias_n}
    if dtype != "float64":
        zeros["initial_carry"] = params.initial_carry
    for name, array in zeros.items():
        yield Statistic(f"{name}, which is 0", np.abs(array).max(), 0.0)


def _gates_of(matrix: Array) -> list[tuple[str, Array]]:
    return list(zip("rzn", np.split(matrix, 3), strict=True))


def _of_cut_normal(what: str, block: Array, eps: float) -> Iterator[Statistic]:
    """Those of `lecun_normal`: a normal distribution, cut at two standard deviations,
    of variance 1 / fan-in.
    """
    drawn = block * block.shape[1] ** 0.5  # of variance 1
    uncut = ndtr(np.sort(drawn, axis=None) * CUT_DEVIATION)
    quantiles = (uncut - ndtr(-CUT)) / (1 - 2 * ndtr(-CUT))
    yield _of_distribution(what, quantiles, eps)
    standard_error = ((CUT_KURTOSIS - 1) / (4 * drawn.size)) ** 0.5
    yield Statistic(
        f"{what}, standard deviation",
        abs(drawn.std() - 1),
        STANDARD_ERRORS * standard_error + 4 * eps,
    )
    yield Statistic(
        f"{what}, largest entry in untruncated standard deviations",
        np.abs(drawn).max() * CUT_DEVIATION,
        CUT * (1 + 2 * eps),
    )


def _of_orthogonal(what: str, block: Array, eps: float) -> Iterator[Statistic]:
    """Those of `orthogonal`, whose entries are close to normally distributed, with
    variance 1 / H.
    """
    drawn = block * block.shape[1] ** 0.5  # of variance 1
    yield _of_distribution(what, ndtr(np.sort(drawn, axis=None)), eps)
    off = np.abs(block @ block.T - np.eye(len(block))).max()
    yield Statistic(f"{what}, orthogonality", off, 16 * eps)


def _of_distribution(what: str, quantiles: Array, eps: float) -> Statistic:
    """How far sorted draws are from their distribution, by Kolmogorov and Smirnov,
    where each has these quantiles.
    """
    count = len(quantiles)
    ranks = np.arange(count + 1) / count
    above = np.abs(quantiles - ranks[1:]).max()
    below = np.abs(quantiles - ranks[:-1]).max()
    bound = DISTANCE / count**0.5 + 4 * eps
    return Statistic(f"{what}, distribution", max(above, below), bound)


def _require_independent(drawn: list[GRUParams]) -> None:
    """Require that no two matrices or initial carries, of one key or of two, share
    draws.
    """
    arrays = {}
    for key, params in enumerate(drawn):
        for gate, block in _gates_of(params.weight_ih):
            arrays[f"input gate {gate} of key {key}"] = block
        for gate, block in _gates_of(params.weight_hh):
            arrays[f"recurrent gate {gate} of key {key}"] = block
        arrays[f"initial carry of key {key}"] = params.initial_carry
    for (what, a), (other, b) in combinations(arrays.items(), 2):
        for x, y in _alike_if_shared(a, b):
            size = min(x.size, y.size)
            correlation = np.corrcoef(x[:size], y[:size])[0, 1]
            if not abs(correlation) <= CORRELATION_ERRORS / size**0.5:
                raise DefectError(
                    f"{what} and {other} share draws: {size} entries correlate by "
                    f"{correlation:.2f}"
                )


def _alike_if_shared(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    """Entries that two arrays would share, had they been drawn by one key: in either
    order of the axes.
    """
    for x, y in product((a, a.T), (b, b.T)):
        yield x.ravel(), y.ravel()

        if x.ndim == y.ndim == 2:
            rows, columns = np.minimum(x.shape, y.shape)
            corner_of_x = x[:rows, :columns]
            corner_of_y = y[:rows, :columns]
            yield corner_of_x.ravel(), corner_of_y.ravel()

        # of an orthogonal matrix, only the first column is close to what was drawn
        columns_of_x = x.reshape(len(x), -1)
        columns_of_y = y.reshape(len(y), -1)
        yield columns_of_x[:, 0], columns_of_y[:, 0]
