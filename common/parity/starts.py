"""Loops that start at zero, moved from there: a carry of zeros hides what is computed of it in the first round."""

import numpy as np

from .tape import Tape

#: What hands a start on: to these it is no start, but what masks, pads, limits or collects other numbers.
FILLS = frozenset(
    {"max", "min", "select_n", "pad", "scatter", "scatter-add", "scatter_add", "dynamic_update_slice", "reduce_max"}
)


def moved_starts(first: Tape, second: Tape) -> tuple[Tape, Tape]:
    """Both tapes, with the same random numbers where loops start at zero; as they are if only one of them has such."""
    starts = [_starts(tape) for tape in (first, second)]
    if not all(starts):
        return first, second
    return first.changed(starts[0]), second.changed(starts[1])


def _starts(tape: Tape) -> dict[int, np.ndarray]:
    """Arrays for the zeros of a tape that go into a product, and for those of their length beside them."""
    uses = {number: _uses(tape, number) for number in range(len(tape.values)) if _is_zeros(tape, number)}
    lengths = {tape.values[number].shape[-1] for number, names in uses.items() if "dot_general" in names}
    return {
        number: np.broadcast_to(_numbers(tape.values[number].shape[-1]), tape.values[number].shape)
        for number, names in uses.items()
        if tape.values[number].shape[-1] in lengths and not names <= FILLS
    }


def _numbers(length: int) -> np.ndarray:
    return 0.5 * np.random.default_rng(length).standard_normal(length)


def _is_zeros(tape: Tape, number: int) -> bool:
    """Whether a value is an array of zeros that the program makes."""
    value = tape.values[number]
    if number in tape.arguments or not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.any():
        return False
    made = tape.steps[tape.maker[number]] if number in tape.maker else None
    of_scalar = made is None or all(np.size(tape.values[n]) == 1 for n in made.operands)
    return value.ndim > 1 and value.shape[-1] > 1 and of_scalar


def _uses(tape: Tape, number: int) -> set[str]:
    """The operations that compute with a value, also after it was moved."""
    found: set[str] = set()
    rest = [number]
    while rest:
        value = rest.pop()
        for step in (tape.steps[n] for n in tape.used.get(value, ())):
            apart = step.operation == "concatenate" and (
                tape.values[step.results[0]].shape[-1] == tape.values[value].shape[-1]
            )
            if step.moves and not apart and step.operation not in FILLS and len(step.results) == 1:
                rest.extend(step.results)
            else:
                found.add("pad" if apart else step.operation)
    return found
