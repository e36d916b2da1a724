"""Values of programs before and after an upgrade: how far two arrays are apart, and the line that made the difference.

A program is evaluated in NumPy, in float64, equation by equation, which leaves a trail: a signature of each value and
the line that computed it. Where the program computes something else after an upgrade, its trail parts from the older
one at a line: the first whose operands both have, and whose result only one has.
"""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from ...common.equality.measurement import SAME_BOUND
from ...common.program import CodeLine, jax_line
from ...common.program.same_values import comparable, seen
from ...common.program.tape import TraceTape
from .record import (
    IN_FLOAT64,
    SIGNATURE,
    Arrays,
    Kept,
    Subject,
    Trail,
    TrailStep,
    steps_of,
)
from .worker import place_of

#: In no dtype may two results of one function be farther apart, relative to the largest: in half precision, as many
#: units in the last place as in float64 would be more than the results themselves.
LARGEST_BOUND = 0.1
#: The share by which the constants of a program in float32 are rounded, which is evaluated in float64; and one by which
#: results may move where it also rounds values, as a rematerialized one does.
CONSTANTS, ROUNDED = 2.0**-24, 2.0**-20
FEW_ULPS = 64  # units in the last place that are told as such
TOLERANCE = 1e-9  # of signatures of one value, relative to their size: float64 evaluates a function no better
#: Where trigru itself, or JAX, made an operation; and the beginnings of all lines that lead nowhere.
NO_LINE = "no line"
NOWHERE = (NO_LINE, "contextlib.py", "jax/_src/source_info_util.py")
#: Folders of trigru that drive a program, and whose lines are not of the model.
_DRIVING = tuple(
    str(Path(__file__).parents[2] / room)
    for room in ("bench", "common/parity", "common/program", "common/port")
)

# How far two arrays are apart -----------------------------------------------------------------------------------------


def bound_of(dtype: Any) -> float:
    """The relative difference up to which two results may be one function that is rounded in another way.

    >>> bound_of("float64") == 1e-12, bound_of("bfloat16")
    (True, 0.1)
    """
    units = SAME_BOUND / float(np.finfo("float64").eps)
    return min(units * float(ml_dtypes.finfo(dtype).eps), LARGEST_BOUND)


def excess_of(
    a: np.ndarray, b: np.ndarray, noise: float = 0.0, least: float = 0.0
) -> float:
    """How many times the difference is what rounding explains: it does up to `noise`, and up to a share, `least`."""
    if (a.shape, a.dtype) != (b.shape, b.dtype) or not is_floating(a):
        return np.inf
    return relative_difference(a, b, noise) / max(bound_of(a.dtype), least)


def how_different(a: np.ndarray, b: np.ndarray) -> str:
    """How an array differs from an earlier one, in words, as "1.01 times as large"."""
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{b.dtype}{b.shape} instead of {a.dtype}{a.shape}"
    if not is_floating(a):
        at = int(np.argmax(a.ravel() != b.ravel()))
        return f"{_numbers(b, at)} instead of {_numbers(a, at)}"
    off, few = relative_difference(a, b), ulps(a, b)
    if few <= FEW_ULPS:
        return f"by {few:.0f} unit{'s' * (few >= 2)} in the last place"
    if off <= bound_of(a.dtype):
        return f"by {off:.1e} of the largest number"
    x, y = _reals(a).ravel(), _reals(b).ravel()
    if np.array_equal(np.sort(x), np.sort(y)):
        return "the same numbers in another order"
    with np.errstate(all="ignore"):  # of numbers that are not finite
        ratio = float(x @ y / (x @ x)) if x @ x else np.inf
    is_share = np.isfinite(ratio) and f"{ratio:.5g}" not in ("0", "1")
    if is_share and np.allclose(y, ratio * x, rtol=1e-5, atol=1e-6 * np.abs(y).max()):
        return f"{ratio:.5g} times as large"
    if not y.any() or not x.any():
        return f"{_numbers(b)} instead of {_numbers(a)}"
    worst = int(np.argmax(_differences(x, y)))
    new, old = f"{y[worst]:.5g}", f"{x[worst]:.5g}"
    return f"by {off:.2g} of the largest number" + (
        f", {new} instead of {old}" if new != old else ""
    )


def _numbers(array: np.ndarray, at: int = 0) -> str:
    some = ", ".join(f"{number:.4g}" for number in np.ravel(array)[at : at + 3])
    return "..., " * (at > 0) + some + ", ..." * (np.size(array) > at + 3)


def relative_difference(a: np.ndarray, b: np.ndarray, noise: float = 0.0) -> float:
    """The largest difference above `noise`, over the largest finite magnitude of the first; inf where one is not."""
    differences = _differences(_reals(a), _reals(b))
    return float(np.max(differences, initial=0.0, where=differences > noise)) / (
        _largest(a) or 1.0
    )


def noise_of(arrays: Iterable[np.ndarray]) -> float:
    """What rounding may leave of a sum that is zero in mathematics, of terms as large as some arrays' numbers."""
    units = [
        float(ml_dtypes.finfo(a.dtype).eps) * _largest(a)
        for a in arrays
        if is_floating(a)
    ]
    return FEW_ULPS * max(units, default=0.0)


def ulps(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference in units in the last place of the larger number."""
    kind = ml_dtypes.finfo(a.dtype)
    a, b = _reals(a), _reals(b)
    larger = np.maximum(np.maximum(np.abs(a), np.abs(b)), float(kind.tiny))
    exponent = np.floor(np.log2(np.where(np.isfinite(larger), larger, 1.0)))
    return float(
        np.max(_differences(a, b) / (float(kind.eps) * 2.0**exponent), initial=0.0)
    )


def is_floating(array: np.ndarray) -> bool:
    """Whether its numbers are rounded: floating-point or complex ones."""
    return array.dtype.name.startswith(("float", "bfloat", "complex"))


def _reals(array: np.ndarray) -> np.ndarray:
    """The real numbers in float64; of complex ones, both parts."""
    return np.asarray(
        [np.real(array), np.imag(array)] if array.dtype.kind == "c" else array
    ).astype("float64")


def _largest(array: np.ndarray) -> float:
    """The largest finite magnitude."""
    reals = _reals(array)
    return float(np.max(np.abs(reals), initial=0.0, where=np.isfinite(reals)))


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Magnitudes of the differences: 0 where both are alike, infinities and NaNs too; inf where one is not finite."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        return np.nan_to_num(
            np.where(same, 0.0, np.abs(a - b)), nan=np.inf, posinf=np.inf
        )


# The line that made the difference ------------------------------------------------------------------------------------


def trail_of(
    closed: Any, arguments: Sequence[Any], kept: Kept
) -> tuple[Trail, list[np.ndarray]]:
    """The trail of a trace, as `jax.make_jaxpr` returns it, and its outputs in float64."""
    tape = TraceTape(closed, [np.asarray(argument)[None] for argument in arguments])
    numbers: dict[str, int] = {}
    steps: list[int] = []
    for step in tape.steps:
        shape = "x".join(map(str, np.shape(tape.values[step.results[0]])[1:]))
        where = f"{_line_of(step.lines(), step.equations)} ({step.operation} of shape {shape or 'scalar'})"
        number = numbers.setdefault(where, len(numbers))
        steps += [
            number,
            len(step.operands),
            len(step.results),
            *step.operands,
            *step.results,
        ]
    signatures = kept.keep(
        np.array([_signature(value) for value in tape.values]).reshape(-1, SIGNATURE)
    )
    found = Trail(list(numbers), kept.keep(np.array(steps, np.int32)), signatures)
    return found, [np.asarray(tape.values[number][0]) for number in tape.outputs]


def _line_of(lines: Sequence[CodeLine], equations: Sequence[Any]) -> str:
    """The innermost line of a model or a library, else of JAX, by its package, and the user's line that led there."""
    found = [line for line in lines if not line.file.startswith(_DRIVING)]
    found = found or [line for line in (jax_line(equations),) if line is not None]
    users = [line for line in found if place_of(line.file) == Path(line.file).name]
    told = found[:1] + [line for line in users[:1] if line != found[0]]
    return (
        ", from ".join(f"{place_of(line.file)}:{line.line}" for line in told) or NO_LINE
    )


def _signature(value: Any) -> list[float]:
    """Numbers that no layout changes; of a value that does not tell others apart, as a flag, numbers that it does."""
    if comparable(value):
        sizes = np.abs(seen(value)).reshape(-1)
        largest = sizes.max()
        shares = sizes / largest
        return [
            1.0,
            float(sizes.size),
            float(largest),
            float(shares.sum()),
            float(shares @ shares),
        ]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fcbiu":
        return [0.0] * SIGNATURE
    numbers = np.abs(value.reshape(-1)).astype("float64")
    return [
        0.0,
        float(numbers.size),
        float(numbers.sum()),
        float(numbers @ np.arange(1.0, 1 + numbers.size)),
        0.0,
    ]


class Side:
    """The trail of a program in one of two subjects, and the numbers of the values that are its results."""

    def __init__(self, program: str, subject: Subject, arrays: Arrays):
        trail = subject.trails[program]
        self.signatures = arrays[trail.signatures]
        self.steps = steps_of(trail, arrays[trail.steps], self.signatures)
        results = subject.values.get(f"{program}{IN_FLOAT64}", {}).values()
        self.results = {self._number_of(arrays[name]) for name in results}

    def without(self, other: "Side") -> list[int]:
        """The numbers of the steps whose operands the other has, too, and whose result it has not.

        What follows from one of them is none: each is a cause of its own.
        """
        found: list[int] = []
        tells = self.signatures[:, 0] == 1
        made = {value for step in self.steps for value in step.results}
        agrees = {
            n
            for n in range(len(tells))
            if n not in made or (tells[n] and other.near(self.signatures[n]).any())
        }
        agrees |= self._unimportant(agrees)
        partners = self._partners(other)
        for number, step in enumerate(self.steps):
            if not agrees.issuperset(step.operands):
                continue
            own = self.signatures[step.results]
            theirs = (
                other.signatures[partners[number].results]
                if number in partners
                else own
            )
            alike = own.shape == theirs.shape and np.allclose(
                own, theirs, rtol=TOLERANCE, atol=0, equal_nan=True
            )
            if all(
                value in agrees or (not tells[value] and alike)
                for value in step.results
            ):
                agrees.update(step.results)
            elif not step.where.startswith(NOWHERE):
                found.append(number)
        return found

    def place(
        self, parted: Sequence[int], result: np.ndarray | None, other: "Side"
    ) -> str:
        """The first of some steps that leads to a result, or the first of all where its numbers tell nothing.

        Of a result that the other computes, too, in another place, it is the step that computed it; "" for none.
        """
        if result is None or (value := self._number_of(result)) is None:
            return self.steps[parted[0]].where if parted else ""
        makers, wanted = set[int](), {value}
        for number, step in reversed([*enumerate(self.steps)]):
            if wanted.intersection(step.results):
                makers.add(number)
                wanted.update(step.operands)
        leading = [number for number in parted if number in makers]
        if not leading and makers and other._number_of(result) is not None:
            leading = [max(makers)]
        where = self.steps[leading[0]].where if leading else NO_LINE
        return "" if where.startswith(NOWHERE) else where

    def near(self, wanted: np.ndarray) -> np.ndarray:
        """Of each value, whether it has a signature."""
        with np.errstate(invalid="ignore"):
            return np.all(
                np.abs(self.signatures - wanted) <= TOLERANCE * np.abs(wanted), axis=1
            )

    def _number_of(self, result: np.ndarray) -> int | None:
        """The number of the first value that may be a result; gradients repeat some."""
        wanted = np.array(_signature(result[None]))
        same = self.near(wanted)
        return int(np.argmax(same)) if wanted[0] == 1 and same.any() else None

    def _unimportant(self, agrees: set[int]) -> set[int]:
        """The values that differ on the way to values that agree alone: the same is computed in another way."""
        users: dict[int, list[TrailStep]] = {}
        for step in self.steps:
            for value in step.operands:
                users.setdefault(value, []).append(step)
        found: set[int] = set()
        within = users.keys() - self.results
        for step in reversed(self.steps):
            known = agrees | found
            found |= {
                v
                for v in step.results
                if v in within and all(known.issuperset(u.results) for u in users[v])
            }
        return found

    def _partners(self, other: "Side") -> dict[int, TrailStep]:
        """The step of the other in the place of each, where one is."""
        operations = (
            [step.where.rpartition(" (")[2] for step in side.steps]
            for side in (self, other)
        )
        matcher = SequenceMatcher(None, *operations, autojunk=False)
        return {
            a: other.steps[b]
            for _, first, last, start, end in matcher.get_opcodes()
            if last - first == end - start
            for a, b in zip(range(first, last), range(start, end), strict=True)
        }
