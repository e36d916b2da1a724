"""The arrays of a case: sets of values and masks, all of one shape."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import jax
import jax.numpy as jnp
import numpy as np

from ...config import GRUConfig
from ...parameters.record import GRUParams, random_params
from .cases import FLOAT64, Case

#: By which inputs and carries are multiplied that are faint.
FAINT = 1e-9
#: By which a carry is multiplied at most.
CARRY_SCALE = 30.0
#: In longer sequences, resets are rare.
DENSE_STEPS = 1000
Array = np.ndarray


@dataclass(frozen=True)
class Values:
    """Values and masks that a case is asked about.

    Args:
        name: as failures tell it.
        scale: (dtype) -> by which usual inputs are multiplied, and carries by at most
            CARRY_SCALE.
        lengths: (T, least, most) -> lengths that examples take in turn; least and most
            are those of their dtype.
        resets: (random booleans (*batch, T), whether a step is padding (*batch, T)) ->
            resets.
        is_one_hot: whether inputs are 0 but for one feature of each step, and at the
            first and the last step for none.
        has_spoiled_carry: whether a carry that is reset before the first step is NaN.
        saturates: whether gates are at their ends, so that gradients are what rounding
            leaves of 0.
        is_asked_everywhere: whether they are asked about in other dtypes than float64,
            and of compiled programs, too.
    """

    name: str
    scale: Callable[[str], float]
    lengths: Callable[[int, int, int], list[int]]
    resets: Callable[[Array, Array], Array]
    is_one_hot: bool = False
    has_spoiled_carry: bool = False
    saturates: bool = False
    is_asked_everywhere: bool = False


@dataclass(frozen=True)
class CallArrays:
    """The arrays of a call, NumPy's, for several sets of values; None where the case
    does not pass them.

    The axis of sets is the first, and has length 1 where all sets have the same.
    """

    values: tuple[Values, ...]  # of each set
    params: GRUParams  # the same for all sets
    x: Array  # (sets, *batch, T, D); NaN and infinities in the padding
    #: (sets, *batch, H); NaN in some values, where it is reset before anything reads it
    carry: Array | None
    lengths: Array | None  # (sets, *batch)
    resets: Array | None  # (sets, *batch, T)
    weights: Array  # of outputs in what is differentiated (1, *batch, T, H)
    d_carry: Array  # of the final carry in what is differentiated (1, *batch, H)

    @property
    def passed(self) -> tuple[Array, Array | None, Array | None, Array | None]:
        """What is passed to a call: x, carry, lengths, resets."""
        return self.x, self.carry, self.lengths, self.resets

    def of_set(self, number: int) -> "CallArrays":
        """One set, whose axis has length 1."""
        chosen = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "params" and value is not None and len(value) > 1:
                chosen[field.name] = value[number : number + 1]
        return replace(self, **chosen)


def _usual_scale(dtype: str) -> float:
    return 1.0


def _saturating_scale(dtype: str) -> float:
    return 300.0 if dtype == "float16" else 1e4


def _denormal_scale(dtype: str) -> float:
    return float(jnp.finfo(dtype).tiny) / 4


def _zero_scale(dtype: str) -> float:
    return 0.0


def _usual_lengths(steps: int, least: int, most: int) -> list[int]:
    return [steps // 2 + 1, 0, steps]


def _full_lengths(steps: int, least: int, most: int) -> list[int]:
    return [steps, 1, steps - 1]


def _extreme_lengths(steps: int, least: int, most: int) -> list[int]:
    """The largest number of the dtype, one below 0, and 1.

    Those of int64 JAX would cut off to 32 bits without x64.
    """
    is_beyond_32_bits = least < -(2**31)
    return [most, least + 2 if is_beyond_32_bits else max(least, -3), 1]


def _long_lengths(steps: int, least: int, most: int) -> list[int]:
    return [steps, max(steps - 2, 0)]


def _no_lengths(steps: int, least: int, most: int) -> list[int]:
    return [0]


def _random_resets(random: Array, padding: Array) -> Array:
    return random


def _all_resets(random: Array, padding: Array) -> Array:
    return np.ones_like(random)


def _first_reset(random: Array, padding: Array) -> Array:
    return np.broadcast_to(np.arange(random.shape[-1]) == 0, random.shape)


def _resets_in_padding(random: Array, padding: Array) -> Array:
    """In the padding; where there is none, at the last step."""
    return padding if padding.any() else _first_reset(random, padding)[..., ::-1]


def _no_resets(random: Array, padding: Array) -> Array:
    return np.zeros_like(random)


USUAL_VALUES = Values(
    "usual values",
    _usual_scale,
    _usual_lengths,
    _random_resets,
    is_asked_everywhere=True,
)
ONE_HOT_VALUES = Values(
    "one-hot values",
    _usual_scale,
    _full_lengths,
    _all_resets,
    is_one_hot=True,
    has_spoiled_carry=True,
)
#: In this order.
VALUES = (
    USUAL_VALUES,
    ONE_HOT_VALUES,
    Values(
        "saturating values",
        _saturating_scale,
        _extreme_lengths,
        _first_reset,
        saturates=True,
        is_asked_everywhere=True,
    ),
    Values("denormal values", _denormal_scale, _long_lengths, _resets_in_padding),
    Values("zeros", _zero_scale, _no_lengths, _no_resets),
)
#: A compiled program, or a model outside of jit, is called on these last, since it has
#: no memory.
AGAIN = replace(USUAL_VALUES, name="usual values again")


def values_of(case: Case) -> tuple[Values, ...]:
    """The sets of values that a case is asked about."""
    if case.run == "eager":
        return USUAL_VALUES, ONE_HOT_VALUES, AGAIN
    takes_long = case.phase in ("train_step", "penalty")
    if takes_long or case.params != "random" or case.wide != "all":
        return (USUAL_VALUES,)
    everywhere = tuple(values for values in VALUES if values.is_asked_everywhere)
    if case.is_compiled:
        return (*everywhere, AGAIN)
    is_short = case.time in (17, 1, 2)
    return VALUES if case.dtypes == FLOAT64 and is_short else everywhere


def arrays_of(case: Case) -> CallArrays:
    """The arrays of a case: random, non-zero ones of its shapes, then scaled and
    rounded.
    """
    batch, T, D, H = case.batch, case.time, case.inputs, case.hidden
    drawn = random_params(GRUConfig(D, H, param_dtype="float64"))
    params = params_of(case.params, drawn)
    rng = np.random.default_rng(0)
    usual_x, usual_carry = rng.normal(size=(*batch, T, D)), rng.normal(size=(*batch, H))
    if case.params == "faint":
        usual_x, usual_carry = usual_x * FAINT, usual_carry * FAINT
    random = rng.random((*batch, T)) < 0.3
    if T > DENSE_STEPS:
        random &= np.arange(T) % 500 < 50
    random[..., 0] |= np.resize([True, False], batch)

    values = values_of(case)
    xs, carries, lengths, resets = [], [], [], []
    for some in values:
        length = _lengths_of(case, some)
        padding = np.zeros(random.shape, bool)
        if length is not None:
            padding = np.arange(T) >= length[..., None]
        reset = some.resets(random, padding) if case.resets else None
        scale = some.scale(case.dtypes.inputs)
        spoiled_x = np.resize([np.nan, np.inf, -np.inf], usual_x.shape)
        x = usual_x * _one_hot(T, D) if some.is_one_hot else usual_x * scale
        x = np.where(padding[..., None], spoiled_x, x)
        carry = usual_carry
        if some.has_spoiled_carry and reset is not None:
            # where the first step that an example runs is reset, and no padding
            first = -1 if case.reverse else 0
            is_unread = (reset & ~padding)[..., first, None]
            carry = np.where(is_unread, np.nan, carry)
        xs.append(x.astype(case.inputs_dtype))
        carries.append((carry * min(scale, CARRY_SCALE)).astype(case.carry_dtype))
        lengths.append(length)
        resets.append(reset)

    is_passed = case.carry in ("passed", "other dtype")
    weights = rng.normal(size=(1, *batch, T, H))
    d_carry = rng.normal(size=(1, *batch, H))
    return CallArrays(
        values,
        jax.tree.map(lambda p: p.astype(case.params_dtype), params),
        np.stack(xs),
        np.stack(carries) if is_passed else None,
        np.stack(lengths) if case.lengths else None,
        np.stack(resets) if case.resets else None,
        weights.astype(case.dtypes.computation),
        d_carry.astype(case.dtypes.computation),
    )


def _one_hot(steps: int, features: int) -> Array:
    """One of a feature of each step (T, D), 0 of all others, and at the first and the
    last step of all.
    """
    hot = np.eye(features)[np.arange(steps) % features]
    hot[[0, -1]] = 0
    return hot


def _lengths_of(case: Case, values: Values) -> Array | None:
    if not case.lengths:
        return None
    kind = np.iinfo(case.lengths_dtype)
    lengths = values.lengths(case.time, kind.min, kind.max)
    in_range = np.clip(np.resize(lengths, case.batch), kind.min, kind.max)
    return np.asarray(in_range, kind.dtype)


def params_of(kind: str, params: GRUParams) -> GRUParams:
    """Parameters in float64, changed as a case says.

    faint: without biases and with a start at 0, so that small inputs have small
    outputs, where tanh(a) is a. closed: r and z are near 1e-9 at every state, and the
    start is near 1e8, of which they let pass a part near 1.
    """
    if kind == "faint":
        return params._replace(
            bias=np.zeros_like(params.bias),
            bias_n=np.zeros_like(params.bias_n),
            initial_carry=np.zeros_like(params.initial_carry),
        )
    if kind == "closed":
        is_r_or_z = np.arange(len(params.bias)) < 2 * len(params.bias_n)
        return params._replace(
            weight_hh=np.where(is_r_or_z[:, None], 0, params.weight_hh),
            bias=params.bias - 20 * is_r_or_z,
            initial_carry=params.initial_carry * 1e8,
        )
    return params
