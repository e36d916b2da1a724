"""All values that a program computes for some arguments, and how: it can be played again from a changed value on."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..program import CodeLine, Evaluator, code_lines, is_key, wide
from .agreement import Known

#: Primitives that move numbers and compute none.
MOVES = frozenset({
    "reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev", "concatenate", "pad", "copy",
    "dynamic_slice", "dynamic_update_slice", "gather", "convert_element_type", "split", "stack", "unstack", "scan",
    "reduce_precision", "stop_gradient", "real", "imag", "complex",
})  # fmt: skip
PART = 64  # after so many new values, a program that is played again may stop


@dataclass(frozen=True, eq=False)
class Step:
    """A value, or several, that one operation computed. Values and steps have numbers in the tape."""

    operation: str  # the name of the primitive; `scan` where a loop takes or puts together the array of a step
    run: Callable[..., Any]  # of the operands; returns the result, or a sequence of them
    operands: tuple[int, ...]
    results: tuple[int, ...]
    lines: Callable[[], tuple[CodeLine, ...]]  # that led to it, the innermost first
    summed: tuple[tuple[tuple[int, ...], ...], ...] = ()  # of a product, groups of axes of each operand, summed over
    equations: tuple[Any, ...] = ()  # the equation of JAX that it is, behind those around it
    number: int = -1  # its own, among the steps of the tape

    @property
    def moves(self) -> bool:
        return self.operation in MOVES


class Tape:
    """The values of a program, numbered in the order in which they were computed, and the steps between them."""

    def __init__(self):
        self.values: list[Any] = []  # arrays with an axis of sets in front, of length 1
        self.steps: list[Step] = []
        self.maker: dict[int, int] = {}  # the step that computed a value; constants and arguments have none
        self.used: dict[int, list[int]] = {}  # the steps that take a value
        self.arguments: tuple[int, ...] = ()
        self.outputs: tuple[int, ...] = ()
        self._known: dict[float, Known] = {}

    def known(self, tolerance: float) -> Known:
        if tolerance not in self._known:
            self._known[tolerance] = Known(self.values, tolerance)
        return self._known[tolerance]

    def add(self, value: Any) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def record(self, step: Step) -> None:
        """Add a step, whose values have numbers; it gets its own."""
        step = replace(step, number=len(self.steps))
        for value in set(step.operands):
            self.used.setdefault(value, []).append(step.number)
        self.maker.update((value, step.number) for value in step.results if value not in step.operands)
        self.steps.append(step)

    def made(self, value: int) -> Step | None:
        """The step that computed a value; None for a constant and an argument."""
        return self.steps[self.maker[value]] if value in self.maker else None

    def users(self, value: int) -> list[Step]:
        return [self.steps[n] for n in self.used.get(value, ())]

    def before(self, values: Sequence[int]) -> Iterator[int]:
        """These values and all that they are computed of, the nearest first."""
        reached, rest = set(), deque(values)
        while rest:
            value = rest.popleft()
            if value not in reached:
                reached.add(value)
                yield value
                rest.extend(step.operands if (step := self.made(value)) else ())

    def base(self, value: int) -> int:
        """What a value is, before its numbers were moved."""
        while (step := self.made(value)) and step.moves and len(step.operands) == 1:
            if self.values[step.operands[0]].size != self.values[value].size:
                break
            value = step.operands[0]
        return value

    def rounds(self, step: Step) -> list[int]:
        """The numbers of the steps that stand on one line and are the same, as in a loop, this one among them."""
        return self._sites[self._site(step)]

    @np.errstate(all="ignore")
    def played(
        self,
        changed: Mapping[int, Any],
        runs: Mapping[int, Callable[..., Any]] | None = None,
        goes_on: Callable[[Sequence[Any]], bool] | None = None,
    ) -> dict[int, Any]:
        """All values that are others, where some are `changed`, or steps run other functions, by their numbers.

        After some steps each, `goes_on` gets their new values, and says whether to go on.
        """
        new, runs, last = dict(changed), runs or {}, []
        for number, step in enumerate(self.steps):
            depends = number in runs or not new.keys().isdisjoint(step.operands)
            if not depends or not new.keys().isdisjoint(step.results):
                continue
            run = runs.get(number, step.run)
            result = run(*[new.get(value, self.values[value]) for value in step.operands])
            results = result if isinstance(result, list | tuple) else [result]
            new.update(zip(step.results, results, strict=True))
            last += results
            if goes_on is not None and len(last) >= PART:
                if not goes_on(last):
                    break
                last = []
        return new

    def changed(self, changed: Mapping[int, Any]) -> "Tape":
        """The tape with other values in the place of some, and all that follows from them."""
        tape, new = copy(self), self.played(changed)
        tape.values, tape._known = [new.get(number, value) for number, value in enumerate(self.values)], {}
        return tape

    @cached_property
    def constants(self) -> set[int]:
        """The values that depend on no argument."""
        depends = set(self.arguments)
        for step in self.steps:
            if not depends.isdisjoint(step.operands):
                depends.update(step.results)
        return set(range(len(self.values))) - depends

    @cached_property
    def _sites(self) -> dict[Any, list[int]]:
        sites: dict[Any, list[int]] = {}
        for step in self.steps:
            sites.setdefault(self._site(step), []).append(step.number)
        return sites

    def _site(self, step: Step) -> Any:
        """Where a step was made, within the lines: two products on one line are told apart."""
        frames = []
        for equation in step.equations:
            traceback = getattr(equation.source_info, "traceback", None)
            codes, offsets = traceback.raw_frames() if traceback else ((), (id(step.equations[-1]),))
            frames.append((*map(id, codes), *offsets))
        return step.operation, tuple(frames) or step.lines(), *(np.shape(self.values[n]) for n in step.results)

    def summed_over(self, number: int) -> tuple[frozenset[int], ...]:
        """How far apart the numbers of an argument are, flattened, over which its first product sums, in groups."""
        rest = [(number, np.arange(self.values[number].size).reshape(self.values[number].shape))]
        while rest:
            value, places = rest.pop(0)
            for step in self.users(value):
                if step.summed:
                    groups = step.summed[step.operands.index(value)]
                    return tuple(frozenset(_apart(places, axis + 1) for axis in group) for group in groups)
                if step.operation == "concatenate":
                    others = (places if n == value else np.full(self.values[n].shape, -1) for n in step.operands)
                    rest.append((step.results[0], step.run(*others)))
                elif step.moves and len(step.operands) == 1 and len(step.results) == 1:
                    rest.append((step.results[0], step.run(places)))
        return ()


class TraceTape(Tape):
    """The values of a program that JAX has traced, evaluated in float64; it is what `How.observe` takes."""

    def __init__(self, closed: Any, arguments: Sequence[np.ndarray], constants: Any = None):
        super().__init__()
        self._numbers: dict[int, int] = {}
        self._callers: list[Any] = []
        evaluator = Evaluator(closed, wide=True, observe=self, draws=False, constants=constants)
        pairs = zip(arguments, closed.in_avals, strict=True)
        given = [a if is_key(aval) else np.array(a, wide(aval.dtype)) for a, aval in pairs]
        self.arguments = tuple(map(self._number, given))
        self.outputs = tuple(map(self._number, evaluator(*given)))

    def enter(self, equation: Any) -> None:
        self._callers.append(equation)

    def leave(self) -> None:
        self._callers.pop()

    def step(self, equation: Any, function: Any, operands: Sequence[Any], results: Sequence[Any]) -> None:
        if all(id(result) in self._numbers for result in results):
            return  # it handed on a value
        ins, outs = tuple(map(self._number, operands)), tuple(map(self._number, results))
        around = tuple(self._callers)
        lines, name = partial(code_lines, equation, around), equation.primitive.name
        self.record(Step(name, function, ins, outs, lines, _summed(equation), (*around, equation)))

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = self.add(value)
        return self._numbers[id(value)]


def _apart(places: np.ndarray, axis: int) -> int:
    """How far apart the first two numbers of at least 0 along an axis are; 0 if there is one alone."""
    along = np.moveaxis(places, axis, 0).reshape(places.shape[axis], -1)
    column = along[:, np.argmax((along >= 0).any(0))]
    some = column[column >= 0][:2]
    return int(some[1] - some[0]) if len(some) > 1 else 0


def _summed(equation: Any) -> tuple[tuple[tuple[int, ...], ...], ...]:
    if equation.primitive.name == "dot_general":
        return tuple((tuple(axes),) for axes in equation.params["dimension_numbers"][0])
    if equation.primitive.name == "conv_general_dilated":
        numbers = equation.params["dimension_numbers"]
        return tuple(tuple((axis,) for axis in spec[1:]) for spec in (numbers.lhs_spec, numbers.rhs_spec))
    return ()
