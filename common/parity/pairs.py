"""Both programs of a comparison, and what ought to be the same in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..program.model import Leaf
from ..program.tape import Tape
from .departure import moved_starts
from .layouts import LeafLayout
from .matching import Match
from .programs import Result
from .values import Arguments, largest

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
        of_inputs = zip(first.of_inputs, second.of_inputs, strict=False)
        for n, (wanted, own) in enumerate(of_inputs, 1):
            number = f" {n}" if len(first.of_inputs) > 1 else ""
            errors[f"gradient of input{number}"] = largest(
                [wanted], [own], first.of_inputs
            )
        of_params = [
            largest([wanted], [own], first.of_params)
            for _, wanted, own in self._param_gradients(first, second)
        ]
        return errors | {OF_PARAMETERS: max(of_params, default=0.0)}

    def most_different_gradient(
        self, first: Result, second: Result, tolerance: float
    ) -> str:
        """The reference's parameter whose gradients differ most, and in how many of its
        numbers.
        """
        words, worst = "", 0.0
        for leaf, wanted, own in self._param_gradients(first, second):
            error = largest([wanted], [own], first.of_params)
            if error > worst:
                slack = tolerance * np.abs(wanted).max(initial=0)
                count = (np.abs(own - wanted) > slack).any(axis=0).sum()
                words = f"{leaf.path}, in {count} of {leaf.size} numbers"
                worst = error
        return words

    def _param_gradients(
        self, first: Result, second: Result
    ) -> Iterator[tuple[Leaf, np.ndarray, np.ndarray]]:
        """Leaves of the reference with their gradients in both, as far as the
        candidate's can be given back.
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
        for n in sorted(known - computed):
            yield self.r.params[n], first.of_params[n], totals[n]

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
        states = _paired(self.state_matches, wanted.state, own.state)
        return first, second, [*outputs, *states]

    def gradient_tapes(self) -> tuple[Tape, Tape, list[tuple[int, int]]]:
        """As `tapes`, of the gradients."""
        first = self.r.gradient_tape(self.mine)
        second = self.c.gradient_tape(self.given)
        wanted = Result(self.r, first.outputs)
        own = Result(self.c, second.outputs)
        params = _paired(self.matches, wanted.of_params, own.of_params)
        inputs = zip(wanted.of_inputs, own.of_inputs, strict=False)
        return first, second, [*params, *inputs]


def leaf_errors(
    matches: Sequence[Match], reference: Any, candidate: Any, among: Any = ()
) -> list[float]:
    """The largest difference of each leaf of the candidate from what it is of the
    reference's; 0 without a partner.
    """
    pairs = zip(matches, candidate, strict=True)
    return [
        0.0 if m.layout is None else largest([m.layout.convert(reference)], [a], among)
        for m, a in pairs
    ]


def _paired(
    matches: Sequence[Match], first: Sequence[int], second: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """The values of leaves of the candidate that are one leaf of the reference."""
    for match, value in zip(matches, second, strict=True):
        if match.layout is not None and len(match.layout.sources) == 1:
            yield first[match.layout.sources[0]], value
