"""Both programs of a comparison, and what ought to be the same in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..program.tape import Step, Tape
from .departure import moved_starts
from .layouts import LeafLayout
from .matching import Match
from .programs import Result
from .values import Arguments, largest, magnitude

#: The name of a quantity.
OF_PARAMETERS = "gradients of parameters"


@dataclass(frozen=True)
class Pair:
    """The programs of both models in one mode, of the reference and of the candidate,
    and what each is called with.
    """

    r: Any
    c: Any
    mine: Arguments
    given: Arguments
    matches: list[
        Match
    ]  # one for each leaf of the candidate's parameters, and of its state
    state_matches: list[Match]

    def sets(self, some: slice) -> "Pair":
        return replace(self, mine=self.mine.sets(some), given=self.given.sets(some))

    def gradients(self) -> tuple[Result, Result]:
        """The outputs and gradients of both."""
        return self.r.gradient(self.mine), self.c.gradient(self.given)

    def gradient_errors(self, first: Result, second: Result) -> dict[str, float]:
        """The largest difference of the gradient of each input, and of the parameters,
        by the name of the quantity.
        """
        errors = {}
        of_inputs = self._input_gradient_errors(first, second)
        for n, error in enumerate(of_inputs, 1):
            number = f" {n}" if len(of_inputs) > 1 else ""
            errors[f"gradient of input{number}"] = error
        of_params = self._param_gradient_errors(first, second)
        errors[OF_PARAMETERS] = max(of_params.values(), default=0.0)
        return errors

    def most_different_gradient(
        self, first: Result, second: Result, tolerance: float
    ) -> str:
        """The reference's parameter whose gradients differ most, and which part of
        it.
        """
        errors = self._param_gradient_errors(first, second)
        worst = max(errors, key=lambda n: errors[n])
        wanted, own = self._param_gradients(first, second)[worst]
        slack = tolerance * np.abs(wanted).max(initial=0)
        differs = (np.abs(own - wanted) > slack).any(axis=0)
        return f"{self.r.params[worst].path}, {_part(differs)}"

    def _input_gradient_errors(self, first: Result, second: Result) -> list[float]:
        among = magnitude(first.of_inputs)
        both = zip(first.of_inputs, second.of_inputs, strict=False)
        return [largest([wanted], [own], among) for wanted, own in both]

    def _param_gradient_errors(self, first: Result, second: Result) -> dict[int, float]:
        """By the number of a leaf of the reference."""
        among = magnitude(first.of_params)
        errors = {}
        for n, (wanted, own) in self._param_gradients(first, second).items():
            errors[n] = largest([wanted], [own], among)
        return errors

    def _param_gradients(
        self, first: Result, second: Result
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """The gradients of both, by the number of a leaf of the reference, as far as
        the candidate's can be given back.
        """
        sets = max(map(len, first.of_params))
        totals = [np.zeros((sets, *a.shape[1:]), a.dtype) for a in first.of_params]
        known: set[int] = set()
        computed: set[int] = set()
        for m, gradient in zip(self.matches, second.of_params, strict=True):
            if isinstance(m.layout, LeafLayout):
                wide = np.broadcast_to(gradient, (sets, *gradient.shape[1:]))
                m.layout.give_back(wide, totals)
                known.update(m.layout.sources)
            elif m.layout:
                computed.update(m.layout.sources)
        return {n: (first.of_params[n], totals[n]) for n in sorted(known - computed)}

    def tapes(self) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        """All values of both, and the numbers of those outputs and new states that
        ought to be the same.
        """
        tape = self.r.tape(self.mine)
        tape_of_candidate = self.c.tape(self.given)
        first, second = moved_starts(tape, tape_of_candidate)
        wanted = Result(self.r, first.outputs)
        own = Result(self.c, second.outputs)
        outputs = zip(wanted.outputs, own.outputs, strict=True)
        states = _paired(first, self.state_matches, wanted.state, own.state)
        return first, second, [*outputs, *states]

    def gradient_tapes(
        self, tolerance: float
    ) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        """As `tapes`, of the gradients that differ by more than a tolerance."""
        first = self.r.gradient_tape(self.mine)
        second = self.c.gradient_tape(self.given)
        both = Result(self.r, _outputs(first)), Result(self.c, _outputs(second))
        errors = self._param_gradient_errors(*both)
        differing = {n for n, error in errors.items() if error > tolerance}
        matches = []
        for m in self.matches:
            differs = m.layout and not differing.isdisjoint(m.layout.sources)
            matches.append(m if differs else Match(None))

        wanted = Result(self.r, first.outputs)
        own = Result(self.c, second.outputs)
        pairs = list(_paired(first, matches, wanted.of_params, own.of_params))
        of_inputs = zip(wanted.of_inputs, own.of_inputs, strict=False)
        of_errors = self._input_gradient_errors(*both)
        for pair, error in zip(of_inputs, of_errors, strict=True):
            if error > tolerance:
                pairs.append(pair)
        return first, second, pairs


def _outputs(tape: Tape) -> list[np.ndarray]:
    return [tape.values[n] for n in tape.outputs]


def _part(differs: np.ndarray) -> str:
    """Which part of a parameter differs, in words."""
    words = f"in {differs.sum()} of {differs.size} numbers"
    for axis, length in enumerate(differs.shape):
        others = tuple(n for n in range(differs.ndim) if n != axis)
        places = np.flatnonzero(differs.any(others))
        first, last = int(places.min()), int(places.max())
        if len(places) < length and last - first + 1 == len(places):
            part = f"entry {first}" if first == last else f"entries {first} to {last}"
            words += f", all in {part} of {length} along axis {axis}"
    return words


def leaf_errors(
    matches: Sequence[Match],
    reference: Sequence[np.ndarray],
    candidate: Sequence[np.ndarray],
    among: float = 0.0,
) -> list[float]:
    """The largest difference of each leaf of the candidate from what it is of the
    reference's; 0 without a partner. `among` is that of `largest`.
    """
    errors = []
    for m, own in zip(matches, candidate, strict=True):
        error = 0.0
        if m.layout is not None:
            error = largest([m.layout.convert(reference)], [own], among)
        errors.append(error)
    return errors


def _paired(
    tape: Tape, matches: Sequence[Match], first: Sequence[int], second: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """The values of the reference's leaves, in the layout that the candidate has, and
    the candidate's.

    Args:
        tape: of the reference; it gets a step for each leaf that has another layout.
        matches: of the candidate's leaves.
        first, second: the numbers of the values of the leaves of both.
    """
    for match, value in zip(matches, second, strict=True):
        if isinstance(match.layout, LeafLayout):
            yield _laid_out(tape, match.layout, first), value


def _laid_out(tape: Tape, layout: LeafLayout, leaves: Sequence[int]) -> int:
    """The value on a tape of some leaves in another layout."""
    operands = tuple(leaves[n] for n in layout.sources)

    def run(*arrays: np.ndarray) -> np.ndarray:
        return layout.convert(dict(zip(layout.sources, arrays, strict=True)))

    value = run(*[tape.values[n] for n in operands])
    if len(operands) == 1 and np.array_equal(value, tape.values[operands[0]]):
        return operands[0]
    operation = "transpose" if len(operands) == 1 else "concatenate"
    result = tape.add(value)
    tape.record(Step(operation, run, operands, (result,), tuple))
    return result
