"""The places where two programs part, the likeliest cause first."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..program import CodeLine
from .agreement import comparable
from .choices import carried, lines_of_choice
from .departure import Departure, Search
from .hypotheses import mend_of
from .locations import callers, is_users
from .mending import Mended, Mending, in_shape
from .tape import Step, Tape

#: Operations that put numbers elsewhere, or choose among them: the result may be wrong, and of the right numbers.
CHOICES = frozenset(
    {
        *("concatenate", "slice", "split", "rev", "transpose", "gather", "dynamic_slice", "pad", "reshape", "select_n"),
        *("broadcast_in_dim", "neg", "cat", "stack", "permute", "view", "flip", "chunk", "index", "where"),
    }
)


def departures(search: Search) -> list[Departure]:
    """The steps at which the candidate parts from the reference; none if all outputs agree."""
    if not search.wrong:
        return []
    steps = search.first()
    others = search.first_of_reference()
    if not steps:
        return [Departure(None, other) for other in others]
    mending = Mending(search)
    mended_by = mending.of_results(steps)
    healed = (mended_by.step, mended_by.other) if mended_by else None
    counterparts = [search.counterpart(step) for step in steps]
    choices = _of_choice(search, mending, steps, mended_by)
    mend = mend_of(search, mending.again(), steps, mended_by)
    changed: list[Departure] = []
    if mend:
        other = search.counterpart(mend.step) or (others[0] if others else None)
        changed = [Departure(mend.step, other, heals=True, mend=mend.sentence)]
    if mend and _is_of_library(mend.of or mend.step):
        changed.append(Departure(mend.of or mend.step, None, cause=MADE))
    elif not mend:
        changed = [Departure(step, other, cause=REORDERED) for step, other in _reordered(search, mending)]
    return [*changed, *choices, *_of_function(search, steps, counterparts, healed, others)]


def _of_choice(search: Search, mending: Mending, steps: Sequence[Step], result: Mended | None) -> list[Departure]:
    """The lines that chose a wrong operand, if another one mends the candidate."""
    mended = mending.of_operands([*steps, *carried(search, steps)])
    if mended is None and result is not None and result.step.moves and len(result.step.operands) > 1:
        mended = result
    if mended is None:
        return []
    lines = list(dict.fromkeys(lines_of_choice(search, mended)))
    return [Departure(mended.step, mended.other, heals=True, cause=CHOICE, line=line) for line in lines]


def _of_function(
    search: Search,
    steps: Sequence[Step],
    counterparts: Sequence[Step | None],
    healed: tuple[Step, Step | None] | None,
    others: Sequence[Step],
) -> list[Departure]:
    shared = [Departure(step, None, cause=SHARED) for step in _shared(search, steps, counterparts)]
    near: list[Departure] = []
    far: list[Departure] = []
    for step, other in zip(steps, counterparts, strict=True):
        for origin in _origins(search, step, other):
            (near if _function(origin) == _function(step) else far).append(Departure(origin, None, cause=OPERAND))
    apart = [
        Departure(step, other or (others[0] if others else None))
        for step, other in zip(steps, counterparts, strict=True)
        if not (healed and step is healed[0])
    ]
    made = [Departure(step, None, cause=MADE) for step in steps[:1]]
    called = [Departure(step, None, cause=CALLED) for step in steps[:1]]
    first = healed[0] if healed and any(step is healed[0] for step in steps) else steps[0]
    nearby = [*made, *near, *called] if _has_options(search, first) else [*near, *called, *made]
    mended = [Departure(*healed, heals=True)] if healed else []
    if mended and first is mended[0].candidate:
        return [*mended, *nearby, *apart, *far]
    if len({_line(step) for step in steps}) > 1:
        return [*shared, *apart[:1], *mended, *apart[1:], *nearby, *far]
    if len(steps) == 1:  # what does not heal alone, and is run once
        return [*shared, *apart, *mended, *nearby, *far]
    return [*shared, *apart[:1], *nearby[:1], *mended, *nearby[1:], *apart[1:], *far]


def _reordered(search: Search, mending: Mending) -> Iterator[tuple[Step, Step | None]]:
    """The first step that moves numbers to other places than the reference, if the reference's order mends it."""
    tape = search.candidate
    reached = tape.ancestors([c for _, c in search.wrong])
    moves = [step for step in tape.steps if step.moves and step.results[0] in reached]
    moves = [step for step in moves if comparable(tape.values[step.results[0]])]
    for step in sorted(moves, key=lambda step: search.has(step.results[0])):
        number = step.results[0]
        value = tape.values[number]
        for other in search.shuffled(value):
            ways = in_shape(search.reference.values[other], value.shape)
            if any(mending.heals({number: way}) for way in ways if not np.array_equal(way, value)):
                maker = search.reference.maker.get(other)
                yield step, None if maker is None else search.reference.steps[maker]
                return


def _has_options(search: Search, step: Step) -> bool:
    """Whether a step may be wrong although its operands are right: a product and a sum have nothing to choose.

    But a library may add or multiply by what its module was made with, as an epsilon or a momentum.
    """
    if step.operation not in ("dot_general", "mul", "add", "sub", "add_any", "concatenate"):
        return True
    return _is_of_library(step) and any(search.is_constant(n) for n in step.operands)


def _is_of_library(step: Step) -> bool:
    """Whether a library computes it."""
    lines = step.lines()
    return bool(lines) and not is_users(lines[0])


def _function(step: Step) -> tuple[str, str] | None:
    """The user's function in which a step stands."""
    line = _line(step)
    return None if line is None else (line.file, line.function)


MADE = "The module that computes it is made here."
CALLED = "It is called here."
CHOICE = "With another value here, the outputs agree."
REORDERED = "The reference has these numbers in another order, and with that order the outputs agree."
SHARED = "What it makes is used where the reference uses another value."
OPERAND = "It makes what is used there."


def _shared(search: Search, steps: Sequence[Step], counterparts: Sequence[Step | None]) -> list[Step]:
    """The steps that make operands of several steps at which the programs part, where the reference has others."""
    tape = search.candidate
    makers: list[int] = []
    for step, other in zip(steps, counterparts, strict=True):
        makers += {tape.maker[value] for value in search.wrong_operands(step, other)}
    found = [n for n in dict.fromkeys(makers) if makers.count(n) > 1]
    if not found and len({(_line(step), step.operation) for step in steps}) > 1:
        every = [{tape.maker[v] for v in search.wrong_operands(step, None)} for step in steps]
        found = sorted(set.intersection(*every))[:1]
    moved = (_last_common(tape, tape.steps[n], steps) for n in found)
    return [step for n, last in zip(found, moved, strict=True) for step in dict.fromkeys([last, tape.steps[n]])]


def _last_common(tape: Tape, made: Step, steps: Sequence[Step]) -> Step:
    """The last step that moves what a step made, before several others take it."""
    number = made.results[0]
    while True:
        users = [tape.steps[n] for n in dict.fromkeys(tape.used.get(number, ()))]
        last = len(users) == 1 and users[0].moves and len(users[0].operands) == len(users[0].results) == 1
        if not last or any(users[0] is step for step in steps):
            break
        number = users[0].results[0]
    return tape.steps[tape.maker[number]] if number in tape.maker else made


def _origins(search: Search, step: Step, other: Step | None) -> list[Step]:
    """The steps on other lines that make the operands of a step: those first that may choose wrongly."""
    tape, line = search.candidate, _line(step)
    found: list[Step] = []
    wrong = search.wrong_operands(step, other)
    rest = [*wrong, *[n for n in step.operands if n not in wrong]]
    reached: set[int] = set()
    while rest and len(reached) < 64:
        value = rest.pop(0)
        if value in reached or value not in tape.maker:
            continue
        reached.add(value)
        made = tape.steps[tape.maker[value]]
        if _line(made) is not None and _line(made) != line:
            found.append(made)
            if made.moves and made.operation != "scan":
                rest.extend(n for n in made.operands)
        else:
            rest.extend(made.operands)
    order = {id(s): n for n, s in enumerate(found)}
    direct = [tape.steps[tape.maker[v]] for v in wrong if other is not None]
    place = {id(s): n for n, s in enumerate(tape.steps)}
    found.sort(key=lambda s: (search.has(s.results[0]), s.operation not in CHOICES, -place[id(s)], order[id(s)]))
    return [s for s in dict.fromkeys([*direct, *found]) if _line(s) not in (None, line)]


def _line(step: Step) -> CodeLine | None:
    return next(iter(callers(step)), None)
