"""A case of the contract: everything that one call of a model depends on, and the words
for it.

A case is a record with typed fields. People read and write it in words: in `rows.json`,
in tables, and in what is said of a case that fails. This module is the only one that
turns one into the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from ...config import GRUConfig
from ...errors import InputError
from ...gru.kernels import STOCK


@dataclass(frozen=True)
class Dtypes:
    """The dtypes of a case.

    Args:
        computation: in which the model computes, and which its outputs have.
        params: in which parameters are stored.
        inputs: of x, and of a carry that is passed.
        other_carry: of a carry in another dtype: one that `computation` holds, or that
            the model is told to take.
    """

    computation: str
    params: str
    inputs: str
    other_carry: str

    def __str__(self) -> str:
        if self.params == self.computation:
            return self.computation
        return f"{self.computation} of {self.params}"


FLOAT64 = Dtypes("float64", "float64", "float64", "float32")
FLOAT32 = Dtypes("float32", "float32", "float32", "bfloat16")
BFLOAT16 = Dtypes("bfloat16", "bfloat16", "bfloat16", "bfloat16")
FLOAT16 = Dtypes("float16", "float16", "float16", "float16")
#: Inputs of float32 promote parameters of bfloat16.
FLOAT32_OF_BFLOAT16 = Dtypes("float32", "bfloat16", "float32", "bfloat16")
#: The model is told to compute in less than what parameters and inputs have.
BFLOAT16_OF_FLOAT32 = Dtypes("bfloat16", "float32", "float32", "float32")
#: Cases in the first ask whether a port is the same function; in the others, whether it
#: is as accurate as NumPy is.
DTYPES = (
    FLOAT64,
    FLOAT32,
    BFLOAT16,
    FLOAT16,
    FLOAT32_OF_BFLOAT16,
    BFLOAT16_OF_FLOAT32,
)
#: The dtype of arrays that are narrower than the one that is wide.
NARROW = "float32"

Entry = Literal["whole", "again", "chunks", "steps"]
Phase = Literal["gradient", "forward", "jvp", "hvp", "penalty", "train_step", "step"]
Carry = Literal["none", "passed", "other dtype", "handed out"]
Unroll = Literal["1", "dividing", "not dividing", "beyond"]
Transform = Literal[
    "jit", "vmap", "ensemble", "checkpoint", "apart", "held", "per example"
]
Run = Literal["traced", "compiled", "quick", "eager"]


@dataclass(frozen=True)
class Case:
    """A call of a model: what is asked of it, its sizes, its arguments, and how it
    runs.

    What is not said is as usual, so that a case is told by what is unusual about it:

    >>> Case(reverse=True, batch=(2, 1, 3)).levels()
    {'batch': '2x1x3', 'reverse': 'yes'}

    Args:
        entry: how a sequence is run: in one call, in the second of two like calls, in
            two parts, or step by step.
        phase: what is asked: outputs, their gradients, their derivative along a
            direction ("jvp"), that of their gradients ("hvp"), the gradient of a
            gradient's slope ("penalty"), some train steps, or, in a call style, one
            step at a time ("step").
        batch: the sizes of the batch axes.
        time, inputs, hidden: T, D and H.
        carry: whether a state is passed; "handed out" passes what the model gives as
        its initial carry. lengths, resets: whether these masks are passed.
        lengths_dtype: the dtype of lengths.
        arrays: what kind of arrays is passed: those of a device, such as have a weak
            type, or NumPy's with values that are not side by side.
        reverse, time_major: flags of the call.
        unroll: how many steps one iteration of the loop has, in its relation to T.
        remat: whether the gates are computed again in the backward pass.
        transform: what JAX does to the call. In "ensemble" there are several models, in
            "apart" one argument is differentiated while all others are held, in "held"
            the function has no argument for the model, and is differentiated by its
            inputs alone, in "per example" each example has a gradient of its own.
        run: how the answers are had: evaluated in NumPy from the "traced" program; by
            XLA, "compiled" with all optimisations, or "quick" with few; or "eager",
            outside of jit.
        style: the call style, by a name or a label; None where the function is called
            directly.
        params: which values the parameters have: those of `arrays.params_of`.
        wide: the one kind of array that has the dtype of the case, while the others are
            float32; "all" for all.
        told_dtype: whether the model is told in which dtype to compute where it would
            do so anyway.
        optimizer: of train steps, by its name in `training.OPTIMIZERS`.
        kernel: of the model.
    """

    entry: Entry = "whole"
    phase: Phase = "gradient"
    batch: tuple[int, ...] = (3,)
    time: int = 17
    inputs: int = 5
    hidden: int = 6
    carry: Carry = "none"
    lengths: bool = False
    lengths_dtype: str = "int32"
    resets: bool = False
    arrays: Literal["device", "weak", "strided"] = "device"
    reverse: bool = False
    time_major: bool = False
    unroll: Unroll = "1"
    remat: bool = False
    transform: Transform = "jit"
    run: Run = "traced"
    style: str | None = None
    dtypes: Dtypes = FLOAT64
    params: Literal["random", "faint", "closed"] = "random"
    wide: Literal["all", "carry", "inputs", "parameters"] = "all"
    told_dtype: bool = False
    optimizer: Literal["momentum", "adam", "clipped adamw", "carry rate"] = "momentum"
    kernel: str = STOCK

    @property
    def is_compiled(self) -> bool:
        """Whether it runs as XLA compiles it."""
        return self.run != "traced"

    @property
    def params_dtype(self) -> str:
        """The dtype in which parameters are stored."""
        return self.dtypes.params if self.wide in ("all", "parameters") else NARROW

    @property
    def inputs_dtype(self) -> str:
        """The dtype of x."""
        return self.dtypes.inputs if self.wide in ("all", "inputs") else NARROW

    @property
    def carry_dtype(self) -> str:
        """The dtype of the carry, where one is passed."""
        if self.carry == "other dtype":
            return self.dtypes.other_carry
        return self.dtypes.inputs if self.wide in ("all", "carry") else NARROW

    def config(self) -> GRUConfig:
        """The configuration of the model."""
        dtypes = self.dtypes
        # without being told, it computes in the wider of these
        is_untold = dtypes.computation in (dtypes.inputs, dtypes.params)
        dtype = dtypes.computation if self.told_dtype or not is_untold else None
        return GRUConfig(
            self.inputs,
            self.hidden,
            dtype=dtype,
            param_dtype=self.params_dtype,
            unroll=self._unrolled_steps(),
            remat=self.remat,
            kernel=self.kernel,
        )

    def _unrolled_steps(self) -> int:
        """The steps of one iteration of the loop."""
        if self.unroll == "dividing":
            return 2
        if self.unroll == "not dividing":
            return 2 if self.time % 2 else 3
        if self.unroll == "beyond":
            return self.time + 1
        return 1

    def levels(self) -> dict[str, str]:
        """What is unusual about it, in words: the level of each factor that has another
        one than usual.
        """
        levels = {}
        for field in fields(self):
            level = getattr(self, field.name)
            if level != field.default:
                levels[name_of(field.name)] = word_of(field.name, level)
        return levels

    @classmethod
    def from_levels(cls, levels: Mapping[str, str]) -> "Case":
        """The case that `levels` describes.

        Raises an InputError if there is no such factor or level.
        """
        changed = {}
        for field in fields(cls):
            word = levels.get(name_of(field.name))
            if word is not None:
                changed[field.name] = _level_of(field.name, field.default, word)
        if len(changed) < len(levels):
            names = [name_of(field.name) for field in fields(cls)]
            raise InputError(
                f"levels of {', '.join(levels)}: expected {', '.join(names)}."
            )
        return cls(**changed)


USUAL = Case()
_NAMES = {
    "lengths_dtype": "lengths dtype",
    "time_major": "time-major",
    "dtypes": "dtype",
    "told_dtype": "told",
}
_MASKS = {False: "none", True: "passed"}
_FLAGS = {False: "no", True: "yes"}


def name_of(field: str) -> str:
    """The name of a field of `Case`, as people read it."""
    return _NAMES.get(field, field)


def word_of(field: str, level: object) -> str:
    """A level of a field of `Case`, as people read it.

    >>> word_of("batch", (2, 3)), word_of("lengths", True), word_of("remat", True)
    ('2x3', 'passed', 'yes')
    """
    if isinstance(level, bool):
        return (_MASKS if field in ("lengths", "resets") else _FLAGS)[level]
    if level is None or level == ():
        return "none"
    if isinstance(level, tuple):
        return "x".join(str(size) for size in level)
    return str(level)


def _level_of(field: str, usual: object, word: str) -> Any:
    """The inverse of `word_of`, for a field that has a usual level of the same type."""
    if isinstance(usual, bool | Dtypes):
        levels = DTYPES if isinstance(usual, Dtypes) else (False, True)
        by_word = {word_of(field, level): level for level in levels}
        if word not in by_word:
            raise InputError(
                f"{name_of(field)} is {word!r}, expected {', '.join(by_word)}."
            )
        return by_word[word]
    if isinstance(usual, tuple):
        return () if word == "none" else tuple(int(size) for size in word.split("x"))
    if isinstance(usual, int):
        return int(word)
    return None if usual is None and word == "none" else word
