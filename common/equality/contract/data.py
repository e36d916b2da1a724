"""What a row is asked about: values and masks of one shape, which its program takes one after the other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...config import GRUConfig
from ...parameters.record import random_params
from .factors import Row

CLASSES = 5
#: That of a carry of another dtype than the computation's.
OTHER_DTYPES = {
    "float64": "float32",
    "float32": "bfloat16",
    "float32 of bfloat16": "bfloat16",
    "bfloat16 of float32": "float32",
}


@dataclass(frozen=True)
class Sizes:
    """The numbers of a row."""

    batch: tuple[int, ...]
    time: int
    inputs: int
    hidden: int

    @property
    def unrolls(self) -> dict[str, int]:
        """Steps in one iteration of the loop, by level."""
        T = self.time
        return {
            "1": 1,
            "dividing": next((n for n in range(2, T + 1) if T % n == 0), 1),
            "not dividing": next((n for n in range(2, T) if T % n), 1),
            "beyond": T + 1,
        }


@dataclass(frozen=True)
class Data:
    """The arrays of one call, NumPy's; None where the row does not pass them. Floating ones in the dtype of inputs."""

    params: Any  # GRUParams, or ClassifierParams of C classes
    x: np.ndarray  # (*batch, T, D); NaN and infinities in the padding
    carry: np.ndarray | None  # (*batch, H); NaN in some values, where it is reset before anything reads it
    lengths: np.ndarray | None  # (*batch)
    resets: np.ndarray | None  # (*batch, T)
    weights: np.ndarray  # of outputs (*batch, T, H) or of logits (*batch, C), in the scalar that is differentiated
    d_carry: np.ndarray  # (*batch, H): of the final carry in that scalar


def sizes_of(row: Row) -> Sizes:
    """The sizes of a row, from its levels."""
    batch = () if row["batch"] == "none" else tuple(int(size) for size in row["batch"].split("x"))
    return Sizes(batch, *(int(row[name]) for name in ("time", "inputs", "hidden")))


def dtypes_of(dtype: str) -> tuple[str, str, str]:
    """Of the computation, of the parameters, and of the inputs, by level of the factor."""
    computed, _, stored = dtype.partition(" of ")
    return computed, stored or computed, "float32" if stored else computed


def config_of(row: Row, dtype: str) -> GRUConfig:
    """The model of a row."""
    sizes, (computed, stored, given) = sizes_of(row), dtypes_of(dtype)
    return GRUConfig(
        sizes.inputs,
        sizes.hidden,
        CLASSES if row["entry"] == "classifier" else None,
        dtype=None if jnp.promote_types(given, stored) == computed else computed,
        param_dtype=stored,
        unroll=sizes.unrolls.get(row["unroll"]) or int(row["unroll"]),
        remat=row["remat"] == "yes",
    )


@dataclass(frozen=True)
class Values:
    """Values and masks that a row is asked about.

    Args:
        name: as failures tell it.
        scale: (dtype) -> by which usual inputs are multiplied.
        carry_scale: the same of carries.
        lengths: (T, least, most) -> lengths that examples take in turn; least and most are those of their dtype. int64
            has some beyond 32 bits, which JAX without x64 would cut off.
        resets: (random booleans (*batch, T), whether a step is padding (*batch, T)) -> resets.
        spoiled: whether a carry that is reset before the first step is NaN.
        saturating: whether gates are at their ends, so that gradients are what rounding leaves of 0.
        everywhere: whether they are asked about where each costs most, too: in other dtypes than float64, and in eager
            calls, of which each is compiled anew.
    """

    name: str
    scale: Callable[[str], float]
    carry_scale: Callable[[str], float]
    lengths: Callable[[int, int, int], list[int]]
    resets: Callable[[np.ndarray, np.ndarray], np.ndarray]
    spoiled: bool = False
    saturating: bool = False
    everywhere: bool = False


def _first(drawn: np.ndarray, padding: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.arange(drawn.shape[-1]) == 0, drawn.shape)


def _in_padding(drawn: np.ndarray, padding: np.ndarray) -> np.ndarray:
    return padding if padding.any() else np.broadcast_to(np.arange(drawn.shape[-1]) == drawn.shape[-1] - 1, drawn.shape)


def _is_unread(resets: np.ndarray, padding: np.ndarray, *, reverse: bool) -> np.ndarray:
    """Whether the first step that an example (*batch) runs is reset, and no padding, through which a carry goes."""
    first = -1 if reverse else 0
    return resets[..., first] & ~padding[..., first]


def _denormal(dtype: str) -> float:
    return float(jnp.finfo(dtype).tiny) / 4


USUAL = Values(
    "usual values",
    lambda dtype: 1.0,
    lambda dtype: 1.0,
    lambda T, least, most: [T // 2 + 1, 0, T],
    lambda drawn, padding: drawn,
    everywhere=True,
)
AGAIN = replace(USUAL, name="usual values again", everywhere=False)
#: In this order. The usual ones come twice, since a program has no memory.
VALUES = (
    USUAL,
    Values(
        "tiny values",
        lambda dtype: 1e-3,
        lambda dtype: 1e-3,
        lambda T, least, most: [T, 1, T - 1],
        lambda drawn, padding: np.ones_like(drawn),
        spoiled=True,
    ),
    Values(
        "saturating values",
        lambda dtype: 300.0 if dtype == "float16" else 1e4,
        lambda dtype: 30.0,
        lambda T, least, most: [most, least + 2 if least < -(2**31) else max(least, -3), 1],
        _first,
        saturating=True,
        everywhere=True,
    ),
    Values("denormal values", _denormal, _denormal, lambda T, least, most: [T, max(T - 2, 0)], _in_padding),
    Values(
        "zeros",
        lambda dtype: 0.0,
        lambda dtype: 0.0,
        lambda T, least, most: [0],
        lambda drawn, padding: np.zeros_like(drawn),
    ),
    AGAIN,
)


def data_of(row: Row, dtype: str, values: Values = USUAL) -> Data:
    """The arrays of a row: random, non-zero ones of its shapes, then scaled and rounded. A row may have a seed."""
    seed = int(row.get("seed", 0))
    sizes, (computed, stored, given) = sizes_of(row), dtypes_of(dtype)
    rng, batch, T, H = np.random.default_rng(seed), sizes.batch, sizes.time, sizes.hidden
    classes = CLASSES if row["entry"] == "classifier" else None
    params = random_params(GRUConfig(sizes.inputs, H, classes, param_dtype="float64"), seed)
    x, carry = rng.normal(size=(*batch, T, sizes.inputs)), rng.normal(size=(*batch, H))
    drawn = rng.random((*batch, T)) < 0.3
    drawn[..., 0] |= np.resize([True, False], batch)

    kind = np.iinfo(row["lengths dtype"])
    usable = np.resize(values.lengths(T, kind.min, kind.max), batch)  # of int64, also those beyond 32 bits
    lengths = np.asarray(np.clip(usable, kind.min, kind.max), kind.dtype)
    if row["lengths"] == "none":
        lengths = None
    padding = np.zeros(drawn.shape, bool) if lengths is None else np.arange(T) >= lengths[..., None]
    x = np.where(padding[..., None], np.resize([np.nan, np.inf, -np.inf], x.shape), x * values.scale(given))
    carries = {"passed": given, "other dtype": OTHER_DTYPES.get(dtype, given)}
    resets = values.resets(drawn, padding) if row["resets"] == "passed" else None
    if values.spoiled and resets is not None:
        carry = np.where(_is_unread(resets, padding, reverse=row["reverse"] == "yes")[..., None], np.nan, carry)
    return Data(
        params=jax.tree.map(lambda p: p.astype(stored), params),
        x=x.astype(given),
        carry=(carry * values.carry_scale(given)).astype(carries[row["carry"]]) if row["carry"] in carries else None,
        lengths=lengths,
        resets=resets,
        weights=rng.normal(size=(*batch, classes) if classes else (*batch, T, H)).astype(computed),
        d_carry=rng.normal(size=(*batch, H)).astype(computed),
    )
