"""All values that a program computes, and how: it can be played again from a changed value on.

Values of two programs are compared in whatever layout they have.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from . import CodeLine, Evaluator, code_lines, is_key, wide

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
MOST_AXES = 5  # the most axes that are exchanged to find a layout
PART = 64  # after so many new values, a program that is played again may stop
MASKING = 1e6  # numbers beyond it may be there to mask others
MOST_ENTRIES = (
    1 << 14
)  # the most numbers of an array that is taken apart into single entries
PARTS = (
    2,
    3,
    4,
)  # into so many parts of one size an array may be cut along an axis, besides its single entries


@dataclass(frozen=True, eq=False)
class Step:
    """A value, or several, that one operation computed. Values and steps have numbers in the tape."""

    operation: str  # the name of the primitive; `scan` where a loop takes or puts together the array of a step
    run: Callable[
        ..., Any
    ]  # of the operands; returns the result, or a sequence of them
    operands: tuple[int, ...]
    results: tuple[int, ...]
    lines: Callable[[], tuple[CodeLine, ...]]  # that led to it, the innermost first
    summed: tuple[
        tuple[tuple[int, ...], ...], ...
    ] = ()  # of a product, groups of axes of each operand, summed over
    equations: tuple[
        Any, ...
    ] = ()  # the equation of JAX that it is, behind those around it
    number: int = -1  # its own, among the steps of the tape

    @property
    def moves(self) -> bool:
        return self.operation in MOVES


class Tape:
    """The values of a program, numbered in the order in which they were computed, and the steps between them."""

    def __init__(self):
        self.values: list[Any] = []  # arrays with an axis of sets in front, of length 1
        self.steps: list[Step] = []
        self.maker: dict[
            int, int
        ] = {}  # the step that computed a value; constants and arguments have none
        self.used: dict[int, list[int]] = {}  # the steps that take a value
        self.arguments: tuple[int, ...] = ()
        self.outputs: tuple[int, ...] = ()
        self._known: dict[float, Known] = {}

    def known(self, tolerance: float) -> "Known":
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
        self.maker.update(
            (value, step.number) for value in step.results if value not in step.operands
        )
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
            result = run(
                *[new.get(value, self.values[value]) for value in step.operands]
            )
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
        tape.values, tape._known = (
            [new.get(number, value) for number, value in enumerate(self.values)],
            {},
        )
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
        """For each step, the numbers of those that stand on its line and are the same, as in a loop, with its own.

        Two products on one line are told apart.
        """
        rounds: list[list[int]] = []
        sites: dict[Any, list[int]] = {}
        for step in self.steps:
            frames = []
            for equation in step.equations:
                traceback = getattr(equation.source_info, "traceback", None)
                codes, offsets = (
                    traceback.raw_frames()
                    if traceback
                    else ((), (id(step.equations[-1]),))
                )
                frames.append((*map(id, codes), *offsets))
            shapes = (np.shape(self.values[n]) for n in step.results)
            same = sites.setdefault(
                (step.operation, tuple(frames) or step.lines(), *shapes), []
            )
            same.append(step.number)
            rounds.append(same)
        return rounds

    def summed_over(self, number: int) -> tuple[frozenset[int], ...]:
        """How far apart the numbers of an argument are, flattened, over which its first product sums, in groups."""
        rest = [
            (
                number,
                np.arange(self.values[number].size).reshape(self.values[number].shape),
            )
        ]
        while rest:
            value, places = rest.pop(0)
            for step in self.users(value):
                if step.summed:
                    groups = step.summed[step.operands.index(value)]
                    return tuple(
                        frozenset(_apart(places, axis + 1) for axis in group)
                        for group in groups
                    )
                if step.operation == "concatenate":
                    others = (
                        places if n == value else np.full(self.values[n].shape, -1)
                        for n in step.operands
                    )
                    rest.append((step.results[0], step.run(*others)))
                elif step.moves and len(step.operands) == 1 and len(step.results) == 1:
                    rest.append((step.results[0], step.run(places)))
        return ()


class TraceTape(Tape):
    """The values of a program that JAX has traced, evaluated in float64; it is what `How.observe` takes."""

    def __init__(
        self, closed: Any, arguments: Sequence[np.ndarray], constants: Any = None
    ):
        super().__init__()
        self._numbers: dict[int, int] = {}
        self._callers: list[Any] = []
        evaluator = Evaluator(
            closed, wide=True, observe=self, draws=False, constants=constants
        )
        pairs = zip(arguments, closed.in_avals, strict=True)
        given = [
            a if is_key(aval) else np.array(a, wide(aval.dtype)) for a, aval in pairs
        ]
        self.arguments = tuple(map(self._number, given))
        self.outputs = tuple(map(self._number, evaluator(*given)))

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
        ins, outs = (
            tuple(map(self._number, operands)),
            tuple(map(self._number, results)),
        )
        around = tuple(self._callers)
        lines, name = partial(code_lines, equation, around), equation.primitive.name
        self.record(
            Step(
                name, function, ins, outs, lines, _summed(equation), (*around, equation)
            )
        )

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
        return tuple(
            tuple((axis,) for axis in spec[1:])
            for spec in (numbers.lhs_spec, numbers.rhs_spec)
        )
    return ()


class Signed(NamedTuple):
    """An array as `seen` shows it, with its signature: to compute both takes longer than to compare them."""

    value: np.ndarray
    signature: np.ndarray


class Known:
    """The values of a program, to look others up: they are the same up to a tolerance, relative to the largest."""

    def __init__(self, values: Sequence[Any], tolerance: float):
        self.tolerance = tolerance
        self.signed = [
            _signed(value) if comparable(value) else None for value in values
        ]
        groups: dict[int, list[tuple[int, np.ndarray]]] = {}
        for number, some in enumerate(self.signed):
            if some is not None:
                groups.setdefault(some.value.size, []).append((number, some.signature))
        self._groups = {
            size: tuple(map(np.array, zip(*group, strict=True)))
            for size, group in groups.items()
        }
        self._slices: dict[int, Known] = {}

    def same(self, value: np.ndarray | Signed, alike: Any = None) -> Iterator[int]:
        """The numbers of the values that are `alike`, as `layout` says by default, the first first."""
        some = value if isinstance(value, Signed) else _signed(value)
        if some.value.size in self._groups:
            numbers, signatures = self._groups[some.value.size]
            largest, sizes, *_ = some.signature
            near = np.abs(signatures - some.signature) <= 8 * self.tolerance * np.array(
                [largest, sizes, sizes, sizes]
            )
            for number in map(int, numbers[near.all(1)]):
                other = self.signed[number]
                if other is not None and (alike or layout)(
                    some.value, other.value, self.tolerance
                ):
                    yield number

    def has(self, value: np.ndarray | Signed) -> bool:
        return next(self.same(value), None) is not None

    def composed(self, value: Any) -> bool:
        """Whether each part of a value is known, cut along one of its axes, or it is a part of one that is."""
        value = seen(value)
        for parts in cuts(value):
            some = [part for part in parts if comparable(part)]
            if some and all(map(self.has, some)):
                return True
        size = value.size
        if size not in self._slices and size <= MOST_ENTRIES:
            values = (some.value for some in self.signed if some is not None)
            wholes = (
                value
                for value in values
                if value.size > size and value.size % size == 0
            )
            parts = [
                part
                for whole in wholes
                for some in cuts(whole)
                for part in some
                if part.size == size
            ]
            self._slices[size] = Known(parts, self.tolerance)
        return size <= MOST_ENTRIES and self._slices[size].has(value)


def comparable(value: Any) -> bool:
    """Whether something is an array of numbers that tells values apart: no flag, counter or constant, and no NaN."""
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind not in "fc"
        or value.size < 2
        or np.isnan(value).any()
    ):
        return False
    value = seen(value)
    return bool((value != value.flat[0]).any())


def seen(value: np.ndarray) -> np.ndarray:
    """An array of real numbers, with 0 for those that only mask others.

    A complex array has one more axis, of its real and its imaginary part. Numbers that are a million times those that
    are usual in it, as minus infinity under a softmax, are 0: it counts alone where they stand.
    """
    if value.dtype.kind == "c":
        value = np.stack([np.real(value), np.imag(value)], axis=-1)
    if max(value.max(initial=0), -value.min(initial=0)) <= MASKING:
        return value
    value = np.where(np.isinf(value), np.sign(value) * 1e300, value)
    sizes = np.abs(value)
    usual = np.median(sizes[sizes > 0])
    least = MASKING * max(min(usual, 1.0), 1e-300)
    return (
        np.where(sizes > least, 0.0, value)
        if (sizes <= least).any()
        else value / sizes.max()
    )


def layout(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Whether two arrays of one size are the same or each other's negative, with axes exchanged, and reshaped."""
    slack = tolerance * max(np.abs(b).max(initial=0), 1e-300)
    return any(
        _moved(*pair, slack) for other in (b, -b) for pair in ((a, other), (other, a))
    )


def cuts(value: np.ndarray) -> Iterator[list[np.ndarray]]:
    """An array taken apart along each of its axes, into single entries and into a few parts of one size."""
    value = value.reshape([n for n in value.shape if n > 1])
    for axis, length in enumerate(
        value.shape if value.ndim > 1 and value.size <= MOST_ENTRIES else ()
    ):
        if length <= 64:
            yield list(np.moveaxis(value, axis, 0))
    for axis, length in enumerate(value.shape):
        for parts in PARTS:
            if length % parts == 0 and length > parts:
                yield np.split(value, parts, axis)


def _moved(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    a, flat = a.reshape([n for n in a.shape if n > 1]), b.reshape(-1)
    probes = np.linspace(0, a.size - 1, min(a.size, 16)).astype(int)
    for order in (
        permutations(range(a.ndim)) if a.ndim <= MOST_AXES else [range(a.ndim)]
    ):
        moved = a.transpose(order)
        places = np.unravel_index(probes, moved.shape)
        if _close(moved[places], flat[probes], slack) and _close(
            moved.reshape(-1), flat, slack
        ):
            return True
    return False


def _close(a: np.ndarray, b: np.ndarray, slack: float) -> bool:
    return bool((np.abs(a - b) <= slack).all())


def _signed(value: np.ndarray) -> Signed:
    """An array as `seen` shows it, with its signature, which no layout changes.

    That is the largest magnitude, and relative to it the sums of magnitudes, of squares, and of squares with signs.
    """
    value = seen(value)
    largest = np.abs(value).max()
    flat = np.ascontiguousarray(value).reshape(-1) / largest
    sizes = np.abs(flat)
    return Signed(
        value, np.array([largest, sizes.sum(), flat @ flat, abs(flat @ sizes)])
    )
