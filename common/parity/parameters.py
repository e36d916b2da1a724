"""Which parameter of the candidate is which of the reference: names and shapes propose
it, and derivatives decide.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import listed
from ..program.tape import Tape
from .conditions import conditions
from .copies import tied, with_copies
from .factors import match_by_factors
from .layouts import Transform
from .matching import Match, match, match_by_values, with_uses
from .roles import match_by_roles, outputs_agree
from .values import OTHERS, PERMUTED, Arguments, is_finite


@dataclass
class ParameterMatches:
    """How the parameters of two programs are matched.

    Args:
        proposed: a match for each leaf of the candidate, by names, shapes, values and
            the mapping.
        matches: the same, after the derivatives decided.
        conditions, mapping: of `trigru.common.parity.conditions`.
        remarks: sentences about parameters that are tied, added up or scaled.
    """

    proposed: list[Match]
    matches: list[Match]
    conditions: list[str] = field(default_factory=list)
    mapping: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def match_parameters(
    reference: Any,
    candidate: Any,
    mine: Arguments,
    own: Arguments,
    mapping: Mapping[str, Any] | None,
    say: Callable[[str], None],
) -> ParameterMatches:
    """The matches of the candidate's parameters.

    Args: reference, candidate: the programs. mine, own: arguments of each, in all sets;
        the candidate's parameters are its own.
        mapping: of `compare`.
        say: takes a sentence about what is done next.
    """
    # Inputs that are all alike, as zeros or ones, would tell nothing: in another order
    # they are not, unless a model cannot take them so.
    some = PERMUTED
    first = reference.tape(mine.sets(some))
    if not is_finite(_outputs(first, reference)):
        some = OTHERS
        first = reference.tape(mine.sets(some))
    wanted = _outputs(first, reference)
    both = mine.sets(some), own.sets(some)
    uses = with_uses(reference.params, first)
    del first  # all values of a large program: they are not needed again
    uses_of_candidate = with_uses(candidate.params, candidate.tape(both[1]))
    proposed = match(uses, uses_of_candidate, mapping)
    match_by_values(proposed, reference.param_values, candidate.param_values)
    result = ParameterMatches(proposed, list(proposed))
    agree = outputs_agree(wanted, candidate, both, proposed)
    if not agree:
        say("Match the parameters by their derivatives.")
        matches = match_by_roles(reference, candidate, *both, proposed)
        if matches is None:
            matches = match_by_factors(reference, candidate, *both, proposed)
        wanted = reference.forward(mine).outputs
        if matches and outputs_agree(wanted, candidate, (mine, own), matches):
            result.matches, agree = matches, True
    if agree:  # what names leave open is settled
        result.matches = [replace(m, has_rival=False) for m in result.matches]
    result.matches = with_copies(reference, candidate, *both, result.matches)
    result.remarks += tied(reference, candidate, result.matches)
    result.conditions, result.mapping = conditions(
        reference.params, candidate.params, result.matches
    )
    for leaf, m in zip(candidate.params, result.matches, strict=True):
        if isinstance(m.layout, Transform):
            sources = listed(reference.params[n].path for n in m.layout.sources)
            result.remarks.append(
                f"{leaf.path} is computed of {sources}, so that it may train at "
                "another rate: gradients of these and steps of training are not "
                "compared."
            )
    return result


def _outputs(tape: Tape, program: Any) -> list[np.ndarray]:
    return [tape.values[n] for n in tape.outputs[: len(program.outputs)]]
