"""The quantities of two models that ought to be the same, where each leaf of the one holds leaves of the other."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import listed
from .layouts import Layout, Leaf, Transform
from .matching import Match
from .obstacles import by_line, rule_lines
from .programs import Program, Result
from .record import Place
from .tape import Tape
from .values import Arguments, largest

#: The most stopped gradients and rules of one's own that are left out, to see whether the gradients agree.
OBSTACLES = 12


def parameter_gradients(matches: Sequence[Match], first: Result, second: Result) -> Iterator[float]:
    """The largest difference of each leaf of the reference, where the candidate's gradient can be given back.

    Args:
        matches: one for each leaf of the candidate.
        first, second: of the reference and of the candidate, with gradients.
    """
    sets = max(map(len, first.of_params))
    totals = [np.zeros((sets, *a.shape[1:]), a.dtype) for a in first.of_params]
    known: set[int] = set()
    computed: set[int] = set()
    for m, gradient in zip(matches, second.of_params, strict=True):
        if isinstance(m.layout, Layout):
            m.layout.give_back(np.broadcast_to(gradient, (sets, *gradient.shape[1:])), totals)
            known.update(m.layout.sources)
        elif m.layout is not None:
            computed.update(m.layout.sources)
    for n, (a, b) in enumerate(zip(first.of_params, totals, strict=True)):
        if n in known - computed:
            yield largest([a], [b], first.of_params)


def not_compared(reference: Sequence[Leaf], candidate: Sequence[Leaf], matches: Sequence[Match]) -> list[str]:
    """A sentence for each leaf of the candidate that a mapping computes, whose gradient is none of the reference's.

    Args:
        reference, candidate: the leaves of both.
        matches: one for each leaf of the candidate.
    """
    return [
        f"The mapping computes {leaf.path} from {listed(reference[n].path for n in m.layout.sources)}, so that it may "
        "train at another rate: gradients of these and steps of training are not compared."
        for leaf, m in zip(candidate, matches, strict=True)
        if isinstance(m.layout, Transform)
    ]


def paired_outputs(r: Any, c: Any, first: Tape, second: Tape, states: Sequence[Any]) -> list[tuple[int, int]]:
    """The outputs and the new states of both that ought to be the same, by the numbers of values of their tapes."""
    n = len(r.outputs)
    pairs = list(zip(first.outputs[:n], second.outputs[:n], strict=True))
    for i, match in enumerate(states):
        if match.layout is not None and len(match.layout.sources) == 1:
            pairs.append((first.outputs[n + match.layout.sources[0]], second.outputs[n + i]))
    return pairs


def paired_gradients(r: Any, c: Any, first: Tape, second: Tape, matches: Sequence[Any]) -> list[tuple[int, int]]:
    """The gradients of both that ought to be the same, by the numbers of values of their tapes."""
    n_r, n_c = len(r.outputs) + len(r.states), len(c.outputs) + len(c.states)
    pairs = [
        (first.outputs[n_r + match.layout.sources[0]], second.outputs[n_c + i])
        for i, match in enumerate(matches)
        if match.layout is not None and len(match.layout.sources) == 1
    ]
    inputs = zip(first.outputs[n_r + len(r.params) :], second.outputs[n_c + len(c.params) :], strict=False)
    return [*pairs, *inputs]


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
        lines = by_line(program.closed) if isinstance(program, Program) else {}
        for here, some in list(lines.items())[:OBSTACLES]:
            pair = gradients.copy()
            pair[which] = program.gradient_without(some, arguments[which], weights)
            first, second = pair
            errors = [*parameter_gradients(matches, first, second)]
            inputs = zip(first.of_inputs, second.of_inputs, strict=False)
            if max([*errors, *(largest([a], [b], first.of_inputs) for a, b in inputs)], default=0.0) > tolerance:
                continue
            if which:
                yield from (
                    Place(rule, None, "Without this rule, the gradients agree.") for rule in rule_lines(some[0])
                )
                yield Place(here, None, "Without it, the gradients agree.")
            else:
                yield Place(None, here, "If the reference did not have it, the gradients would agree.")
