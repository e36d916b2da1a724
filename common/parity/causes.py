"""The places where two programs part, the likeliest cause first."""

from collections.abc import Iterator, Sequence

from ..program import CodeLine
from .departure import Departure, Search
from .locations import callers
from .tape import Step

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
    steps = _with_data(search, search.first())
    others = search.first_of_reference()
    if not steps:
        return [Departure(None, other) for other in others]
    healed = search.healing(steps)
    counterparts = [search.counterpart(step) for step in steps]
    shared = [Departure(step, None, cause=SHARED) for step in _shared(search, steps, counterparts)]
    origins = [
        Departure(origin, None, cause=OPERAND)
        for step, other in zip(steps, counterparts, strict=True)
        for origin in _origins(search, step, other)
    ]
    apart = [
        Departure(step, other or (others[0] if others else None))
        for step, other in zip(steps, counterparts, strict=True)
        if not (healed and step is healed[0])
    ]
    if healed is None:
        return [*shared, *apart, *origins]
    mended = Departure(*healed, heals=True)
    if any(step is healed[0] for step in steps):
        return [mended, *(origins if not _has_options(healed[0]) else []), *apart, *origins]
    return [*shared, *apart, mended, *origins]


def _has_options(step: Step) -> bool:
    """Whether a step may be wrong although its operands are right: a product and a sum have nothing to choose."""
    return step.operation not in ("dot_general", "mul", "add", "sub", "add_any", "concatenate")


MADE = "The module that computes it is made here."
SHARED = "What it makes is used where the reference uses another value."
OPERAND = "It makes what is used there."


def _with_data(search: Search, steps: Sequence[Step]) -> list[Step]:
    """The steps, those last that compute constants; first, where these meet the data."""
    data = [step for step in steps if not search.is_constant(step.results[0])]
    for step in (step for step in steps if search.is_constant(step.results[0])):
        meets = next(_meeting(search, step), None)
        if meets is not None and all(meets is not other for other in data):
            data.append(meets)
        data.append(step)
    order = {id(step): n for n, step in enumerate(search.candidate.steps)}
    constant = [step for step in data if search.is_constant(step.results[0])]
    return [*sorted((s for s in data if not search.is_constant(s.results[0])), key=lambda s: order[id(s)]), *constant]


def _meeting(search: Search, step: Step) -> Iterator[Step]:
    """The steps that compute with a constant and with data, of the constants that follow from a step."""
    tape, reached = search.candidate, set(step.results)
    for later in tape.steps:
        if reached.isdisjoint(later.operands):
            continue
        if search.is_constant(later.results[0]):
            reached.update(later.results)
        elif not any(n in search.agrees for n in later.results):
            yield later


def _shared(search: Search, steps: Sequence[Step], counterparts: Sequence[Step | None]) -> list[Step]:
    """The steps that make operands of several steps at which the programs part, where the reference has others."""
    tape = search.candidate
    makers: list[int] = []
    for step, other in zip(steps, counterparts, strict=True):
        makers += {tape.maker[value] for value in search.wrong_operands(step, other)}
    return [tape.steps[n] for n in dict.fromkeys(makers) if makers.count(n) > 1]


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
    found.sort(key=lambda s: (search.has(s.results[0]), s.operation not in CHOICES, order[id(s)]))
    return [s for s in dict.fromkeys([*direct, *found]) if _line(s) not in (None, line)]


def _line(step: Step) -> CodeLine | None:
    return next(iter(callers(step)), None)
