"""The data of a row: sets of values and masks, all of one shape."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...config import GRUConfig
from ...parameters.record import random_params
from .factors import COMPILED, Row

CLASSES = 5
#: By which inputs and carries are multiplied that are faint, and by which a carry is at most; the steps from which on
#: resets are rare; and the dtype of the other arrays where one is wider.
FAINT, CARRY_SCALE, DENSE, NARROW = 1e-9, 30.0, 1000, "float32"
#: The dtype of a carry of another one than the computation's.
OTHER_DTYPES = {
    "float64": "float32",
    "float32": "bfloat16",
    "float32 of bfloat16": "bfloat16",
    "bfloat16 of float32": "float32",
}


@dataclass(frozen=True)
class Values:
    """Values and masks that a row is asked about."""

    name: str  # as failures tell it
    scale: Callable[
        [str], float
    ]  # (dtype) -> by which usual inputs are multiplied, and carries by at most CARRY_SCALE
    #: (T, least, most) -> lengths that examples take in turn; least and most are those of their dtype. int64 has some
    #: beyond 32 bits, which JAX without x64 would cut off.
    lengths: Callable[[int, int, int], list[int]]
    #: (random booleans (*batch, T), whether a step is padding (*batch, T)) -> resets
    resets: Callable[[np.ndarray, np.ndarray], np.ndarray]
    spoiled: bool = False  # whether a carry that is reset before the first step is NaN
    saturating: bool = False  # whether gates are at their ends, so that gradients are what rounding leaves of 0
    everywhere: bool = False  # whether they are asked about in other dtypes than float64, and of compiled programs, too


@dataclass(frozen=True)
class Data:
    """The arrays of a call, NumPy's, for several sets of values; None where the row does not pass them.

    Floating-point ones are in the dtype of inputs. The axis of sets is the first, and has length 1 where it is given.
    """

    values: tuple[Values, ...]  # of each set
    params: Any  # GRUParams, or ClassifierParams of C classes: the same for all sets
    x: np.ndarray  # (sets, *batch, T, D); NaN and infinities in the padding
    carry: (
        np.ndarray | None
    )  # (sets, *batch, H); NaN in some values, where it is reset before anything reads it
    lengths: np.ndarray | None  # (sets, *batch)
    resets: np.ndarray | None  # (sets, *batch, T)
    weights: np.ndarray  # of outputs (1, *batch, T, H) or of logits (1, *batch, C), in what is differentiated
    d_carry: np.ndarray  # (1, *batch, H): of the final carry in what is differentiated

    def of_set(self, n: int) -> "Data":
        """One set, whose axis has length 1."""
        arrays = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "params"
        }
        return replace(
            self,
            **{
                k: a if a is None or len(a) == 1 else a[n : n + 1]
                for k, a in arrays.items()
            },
        )


def _first(drawn: np.ndarray, padding: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.arange(drawn.shape[-1]) == 0, drawn.shape)


USUAL = Values(
    "usual values",
    lambda dtype: 1.0,
    lambda T, least, most: [T // 2 + 1, 0, T],
    lambda drawn, padding: drawn,
    everywhere=True,
)
#: In this order.
VALUES = (
    USUAL,
    Values(
        "tiny values",
        lambda dtype: 1e-3,
        lambda T, least, most: [T, 1, T - 1],
        lambda drawn, padding: np.ones_like(drawn),
        spoiled=True,
    ),
    Values(
        "saturating values",
        lambda dtype: 300.0 if dtype == "float16" else 1e4,
        lambda T, least, most: [
            most,
            least + 2 if least < -(2**31) else max(least, -3),
            1,
        ],
        _first,
        saturating=True,
        everywhere=True,
    ),
    Values(
        "denormal values",
        lambda dtype: float(jnp.finfo(dtype).tiny) / 4,
        lambda T, least, most: [T, max(T - 2, 0)],
        lambda drawn, padding: (
            padding if padding.any() else _first(drawn, padding)[..., ::-1]
        ),
    ),
    Values(
        "zeros",
        lambda dtype: 0.0,
        lambda T, least, most: [0],
        lambda drawn, padding: np.zeros_like(drawn),
    ),
)
#: A compiled program is called on these last, since it has no memory.
AGAIN = replace(USUAL, name="usual values again")


def batch_of(row: Row) -> tuple[int, ...]:
    """The sizes of the batch axes of a row."""
    return () if row["batch"] == "none" else tuple(map(int, row["batch"].split("x")))


def dtypes_of(dtype: str) -> tuple[str, str, str]:
    """The dtypes of the computation, of the parameters and of the inputs, by level of the factor."""
    computed, _, stored = dtype.partition(" of ")
    return computed, stored or computed, "float32" if stored else computed


def config_of(row: Row) -> GRUConfig:
    """The model of a row."""
    T, (computed, stored, given) = int(row["time"]), dtypes_of(row["dtype"])
    is_promoted = jnp.promote_types(given, stored) == computed
    unrolls = {
        "dividing": 2,
        "not dividing": 2 if T % 2 else 3,
        "beyond": T + 1,
    }  # of 2 or 130 steps; of 17 or 130
    return GRUConfig(
        int(row["inputs"]),
        int(row["hidden"]),
        CLASSES if row["entry"] == "classifier" else None,
        dtype=None if is_promoted and row["told"] == "no" else computed,
        param_dtype=stored if row["wide"] in ("all", "parameters") else NARROW,
        unroll=unrolls.get(row["unroll"]) or int(row["unroll"]),
        remat=row["remat"] == "yes",
        kernel=row["kernel"],
    )


def values_of(row: Row) -> tuple[Values, ...]:
    """The sets of values that a row is asked about."""
    trains, is_eager = (
        row["phase"] in ("train_step", "penalty"),
        row["transform"] == "eager",
    )  # compiles at each call
    if trains or is_eager or row["params"] != "random" or row["wide"] != "all":
        return (USUAL,)
    few = tuple(values for values in VALUES if values.everywhere)
    if row["transform"] in COMPILED:
        return (*few, AGAIN)
    return (
        VALUES if row["dtype"] == "float64" and row["time"] in ("17", "1", "2") else few
    )


def data_of(row: Row) -> Data:
    """The arrays of a row: random, non-zero ones of its shapes, then scaled and rounded."""
    dtype, (computed, stored, given) = row["dtype"], dtypes_of(row["dtype"])
    batch, (T, D, H) = (
        batch_of(row),
        (int(row[name]) for name in ("time", "inputs", "hidden")),
    )
    rng, values, classes = (
        np.random.default_rng(0),
        values_of(row),
        CLASSES if row["entry"] == "classifier" else None,
    )
    params = _params_of(
        row["params"], random_params(GRUConfig(D, H, classes, param_dtype="float64"))
    )
    usual_x, usual_carry = rng.normal(size=(*batch, T, D)), rng.normal(size=(*batch, H))
    if row["params"] == "faint":
        usual_x, usual_carry = usual_x * FAINT, usual_carry * FAINT
    drawn = rng.random((*batch, T)) < 0.3
    if T > DENSE:
        drawn &= np.arange(T) % 500 < 50
    drawn[..., 0] |= np.resize([True, False], batch)
    kind = np.iinfo(row["lengths dtype"])
    own = {"passed": given, "other dtype": OTHER_DTYPES.get(dtype, given)}.get(
        row["carry"]
    )
    if row["wide"] != "all":
        given, own, stored = (
            dtype if row["wide"] == name else NARROW
            for name in ("inputs", "carry", "parameters")
        )

    def of_values(some: Values) -> tuple[Any, ...]:
        lengths = None
        if row["lengths"] == "passed":  # of int64, also those beyond 32 bits
            usable = np.resize(some.lengths(T, kind.min, kind.max), batch)
            lengths = np.asarray(np.clip(usable, kind.min, kind.max), kind.dtype)
        padding = (
            np.zeros(drawn.shape, bool)
            if lengths is None
            else np.arange(T) >= lengths[..., None]
        )
        resets = some.resets(drawn, padding) if row["resets"] == "passed" else None
        scale, start = some.scale(given), usual_carry
        if (
            some.spoiled and resets is not None
        ):  # where the first step that an example runs is reset, and no padding
            first = -1 if row["reverse"] == "yes" else 0
            start = np.where((resets & ~padding)[..., first, None], np.nan, start)
        x = np.where(
            padding[..., None],
            np.resize([np.nan, np.inf, -np.inf], usual_x.shape),
            usual_x * scale,
        )
        passed = None if own is None else (start * min(scale, CARRY_SCALE)).astype(own)
        return x.astype(given), passed, lengths, resets

    columns = zip(*map(of_values, values), strict=True)
    x, carry, lengths, resets = (
        None if column[0] is None else np.stack(column) for column in columns
    )
    assert x is not None
    weights = rng.normal(
        size=(1, *batch, classes) if classes else (1, *batch, T, H)
    ).astype(computed)
    d_carry = rng.normal(size=(1, *batch, H)).astype(computed)
    return Data(
        values,
        jax.tree.map(lambda p: p.astype(stored), params),
        x,
        carry,
        lengths,
        resets,
        weights,
        d_carry,
    )


def _params_of(kind: str, params: Any) -> Any:
    """Parameters in float64, changed as a row says.

    faint: without biases and with a start at 0, so that small inputs have small outputs, where tanh(a) is a.
    closed: r and z are near 1e-9 at every state, and the start is near 1e8, of which they let pass a part near 1.
    """
    if kind == "faint":
        return params._replace(
            **{
                n: np.zeros_like(getattr(params, n))
                for n in ("bias", "bias_n", "initial_carry")
            }
        )
    if kind == "closed":
        r_and_z = np.arange(len(params.bias)) < 2 * len(params.bias_n)
        weight, bias = (
            np.where(r_and_z[:, None], 0, params.weight_hh),
            params.bias - 20 * r_and_z,
        )
        return params._replace(
            weight_hh=weight, bias=bias, initial_carry=params.initial_carry * 1e8
        )
    return params
