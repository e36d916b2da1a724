"""The check of what `make` draws: the distributions of docs/model.md, and nothing twice.

Bounds are five standard errors, and of half precision some units in its last place; keys are fixed.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from scipy.special import ndtr

from ...config import GRUConfig
from ...errors import DefectError, NotOfferedError
from ...parameters.record import from_leaves, leaf_shapes, leaves
from ...port.compilation import configured
from ...port.protocol import Params, Port
from ...program import Traced
from .check import Case

D, H, C = 72, 96, 48  # a fan-in of inputs is none of units
#: As few shapes as can be: outside of jit, JAX compiles each function for each.
SMALL = GRUConfig(2, 2, param_dtype="float64")
ERRORS = 5  # standard errors
CORRELATION_ERRORS = 6  # of many pairs
#: Of a normal distribution that is cut at two standard deviations: its own, and its kurtosis.
CUT, CUT_DEVIATION, CUT_KURTOSIS = 2.0, 0.87962566103423978, 2.3656
#: Kolmogorov and Smirnov's distance, times the square root of the number of draws, passed once in a quarter million.
DISTANCE = 2.5

Array = np.ndarray


def draws(port: Port) -> Iterator[Case]:
    """Within jit and outside of it, `make` draws the same; then statistics of what it draws in two dtypes."""

    def counted(key: Any, shape: Any, dtype: Any) -> Any:
        return jnp.arange(1, 1 + shape[0], dtype=dtype)

    (made,) = _made(port, SMALL, 1, counted)
    with configured({"jax_disable_most_optimizations": True}):
        eager = port.dump(
            port.make(replace(SMALL, carry_init=counted), jax.random.key(0))
        )
    yield Case(
        "the initial carry of carry_init",
        lambda: made.initial_carry,
        np.arange(1.0, 1 + SMALL.hidden_size),
    )
    yield Case("outside of jit", lambda: eager, made)  # but for rounding
    for dtype, keys, carry_init in (
        ("bfloat16", 1, None),
        ("float64", 2, initializers.normal(0.5)),
    ):
        config = GRUConfig(D, H, C, param_dtype=dtype)
        try:
            drawn = _made(port, config, keys, carry_init)
        except NotOfferedError:
            config = replace(config, classes=None)
            drawn = _made(port, config, keys, carry_init)
        zeros = from_leaves(
            {
                n: np.zeros(shape, dtype)
                for n, shape in leaf_shapes(D, H, config.classes).items()
            }
        )
        yield Case(
            f"drawn in {dtype}", partial(list, drawn), [zeros] * keys, bound=np.inf
        )  # none is NaN
        drawn = [
            jax.tree.map(lambda array: np.asarray(array, np.float64), params)
            for params in drawn
        ]
        for what, off, bound in _statistics(drawn[0], dtype):
            yield Case(
                f"{what}, in {dtype}", partial(np.float64, off), np.zeros(()), bound
            )
    yield Case("in float64", partial(_require_apart, drawn))


def _made(
    port: Port, config: GRUConfig, keys: int, draw: Callable[..., Any] | None
) -> list[Any]:
    """The parameters of models that are made within jit, evaluated from the trace; calls of `draw` are checked."""
    calls, expected = set[Any](), {((config.hidden_size,), config.param_dtype)}

    def carry_init(key: Any, shape: Any, dtype: Any = None) -> Any:
        calls.add((tuple(shape), str(dtype and jnp.dtype(dtype))))
        return draw and draw(key, shape, dtype or jnp.float32)

    config = replace(config, carry_init=draw and carry_init)
    try:
        traced = Traced(lambda key: port.make(config, key), jax.random.key(0))
    except jax.errors.JAXTypeError as error:
        raise DefectError(
            f"make cannot be traced by JAX, as by jax.jit: {type(error).__name__}."
        ) from None
    if draw is not None and calls != expected:
        raise DefectError(
            f"carry_init is called with {calls or 'nothing'}, expected {expected}."
        )
    return [port.dump(traced(jax.random.key(key))) for key in range(keys)]


def _statistics(params: Params, dtype: str) -> Iterator[tuple[str, float, float]]:
    """What is known of the distributions of parameters in a dtype: how far each is off, and how far it may be."""
    eps = float(jnp.finfo(dtype).eps)
    for what, block in _matrices(params):
        # of variance 1 once it is multiplied by the square root of the fan-in
        drawn, is_cut = block * block.shape[1] ** 0.5, not what.startswith("recurrent")
        known = ndtr(np.sort(drawn, axis=None) * (CUT_DEVIATION if is_cut else 1))
        if is_cut:  # at both ends
            known = (known - ndtr(-CUT)) / (1 - 2 * ndtr(-CUT))
        ranks = np.arange(drawn.size + 1) / drawn.size
        distance = max(
            np.abs(known - ranks[1:]).max(), np.abs(known - ranks[:-1]).max()
        )
        yield (f"{what}, distribution", distance, DISTANCE / drawn.size**0.5 + 4 * eps)
        if is_cut:  # by `lecun_normal`
            off, bound = (
                abs(drawn.std() - 1),
                ERRORS * ((CUT_KURTOSIS - 1) / (4 * drawn.size)) ** 0.5 + 4 * eps,
            )
            yield (f"{what}, standard deviation", off, bound)
            largest = np.abs(drawn).max() * CUT_DEVIATION
            yield (
                f"{what}, largest entry in untruncated standard deviations",
                largest,
                CUT * (1 + 2 * eps),
            )
        else:
            yield (
                f"{what}, orthogonality",
                np.abs(block @ block.T - np.eye(H)).max(),
                16 * eps,
            )
    # each trace has variance 1, whatever the size; not so where the signs of a QR decomposition are not drawn
    arrays = leaves(params)
    traces = sum(np.trace(block) for block in np.split(arrays["weight_hh"], 3))
    yield ("sum of the traces of the recurrent gates", abs(traces), ERRORS * 3**0.5)
    for name, array in arrays.items():
        if "bias" in name or (
            name == "initial_carry" and dtype != "float64"
        ):  # where no carry_init draws it
            yield (f"{name}, which is 0", np.abs(array).max(), 0.0)


def _matrices(params: Params) -> Iterator[tuple[str, Array]]:
    arrays = leaves(params)
    for side, name in (("input", "weight_ih"), ("recurrent", "weight_hh")):
        yield from (
            (f"{side} gate {gate}", a)
            for gate, a in zip("rzn", np.split(arrays[name], 3), strict=True)
        )
    if "readout.weight" in arrays:
        yield "readout", arrays["readout.weight"]


def _require_apart(drawn: list[Params]) -> None:
    """Require that no two matrices or initial carries, of one key or of two, share draws."""
    arrays = [
        (f"{what} of key {key}", a)
        for key, params in enumerate(drawn)
        for what, a in _matrices(params)
    ]
    arrays += [
        (f"initial carry of key {key}", leaves(p)["initial_carry"])
        for key, p in enumerate(drawn)
    ]
    for (what, a), (other, b) in itertools.combinations(arrays, 2):
        for x, y in _views(a, b):
            size = min(x.size, y.size)
            correlation = np.corrcoef(x[:size], y[:size])[0, 1]
            if not abs(correlation) <= CORRELATION_ERRORS / size**0.5:
                raise DefectError(
                    f"{what} and {other} share draws: {size} entries correlate by {correlation:.2f}"
                )


def _views(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    """Entries that two arrays would share, had they been drawn by one key: in either order of the axes."""
    for x, y in itertools.product((a, a.T), (b, b.T)):
        yield x.ravel(), y.ravel()
        if (
            x.ndim == y.ndim == 2
        ):  # of an orthogonal matrix, only the first column is close to what was drawn
            rows, columns = np.minimum(x.shape, y.shape)
            yield x[:rows, :columns].ravel(), y[:rows, :columns].ravel()
        yield x.reshape(len(x), -1)[:, 0], y.reshape(len(y), -1)[:, 0]
