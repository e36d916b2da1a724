"""The trail of a program: a signature of each value and the line that computed it, by which two versions are compared.

A program is evaluated in NumPy, in float64, equation by equation. Where it computes something else after an upgrade,
its trail parts from the older one at a line: the first whose operands both have, and whose result only one has.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from ...common.parity.tape import TraceTape, comparable, seen
from ...common.program import CodeLine, jax_line
from .files import Arrays, Kept
from .noticing import place_of
from .record import IN_FLOAT64, SIGNATURE, Subject, Trail, TrailStep, steps_of

#: Signatures that are closer, relative to their size, are of one value: float64 evaluates a function no better.
TOLERANCE = 1e-9
#: Where trigru itself, or JAX, made an operation; and the beginnings of all lines that lead nowhere.
NO_LINE = "no line"
NOWHERE = (NO_LINE, "contextlib.py", "jax/_src/source_info_util.py")
#: Folders of trigru that drive a program, and whose lines are not of the model.
_DRIVING = tuple(
    str(Path(__file__).parents[2] / room) for room in ("bench", "common/parity", "common/program", "common/port")
)


def trail_of(closed: Any, arguments: Sequence[Any], kept: Kept) -> tuple[Trail, list[np.ndarray]]:
    """The trail of a trace, as `jax.make_jaxpr` returns it, and its outputs in float64."""
    tape = TraceTape(closed, [np.asarray(argument)[None] for argument in arguments])
    numbers: dict[str, int] = {}
    steps: list[int] = []
    for step in tape.steps:
        shape = "x".join(map(str, np.shape(tape.values[step.results[0]])[1:]))
        where = f"{_line_of(step.lines(), step.equations)} ({step.operation} of shape {shape or 'scalar'})"
        number = numbers.setdefault(where, len(numbers))
        steps += [number, len(step.operands), len(step.results), *step.operands, *step.results]
    signatures = kept.keep(np.array([_signature(value) for value in tape.values]).reshape(-1, SIGNATURE))
    found = Trail(list(numbers), kept.keep(np.array(steps, np.int32)), signatures)
    return found, [np.asarray(tape.values[number][0]) for number in tape.outputs]


def _line_of(lines: Sequence[CodeLine], equations: Sequence[Any]) -> str:
    """The innermost line of a model or a library, by its place in a package, and the user's line that led there.

    Where neither led to the equations, it is the line of the function of JAX that was called.
    """
    lines = [line for line in lines if not line.file.startswith(_DRIVING)]
    if not lines:
        own = jax_line(equations)
        return NO_LINE if own is None else f"{place_of(own.file)}:{own.line}"
    inner, users = lines[0], (line for line in lines if place_of(line.file) == Path(line.file).name)
    own = next(users, None)
    found = f"{place_of(inner.file)}:{inner.line}"
    return found if own is None or own == inner else f"{found}, from {place_of(own.file)}:{own.line}"


def _signature(value: Any) -> list[float]:
    """Numbers that no layout changes; of a value that does not tell others apart, as a flag, numbers that it does."""
    if comparable(value):
        sizes = np.abs(seen(value)).reshape(-1)
        largest = sizes.max()
        shares = sizes / largest
        return [1.0, float(sizes.size), float(largest), float(shares.sum()), float(shares @ shares)]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fcbiu":
        return [0.0] * SIGNATURE
    numbers = np.abs(value.reshape(-1)).astype("float64")
    return [0.0, float(numbers.size), float(numbers.sum()), float(numbers @ np.arange(1.0, 1 + numbers.size)), 0.0]


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
        agrees = {n for n in range(len(tells)) if n not in made or (tells[n] and other.near(self.signatures[n]).any())}
        agrees |= self._unimportant(agrees)
        partners = self._partners(other)
        for number, step in enumerate(self.steps):
            if not agrees.issuperset(step.operands):
                continue
            own = self.signatures[step.results]
            theirs = other.signatures[partners[number].results] if number in partners else own
            alike = own.shape == theirs.shape and np.allclose(own, theirs, rtol=TOLERANCE, atol=0, equal_nan=True)
            if all(value in agrees or (not tells[value] and alike) for value in step.results):
                agrees.update(step.results)
            elif not step.where.startswith(NOWHERE):
                found.append(number)
        return found

    def place(self, parted: Sequence[int], result: np.ndarray | None, other: "Side") -> str:
        """The first of some steps that leads to a result, or the first of all where its numbers tell nothing.

        Of a result that the other computes, too, in another place, it is the step that computed it; "" for none.
        """
        value = None if result is None else self._number_of(result)
        if result is None or value is None:
            return self.steps[parted[0]].where if parted else ""
        makers, wanted = set[int](), {value}
        for number in reversed(range(len(self.steps))):
            if wanted.intersection(self.steps[number].results):
                makers.add(number)
                wanted.update(self.steps[number].operands)
        leading = [number for number in parted if number in makers]
        if not leading and makers and other._number_of(result) is not None:
            leading = [max(makers)]
        where = self.steps[leading[0]].where if leading else NO_LINE
        return "" if where.startswith(NOWHERE) else where

    def near(self, wanted: np.ndarray) -> np.ndarray:
        """Of each value, whether it has a signature."""
        with np.errstate(invalid="ignore"):
            return np.all(np.abs(self.signatures - wanted) <= TOLERANCE * np.abs(wanted), axis=1)

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
            found |= {v for v in step.results if v in within and all(known.issuperset(u.results) for u in users[v])}
        return found

    def _partners(self, other: "Side") -> dict[int, TrailStep]:
        """The step of the other in the place of each, where one is."""
        operations = ([step.where.rpartition(" (")[2] for step in side.steps] for side in (self, other))
        matcher = SequenceMatcher(None, *operations, autojunk=False)
        return {
            a: other.steps[b]
            for _, first, last, start, end in matcher.get_opcodes()
            if last - first == end - start
            for a, b in zip(range(first, last), range(start, end), strict=True)
        }
