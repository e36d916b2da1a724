"""All values that a program computes, and how.

The program can be played again from a changed value on.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from . import CodeLine, Evaluator, code_lines, is_key, wide
from .same_values import Known

#: Primitives that move numbers and compute none.
MOVES = frozenset(
    {
        "reshape",
        "transpose",
        "broadcast_in_dim",
        "squeeze",
        "expand_dims",
        "slice",
        "rev",
        "concatenate",
        "pad",
        "copy",
        "dynamic_slice",
        "dynamic_update_slice",
        "gather",
        "convert_element_type",
        "split",
        "stack",
        "unstack",
        "scan",
        "reduce_precision",
        "stop_gradient",
        "real",
        "imag",
        "complex",
    }
)
#: After so many new values, a program that is played again may stop.
PART = 64

#: Groups of axes over which a product sums, for each of its operands.
Summed = tuple[tuple[tuple[int, ...], ...], ...]


@dataclass(frozen=True, eq=False)
class Step:
    """A value, or several, that one operation computed.

    Values and steps have numbers in the tape.
    """

    #: The name of the primitive; `scan` where a loop takes or puts together the array
    #: of a step.
    operation: str
    #: Of the operands; returns the result, or a sequence of them.
    run: Callable[..., Any]
    operands: tuple[int, ...]
    results: tuple[int, ...]
    #: That led to it, the innermost first.
    lines: Callable[[], tuple[CodeLine, ...]]
    summed: Summed = ()  # empty for all but products
    #: The equation of JAX that it is, behind those around it.
    equations: tuple[Any, ...] = ()
    #: Numbers that it computes with and that are no values of the tape, as PyTorch has.
    numbers: tuple[float, ...] = ()
    number: int = -1  # its own, among the steps of the tape

    @property
    def moves(self) -> bool:
        return self.operation in MOVES


class Tape:
    """The values of a program, and the steps between them.

    Values are numbered in the order in which they were computed.
    """

    def __init__(self):
        self.values: list[Any] = []  # arrays with an axis of sets in front, of length 1
        self.steps: list[Step] = []
        #: The step that computed a value; constants and arguments have none.
        self.maker: dict[int, int] = {}
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
        for value in step.results:
            if value not in step.operands:
                self.maker[value] = step.number
        self.steps.append(step)

    def made(self, value: int) -> Step | None:
        """The step that computed a value; None for a constant and an argument."""
        return self.steps[self.maker[value]] if value in self.maker else None

    def users(self, value: int) -> list[Step]:
        return [self.steps[n] for n in self.used.get(value, ())]

    def before(self, values: Sequence[int]) -> Iterator[int]:
        """These values and all that they are computed of, the nearest first."""
        reached = set()
        rest = deque(values)
        while rest:
            value = rest.popleft()
            if value in reached:
                continue
            reached.add(value)
            yield value
            step = self.made(value)
            if step is not None:
                rest.extend(step.operands)

    def base(self, value: int) -> int:
        """What a value is, before its numbers were moved."""
        while True:
            step = self.made(value)
            if step is None or not step.moves or len(step.operands) != 1:
                return value
            (source,) = step.operands
            if self.values[source].size != self.values[value].size:
                return value
            value = source

    @np.errstate(all="ignore")
    def played(
        self,
        changed: Mapping[int, Any],
        runs: Mapping[int, Callable[..., Any]] | None = None,
        goes_on: Callable[[Sequence[Any]], bool] | None = None,
    ) -> dict[int, Any]:
        """The values that change, by their numbers, if the program is played again.

        Some values are `changed`, or some steps run other functions. After some steps
        each, `goes_on` gets their new values, and says whether to go on.
        """
        runs = runs or {}
        new = dict(changed)
        last: list[Any] = []
        for step in self.steps:
            is_other = step.number in runs or not new.keys().isdisjoint(step.operands)
            if not is_other or not new.keys().isdisjoint(step.results):
                continue
            operands = [new.get(n, self.values[n]) for n in step.operands]
            result = runs.get(step.number, step.run)(*operands)
            results = result if isinstance(result, list | tuple) else [result]
            new.update(zip(step.results, results, strict=True))

            last += results
            if goes_on is not None and len(last) >= PART:
                if not goes_on(last):
                    break
                last = []
        return new

    def changed(self, changed: Mapping[int, Any]) -> "Tape":
        """The tape with some values changed, and all that follow from them."""
        new = self.played(changed)
        tape = copy(self)
        tape.values = [new.get(n, value) for n, value in enumerate(self.values)]
        tape._known = {}
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
    def rounds(self) -> list[list[int]]:
        """For each step, the numbers of the steps at its place in the code.

        They have the same operation and shapes, as in the rounds of a loop. The step's
        own number is one of them. Two products on one line are told apart.
        """
        rounds: list[list[int]] = []
        numbers_by_site: dict[Any, list[int]] = {}
        for step in self.steps:
            place = tuple(map(_place_in_code, step.equations)) or step.lines()
            shapes = [np.shape(self.values[n]) for n in step.results]
            site = (step.operation, place, *shapes)
            numbers = numbers_by_site.setdefault(site, [])
            numbers.append(step.number)
            rounds.append(numbers)
        return rounds

    def summed_over(self, number: int) -> tuple[frozenset[int], ...]:
        """How far apart the numbers of an argument are over which a product sums.

        The argument is flattened, and the product is the first that takes it. Returns a
        set of distances from the first of these numbers for each group of axes.
        """
        argument = self.values[number]
        rest = deque([(number, np.arange(argument.size).reshape(argument.shape))])
        while rest:
            value, places = rest.popleft()
            for step in self.users(value):
                if step.summed:
                    groups = step.summed[step.operands.index(value)]
                    return tuple(map(partial(_distances, places), groups))
                moved = self._moved_places(step, value, places)
                if moved is not None:
                    rest.append((step.results[0], moved))
        return ()

    def _moved_places(
        self, step: Step, value: int, places: np.ndarray
    ) -> np.ndarray | None:
        """Where a step puts the places of a value.

        -1 stands for numbers of other values. None is returned if the step computes
        other numbers.
        """
        if step.operation == "concatenate":
            operands = []
            for n in step.operands:
                if n == value:
                    operands.append(places)
                else:
                    operands.append(np.full(self.values[n].shape, -1))
            return step.run(*operands)
        if step.moves and len(step.operands) == 1 and len(step.results) == 1:
            return step.run(places)
        return None


class TraceTape(Tape):
    """The values of a program that JAX has traced, evaluated in float64.

    `How.observe` takes such a tape.
    """

    def __init__(
        self, closed: Any, arguments: Sequence[np.ndarray], constants: Any = None
    ):
        super().__init__()
        self._numbers: dict[int, int] = {}  # of values, by the identity of their arrays
        self._callers: list[Any] = []
        arrays = []
        for array, aval in zip(arguments, closed.in_avals, strict=True):
            arrays.append(array if is_key(aval) else np.array(array, wide(aval.dtype)))
        self.arguments = tuple(map(self._number, arrays))
        evaluator = Evaluator(
            closed, wide=True, observe=self, draws=False, constants=constants
        )
        self.outputs = tuple(map(self._number, evaluator(*arrays)))

    def enter(self, equation: Any) -> None:
        self._callers.append(equation)

    def leave(self) -> None:
        self._callers.pop()

    def step(
        self,
        equation: Any,
        function: Any,
        operands: Sequence[Any],
        results: Sequence[Any],
    ) -> None:
        if all(id(result) in self._numbers for result in results):
            return  # it handed on a value
        callers = tuple(self._callers)
        step = Step(
            operation=equation.primitive.name,
            run=function,
            operands=tuple(map(self._number, operands)),
            results=tuple(map(self._number, results)),
            lines=partial(code_lines, equation, callers),
            summed=_summed(equation),
            equations=(*callers, equation),
        )
        self.record(step)

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = self.add(value)
        return self._numbers[id(value)]


def _place_in_code(equation: Any) -> tuple[int, ...]:
    """Where an equation was made: two products on one line are at other places."""
    traceback = getattr(equation.source_info, "traceback", None)
    if traceback is None:
        return (id(equation),)
    codes, offsets = traceback.raw_frames()
    return (*map(id, codes), *offsets)


def _distances(places: np.ndarray, axes: Sequence[int]) -> frozenset[int]:
    """How far apart from the first of them the places are over which a product sums.

    It sums along some axes. The axis of sets is in front of all. Places below 0 do not
    count.
    """
    if not places.size:
        return frozenset()
    behind = [axis + 1 for axis in axes]
    terms = math.prod(places.shape[axis] for axis in behind)
    last = range(-len(behind), 0)
    sums = np.moveaxis(places, behind, last).reshape(-1, terms)
    most_known = sums[np.argmax((sums >= 0).sum(axis=1))]
    known = most_known[most_known >= 0]
    return frozenset((known - known.min()).tolist())


def _summed(equation: Any) -> Summed:
    name = equation.primitive.name
    if name == "dot_general":
        axes_of_operands, _ = equation.params["dimension_numbers"]
        return tuple((tuple(axes),) for axes in axes_of_operands)
    if name == "conv_general_dilated":
        numbers = equation.params["dimension_numbers"]
        specs = (numbers.lhs_spec, numbers.rhs_spec)
        return tuple(tuple((axis,) for axis in spec[1:]) for spec in specs)
    return ()
