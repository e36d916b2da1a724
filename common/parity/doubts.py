"""Which parameters may be others than they are taken for, in models that differ."""

from .departure import Search
from .pairs import Pair


def leaves_in_doubt(search: Search, pair: Pair) -> list[str]:
    """The candidate's leaves on the way to where the programs part that may be others
    than they are taken for.

    Those are leaves for which another one of the reference fits as well. And they are
    leaves of which alone the values are computed at which the programs part: the
    reference may keep such a value as it is, the candidate its logarithm. Where such
    values are only moved, they are those of the leaves themselves.
    """
    if not search.wrong:
        return []
    tape, params = search.candidate, pair.c.params
    paths = {n: leaf.path for n, leaf in zip(tape.arguments, params, strict=False)}
    with_rivals = {n for n, m in zip(paths, pair.matches, strict=True) if m.has_rival}
    inputs = set(tape.arguments[len(params) :])
    operands = {n for step in search.first for n in step.operands}
    if inputs.isdisjoint(tape.before(list(operands))):
        computed = [s for s in search.first if not s.moves]
        operands = {n for step in computed for n in step.operands}
        in_doubt = set(tape.before(list(operands)))
    else:
        in_doubt = with_rivals.intersection(_new_arguments(search, operands))
    return [path for n, path in paths.items() if n in in_doubt]


def _new_arguments(search: Search, operands: set[int]) -> set[int]:
    """The arguments of which operands are computed, but not by way of a value that the
    reference has, too.
    """
    tape = search.candidate
    arguments: set[int] = set()
    rest, reached = list(operands), set()
    while rest:
        value = tape.base(rest.pop())
        if value in reached:
            continue
        reached.add(value)
        step = tape.made(value)
        if step is None:
            arguments.add(value)
        elif value not in search.same:
            rest += step.operands
    return arguments
