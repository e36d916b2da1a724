"""The line that made a difference: what a program computes, value by value.

A program is evaluated in NumPy, in float64, equation by equation. That leaves a trail:
of each operation the line of code, and of each value a signature, a few numbers that
identify it. Where a program computes something else after an upgrade, its trail parts
from the older one at some line: the first whose operands both have, and whose result
only one has.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn

from ...common.errors import UnjudgedError
from ...common.program import CodeLine, jax_line
from ...common.program.by_jax import run_by_jax
from ...common.program.how import How
from ...common.program.same_values import comparable, seen
from ...common.program.sets import one_set
from ...common.program.tape import TraceTape
from .noticing import place_of
from .record import Observation, Trail
from .snapshot_file import Arrays, ArrayStore
from .steps import SIGNATURE, Step, encode_step, steps_of

#: Two signatures of one value are no farther apart, relative to their size: float64
#: evaluates a function no better.
TOLERANCE = 1e-9
#: The most operations, and numbers, of a program that is evaluated in float64.
MOST_STEPS, MOST_NUMBERS = 50_000, 100_000_000
#: What stands for a line where trigru or JAX made an operation by itself.
NO_LINE = "no line"
#: How lines begin that lead a user nowhere.
NOWHERE = (NO_LINE, "contextlib.py", "jax/_src/source_info_util.py")
_TRIGRU = Path(__file__).parents[2]
#: Folders of trigru that run a program, and whose lines are not of the model.
_RUNNING = tuple(
    str(_TRIGRU / room)
    for room in ("bench", "common/parity", "common/program", "common/port")
)


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation of a trace in float64 found."""

    trail: Trail
    outputs: list[np.ndarray]
    random_bits: str  # a hash of the random bits it draws; "" if it draws none


def evaluated(
    closed: ClosedJaxpr, arguments: Sequence[Any], store: ArrayStore
) -> Evaluated:
    """Evaluate a trace, as `jax.make_jaxpr` returns it, in float64.

    Random bits are fixed meanwhile, so that other draws are no other function. The
    arrays of the trail are kept in the store. Raises an UnjudgedError if the program
    is too long.
    """
    tape = _DrawingTape(closed, [one_set(argument) for argument in arguments])
    line_numbers: dict[str, int] = {}
    numbers: list[int] = []
    for step in tape.steps:
        shape = np.shape(tape.values[step.results[0]])[1:]
        size = "x".join(map(str, shape)) or "scalar"
        code_line = _line_of(step.lines(), step.equations)
        line = f"{code_line} ({step.operation} of shape {size})"
        number = line_numbers.setdefault(line, len(line_numbers))
        numbers += encode_step(number, step.operands, step.results)

    signatures = np.array([_signature(value) for value in tape.values])
    trail = Trail(
        lines=list(line_numbers),
        steps=store.keep(np.array(numbers, np.int32)),
        signatures=store.keep(signatures.reshape(-1, SIGNATURE)),
    )
    outputs = [np.asarray(tape.values[number][0]) for number in tape.outputs]
    return Evaluated(trail, outputs, tape.random_bits)


class _DrawingTape(TraceTape):
    """A tape that also keeps a hash of the random bits, and ends where it is too long.

    The program is evaluated with fixed bits: the hash alone is of those that it draws.
    """

    random_bits = ""
    _numbers_kept = 0

    def step(
        self,
        equation: Any,
        function: Any,
        operands: Sequence[Any],
        results: Sequence[Any],
    ) -> None:
        super().step(equation, function, operands, results)
        self._numbers_kept += sum(np.size(result) for result in results)
        if len(self.steps) > MOST_STEPS or self._numbers_kept > MOST_NUMBERS:
            raise UnjudgedError(
                f"it has more than {MOST_STEPS} operations, or {MOST_NUMBERS} numbers"
            )
        if equation.primitive.name == "random_bits":
            drawn = run_by_jax(equation, How())(*operands)
            content = self.random_bits.encode() + drawn.tobytes()
            self.random_bits = hashlib.sha256(content).hexdigest()[:16]


class Parting:
    """Where the trails of two observations of one program part."""

    def __init__(self, old: Observation, new: Observation, arrays: Arrays):
        self._old, self._new = _Side(old, arrays), _Side(new, arrays)
        self._lost = self._old.steps_without(self._new)
        self._added = self._new.steps_without(self._old)

    def line(self, old: np.ndarray | None, new: np.ndarray | None) -> str:
        """The first line that computes something else, and what stood there before.

        Args:
            old: a result of the older program: only lines that lead to it count. For
                None, all lines do.
            new: the result that stands for it now.
        """
        before = self._old.place(self._lost, old, self._new)
        after = self._new.place(self._added, new, self._old)
        if not before or before == after:
            return after
        if not after:
            return f"before: {before}"
        return f"{after}; before: {before}"


class _Side:
    """The trail of a program in one of two snapshots."""

    def __init__(self, observation: Observation, arrays: Arrays):
        trail = observation.trail
        assert trail is not None
        self.signatures = arrays[trail.signatures]
        self.steps = steps_of(trail, arrays[trail.steps], self.signatures)
        names = observation.exact_results.values()
        self._results = {self.value_of(arrays[name]) for name in names}

    def steps_without(self, other: "_Side") -> list[int]:
        """The numbers of steps whose operands the other has, but not their results.

        What follows from one of them is none: each is a cause of its own.
        """
        alike = self._inputs_and_values_of(other)
        alike |= self._detours(alike)
        partners = self._partners(other)
        is_telling = self.signatures[:, 0] == 1

        parted: list[int] = []
        for number, step in enumerate(self.steps):
            if not alike.issuperset(step.operands):
                continue
            partner = partners.get(number)
            is_same = partner is None or self._has_results_of(step, other, partner)
            others = [value for value in step.results if value not in alike]
            # what tells nothing apart is judged by the step in its place
            if not others or (is_same and not is_telling[others].any()):
                alike.update(step.results)
            elif not step.line.startswith(NOWHERE):
                parted.append(number)
        return parted

    def place(
        self, parted: Sequence[int], result: np.ndarray | None, other: "_Side"
    ) -> str:
        """The line of the first of some steps that leads to a result; "" for none.

        Where the result's numbers do not identify it, it is the first step of all.
        Where the other computes that result, too, but elsewhere, it is the step that
        computes it here.
        """
        value = None if result is None else self.value_of(result)
        if result is None or value is None:
            return self.steps[parted[0]].line if parted else ""

        leading = self._leading_to(value)
        first = next((number for number in parted if number in leading), None)
        if first is None and leading and other.value_of(result) is not None:
            first = max(leading)
        if first is None or self.steps[first].line.startswith(NOWHERE):
            return ""
        return self.steps[first].line

    def value_of(self, result: np.ndarray) -> int | None:
        """The number of the first value that may be a result; None if there is none."""
        wanted = np.array(_signature(result[None]))
        is_same = self._near(wanted)
        if wanted[0] != 1 or not is_same.any():
            return None
        return int(np.argmax(is_same))

    def _near(self, signature: np.ndarray) -> np.ndarray:
        """Of each value, whether it has a signature."""
        with np.errstate(invalid="ignore"):
            differences = np.abs(self.signatures - signature)
            return np.all(differences <= TOLERANCE * np.abs(signature), axis=1)

    def _inputs_and_values_of(self, other: "_Side") -> set[int]:
        """The values that no step computes, and those that the other has, too."""
        computed = {value for step in self.steps for value in step.results}
        alike: set[int] = set()
        for value, signature in enumerate(self.signatures):
            if value not in computed or (
                signature[0] == 1 and other._near(signature).any()
            ):
                alike.add(value)
        return alike

    def _detours(self, alike: set[int]) -> set[int]:
        """The values that differ on the way to values that agree.

        The same is computed there in another way.
        """
        users: dict[int, list[Step]] = {}
        for step in self.steps:
            for value in step.operands:
                users.setdefault(value, []).append(step)

        harmless = set(alike)
        for step in reversed(self.steps):
            for value in step.results:
                if value not in users or value in self._results:
                    continue
                if all(harmless.issuperset(user.results) for user in users[value]):
                    harmless.add(value)
        return harmless

    def _has_results_of(self, step: Step, other: "_Side", partner: Step) -> bool:
        """Whether a step has results as the other's step in its place."""
        signatures = self.signatures[list(step.results)]
        partners = other.signatures[list(partner.results)]
        return signatures.shape == partners.shape and np.allclose(
            signatures, partners, rtol=TOLERANCE, atol=0, equal_nan=True
        )

    def _leading_to(self, value: int) -> set[int]:
        """The numbers of the steps that a value depends on."""
        wanted = {value}
        leading: set[int] = set()
        for number in reversed(range(len(self.steps))):
            step = self.steps[number]
            if wanted.intersection(step.results):
                leading.add(number)
                wanted.update(step.operands)
        return leading

    def _partners(self, other: "_Side") -> dict[int, Step]:
        """The other's step in the place of each step, where there is one."""
        own_operations = [_operation(step) for step in self.steps]
        other_operations = [_operation(step) for step in other.steps]
        matcher = SequenceMatcher(
            None, own_operations, other_operations, autojunk=False
        )
        partners: dict[int, Step] = {}
        for _, first, last, other_first, other_last in matcher.get_opcodes():
            if last - first == other_last - other_first:
                for offset in range(last - first):
                    partners[first + offset] = other.steps[other_first + offset]
        return partners


def _operation(step: Step) -> str:
    """What a step computes, without its line of code, as "mul of shape 4)"."""
    return step.line.rpartition(" (")[2]


def _line_of(lines: Sequence[CodeLine], equations: Sequence[JaxprEqn]) -> str:
    """The innermost line of a model or a library, and the user's line that led there.

    Where there is none, it is a line of JAX.
    """
    of_models = [line for line in lines if not line.file.startswith(_RUNNING)]
    if not of_models:
        line = jax_line(equations)
        return NO_LINE if line is None else _text(line)

    innermost = of_models[0]
    for line in of_models:
        is_of_user = place_of(line.file) == Path(line.file).name
        if is_of_user:
            if line == innermost:
                break
            return f"{_text(innermost)}, from {_text(line)}"
    return _text(innermost)


def _text(line: CodeLine) -> str:
    return f"{place_of(line.file)}:{line.line}"


def _signature(value: object) -> list[float]:
    """Numbers that no layout of a value changes, such as its size and its largest.

    A value that tells others apart has 1 as the first. Of one that does not, as a flag,
    they are numbers that a layout does change.
    """
    if isinstance(value, np.ndarray) and comparable(value):
        magnitudes = np.abs(seen(value)).reshape(-1)
        largest = magnitudes.max()
        shares = magnitudes / largest
        return [
            1.0,
            float(magnitudes.size),
            float(largest),
            float(shares.sum()),
            float(shares @ shares),
        ]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fcbiu":
        return [0.0] * SIGNATURE
    numbers = np.abs(value.reshape(-1)).astype("float64")
    places = np.arange(1.0, 1 + numbers.size)
    return [
        0.0,
        float(numbers.size),
        float(numbers.sum()),
        float(numbers @ places),
        0.0,
    ]
