"""The lines at which a candidate takes a wrong value: the right operation, and an operand that is another one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..program import CodeLine
from .departure import Search, base
from .locations import callers, hand_overs
from .mending import Mended
from .tape import Step


def lines_of_choice(search: Search, mended: Mended) -> Iterator[CodeLine]:
    """The lines that may have chosen the operand of a step, the likeliest first.

    Those are: where it was moved last, if its numbers are right and stand elsewhere; where it is handed on, as in a
    `return`, between where it is made and used; where the reference's value is made for another one; where it is used.
    """
    mended = _of_parts(search, mended)
    used = mended.step
    moved, made = _way(search, mended.value)
    own = callers(used)[:1]
    if base(search.reference, mended.with_value) in search.partners(mended.value):
        yield from (line for step in moved for line in callers(step)[:1])
        yield from (line for step in made for line in callers(step)[:1])
        yield from own
        return
    for step in [*made, *moved]:
        yield from hand_overs(step.lines(), used.lines())
    for step in _twins(search, mended):
        yield from (line for line in callers(step) if own and line.function == own[0].function and line != own[0])
    lines = [*own, *(line for step in made for line in callers(step)[:1])]
    yield from reversed(lines) if mended.everywhere else lines


def carried(search: Search, steps: Sequence[Step]) -> list[Step]:
    """The steps in the round of a loop, on the way to some steps, that take a value of an earlier round."""
    tape = search.candidate
    found: dict[int, Step] = {}
    for step in steps[:4]:
        rounds = tape.sites[tape.site(step)]
        at = next(n for n, number in enumerate(rounds) if tape.steps[number] is step)
        for value in tape.ancestors(step.operands) if at else ():
            number = tape.maker.get(value, -1)
            if _round(search, number, len(rounds)) != at or tape.steps[number].moves:
                continue
            makers = [tape.maker.get(n, -1) for n in tape.steps[number].operands]
            if any(0 <= _round(search, maker, len(rounds)) < at for maker in makers):
                found[number] = tape.steps[number]
    return [found[number] for number in sorted(found)]


def _of_parts(search: Search, mended: Mended) -> Mended:
    """Where values are joined, the part that is another one than the reference has there."""
    first, second = search.reference, search.candidate
    while True:
        value, with_value = base(second, mended.value), base(first, mended.with_value)
        if value not in second.maker or with_value not in first.maker:
            break
        mine, other = second.steps[second.maker[value]], first.steps[first.maker[with_value]]
        if not (mine.moves and other.moves and len(mine.operands) == len(other.operands) > 1):
            break
        pairs = zip(mine.operands, other.operands, strict=True)
        apart = [(v, w) for v, w in pairs if base(first, w) not in search.partners(v)]
        if not apart:
            break
        mended = replace(mended, step=mine, value=apart[0][0], with_value=apart[0][1])
    return mended


def _round(search: Search, number: int, rounds: int) -> int:
    """In which round of a loop of so many a step is; -1 if it is in none."""
    tape = search.candidate
    some = tape.sites[tape.site(tape.steps[number])] if number >= 0 else []
    return some.index(number) if len(some) == rounds else -1


def _way(search: Search, value: int) -> tuple[list[Step], list[Step]]:
    """The steps that moved a value last, the last first, and that which made it, if any did."""
    tape, moved = search.candidate, []
    while value in tape.maker:
        step = tape.steps[tape.maker[value]]
        if not step.moves:
            return moved, [step]
        moved.append(step)
        value = step.operands[0]
    return moved, []


def _twins(search: Search, mended: Mended) -> Iterator[Step]:
    """The steps of the candidate that do to another value what the reference does to the one that is missing."""
    tape, number = search.reference, base(search.reference, mended.with_value)
    if number not in tape.maker or search.partners_of_reference(number):
        return
    maker = tape.steps[tape.maker[number]]
    own = callers(maker)[:1]
    for step in tape.steps:
        if step is not maker and step.operation == maker.operation and callers(step)[:1] == own:
            for partner in search.partners_of_reference(step.results[0]):
                if partner in search.candidate.maker:
                    yield search.candidate.steps[search.candidate.maker[partner]]
