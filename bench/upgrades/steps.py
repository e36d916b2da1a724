"""The operations of a trail, as a snapshot stores them: one row of whole numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .record import Trail

#: How many numbers stand for a value: whether it tells others apart, its size, and
#: three that depend on its numbers.
SIGNATURE = 5
#: A line, a number of operands and a number of results begin each operation.
HEAD = 3


class Step(NamedTuple):
    """An operation of a trail."""

    line: (
        str  # with what it computes, as "flax/linen/recurrent.py:593 (mul of shape 4)"
    )
    operands: Sequence[int]  # numbers of values
    results: Sequence[int]  # numbers of values


def encode_step(
    line: int, operands: Sequence[int], results: Sequence[int]
) -> list[int]:
    """The numbers that stand for an operation at a line with this number."""
    return [line, len(operands), len(results), *operands, *results]


def steps_of(trail: Trail, steps: np.ndarray, signatures: np.ndarray) -> list[Step]:
    """All operations of a trail.

    Args:
        trail: its lines.
        steps: the array of the trail's steps; whole numbers, in one row.
        signatures: the array of its signatures, `SIGNATURE` numbers for each value.

    Raises:
        ValueError: the arrays do not fit the trail. It says what the trail "has".
    """
    if (steps.dtype.kind, steps.ndim) != ("i", 1):
        raise ValueError(
            f"has steps of dtype {steps.dtype} and shape {steps.shape}, expected one "
            "row of whole numbers"
        )
    if (signatures.dtype.kind, signatures.shape[1:]) != ("f", (SIGNATURE,)):
        raise ValueError(
            f"has signatures of dtype {signatures.dtype} and shape {signatures.shape}, "
            f"expected rows of {SIGNATURE} floating-point numbers"
        )

    numbers = steps.tolist()
    decoded: list[Step] = []
    start = 0
    while start < len(numbers):
        step = _decode_step(numbers, start, trail.lines, len(signatures))
        if step is None:
            raise ValueError(
                f"has a step that begins with {numbers[start : start + 8]}, expected "
                f"one of {len(trail.lines)} lines, the numbers of operands and "
                f"results, and as many of {len(signatures)} values"
            )
        decoded.append(step)
        start += HEAD + len(step.operands) + len(step.results)
    return decoded


def _decode_step(
    numbers: Sequence[int], start: int, lines: Sequence[str], value_count: int
) -> Step | None:
    """The operation that begins at a place among numbers; None if there is none."""
    if len(numbers) < start + HEAD:
        return None
    line, operand_count, result_count = numbers[start : start + HEAD]
    if operand_count < 0 or result_count < 0 or not 0 <= line < len(lines):
        return None
    first_value = start + HEAD
    values = numbers[first_value : first_value + operand_count + result_count]
    if len(values) < operand_count + result_count:
        return None
    if any(not 0 <= value < value_count for value in values):
        return None
    return Step(lines[line], values[:operand_count], values[operand_count:])
