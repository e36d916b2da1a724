"""The quantities of two models that ought to be the same, where each leaf of the one holds leaves of the other."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .layouts import Layout
from .matching import Match
from .obstacles import obstacles, rule_lines
from .programs import Program, Result
from .record import Place
from .tape import Tape
from .values import Arguments, largest

#: The most stopped gradients and rules of one's own that are left out, to see whether the gradients agree.
OBSTACLES = 12


def leaf_errors(matches: Sequence[Match], reference: Any, candidate: Any, among: Any = None) -> list[float]:
    """The largest difference of each leaf of the candidate from what it is of the reference's; 0 without a partner."""
    pairs = zip(matches, candidate, strict=True)
    return [0.0 if m.layout is None else largest([m.layout.convert(reference)], [a], among) for m, a in pairs]


def parameter_gradients(matches: Sequence[Match], first: Result, second: Result) -> Iterator[float]:
    """The largest difference of each leaf of the reference, where the candidate's gradient can be given back.

    Args:
        matches: one for each leaf of the candidate.
        first, second: of the reference and of the candidate, with gradients.
    """
    sets = max(map(len, first.of_params))
    totals = [np.zeros((sets, *a.shape[1:]), a.dtype) for a in first.of_params]
    for m, gradient in zip(matches, second.of_params, strict=True):
        if isinstance(m.layout, Layout):
            m.layout.give_back(np.broadcast_to(gradient, (sets, *gradient.shape[1:])), totals)
    known = {n for m in matches if isinstance(m.layout, Layout) for n in m.layout.sources}
    computed = {n for m in matches if m.layout and not isinstance(m.layout, Layout) for n in m.layout.sources}
    for n in sorted(known - computed):
        yield largest([first.of_params[n]], [totals[n]], first.of_params)


def paired_outputs(r: Any, c: Any, first: Tape, second: Tape, states: Sequence[Match]) -> list[tuple[int, int]]:
    """The outputs and the new states of both that ought to be the same, by the numbers of values of their tapes."""
    n = len(r.outputs)
    return [*zip(first.outputs[:n], second.outputs[:n], strict=True), *_whole(states, first, n, second, n)]


def paired_gradients(r: Any, c: Any, first: Tape, second: Tape, matches: Sequence[Match]) -> list[tuple[int, int]]:
    """The gradients of both that ought to be the same, by the numbers of values of their tapes."""
    n_r, n_c = len(r.outputs) + len(r.states), len(c.outputs) + len(c.states)
    inputs = zip(first.outputs[n_r + len(r.params) :], second.outputs[n_c + len(c.params) :], strict=False)
    return [*_whole(matches, first, n_r, second, n_c), *inputs]


def _whole(matches: Sequence[Match], first: Tape, n_r: int, second: Tape, n_c: int) -> Iterator[tuple[int, int]]:
    """The outputs of two tapes, from a place of each on, that belong to leaves of which one is one of the other's."""
    for i, match in enumerate(matches):
        if match.layout is not None and len(match.layout.sources) == 1:
            yield first.outputs[n_r + match.layout.sources[0]], second.outputs[n_c + i]


def left_out(
    programs: tuple[Any, Any],
    arguments: tuple[Arguments, Arguments],
    weights: Sequence[Any],
    matches: Sequence[Match],
    tolerance: float,
) -> Iterator[Place]:
    """The equations without which the gradients agree: a stopped gradient, or a wrong rule of one's own.

    Args:
        programs, arguments: of the reference and of the candidate, with one set of values.
        weights: of the outputs, whose weighted sum is differentiated.
        matches: one for each leaf of the candidate.
        tolerance: the largest difference of gradients that agree.
    """
    gradients = [program.gradient(some, weights) for program, some in zip(programs, arguments, strict=True)]
    for which in (1, 0):
        program = programs[which]
        lines = obstacles(program.closed) if isinstance(program, Program) else {}
        for here, some in list(lines.items())[:OBSTACLES]:
            pair = gradients.copy()
            pair[which] = program.gradient_without(some, arguments[which], weights)
            first, second = pair
            inputs = zip(first.of_inputs, second.of_inputs, strict=False)
            errors = [*parameter_gradients(matches, first, second)]
            errors += [largest([a], [b], first.of_inputs) for a, b in inputs]
            if max(errors, default=0.0) > tolerance:
                continue
            if which:
                for rule in rule_lines(some[0]):
                    yield Place(rule, None, "Without this rule, the gradients agree.")
                yield Place(here, None, "Without it, the gradients agree.")
            else:
                yield Place(None, here, "If the reference did not have it, the gradients would agree.")
