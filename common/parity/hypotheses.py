"""Mends of a candidate: small changes of a step, tried out until one makes the outputs equal.

Each hypothesis is a function of a step that yields sentences, and the step as it would be then. Only what makes all
outputs equal is reported. Adding a hypothesis is adding a row to `HYPOTHESES`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, permutations, product
from typing import Any

import numpy as np
from scipy import special

from ..program import alternative
from ..program.tape import Step, Tape
from .departure import Search, Trial, with_operand

Array = np.ndarray
StepChange = tuple[
    str, Callable[..., Any]
]  # what stands in a sentence after "with", and what the step runs instead

STEPS, CONSTANTS = (
    48,
    12,
)  # the most steps that are changed, and constants of the reference in the place of one
BLOCKS = (2, 3, 4)  # into so many blocks an axis is cut, whose order is changed
#: Comparisons, each of which may stand for another.
COMPARISONS = {
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "eq": np.equal,
}
#: Functions of a number that stand for one another in models.
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "relu": lambda x: np.maximum(x, 0),
    "leaky relu of slope 0.01": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * special.expit(x),
    "gelu by erf": lambda x: 0.5 * x * (1 + special.erf(x / np.sqrt(2))),
    "gelu by tanh": lambda x: (
        0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    ),
    "softplus": lambda x: np.logaddexp(x, 0),
    "exp": np.exp,
    "sqrt": np.sqrt,
    "square": np.square,
    "abs": np.abs,
    "the value itself": lambda x: x,
}


def changes(
    search: Search, steps: Sequence[Step], result: Trial | None
) -> Iterator[Trial]:
    """Changes of steps: first of what mends the candidate with a value of the reference, and where both part."""
    tape = search.candidate
    wrong = [step for step in tape.steps if not search.apart.isdisjoint(step.results)]
    near = [*([result.step] if result else []), *steps]
    before = set(
        tape.before([n for step in [*near, *wrong[:STEPS]] for n in step.operands])
    )
    bases = {tape.base(n) for step in steps[:4] for n in step.operands}
    whole = [
        s
        for s in tape.steps
        if any(n in bases or (n in before and s.operation in WHOLE) for n in s.results)
    ]
    tried: set[int] = set()
    for step in [
        *near,
        *sorted([*whole[:STEPS], *wrong[:STEPS]], key=lambda step: step.number),
    ]:
        rounds = tape.rounds[step.number]
        if rounds[0] not in tried:
            tried.add(rounds[0])
            for hypothesis in HYPOTHESES:
                for change, run in hypothesis(search, step):
                    yield Trial(step, runs=dict.fromkeys(rounds, run), change=change)
    yield from _shares(search, wrong[:STEPS])
    yield from _functions(search, near)


def _constants(search: Search, step: Step) -> Iterator[StepChange]:
    """A constant of the reference, of the like of its step, in the place of the candidate's."""
    others = [
        other for other in search.reference.steps if other.operation == step.operation
    ]
    near = [
        other
        for other in others
        if not search.agrees_in_reference.issuperset(other.results)
    ]
    known = [
        c
        for other in [*near, *others]
        for n in other.operands
        if (c := _scalar(search.reference, n)) is not None
    ]
    for place, number in enumerate(step.operands):
        own = _scalar(search.candidate, number)
        if own is None or step.operation in ("select_n", "pad"):
            continue
        of_integer = search.candidate.values[number].dtype.kind in "iu"
        more = (
            [own - 1, own + 1, -own]
            if of_integer
            else [1 - own, -own, *([1 / own] if own else [])]
        )
        for other in list(dict.fromkeys([*known[:CONSTANTS], *more])):
            if other != own and (not of_integer or other == int(other)):
                change = with_operand(
                    step.run, place, lambda a, new=other: np.full_like(a, new)
                )
                yield f"{other:.6g} instead of {own:.6g}", change


def _comparisons(search: Search, step: Step) -> Iterator[StepChange]:
    """Another comparison, as `gt` for `ge`."""
    for name, function in COMPARISONS.items() if step.operation in COMPARISONS else ():
        if name != step.operation:
            yield f"`{name}` instead of `{step.operation}`", function


def _exchanged(search: Search, step: Step) -> Iterator[StepChange]:
    """An operand of a product or a convolution with its axes exchanged."""
    shapes = [np.shape(search.candidate.values[n]) for n in step.operands]
    if step.operation in ("dot_general", "conv_general_dilated"):
        for place, shape in enumerate(shapes):
            axes = [n for n in range(1, len(shape)) if shape[n] > 1]
            for a, b in (
                (a, b) for a in axes for b in axes if a < b and shape[a] == shape[b]
            ):
                change = with_operand(
                    step.run, place, lambda value, a=a, b=b: value.swapaxes(a, b)
                )
                yield (
                    f"axes {a - 1} and {b - 1} of operand {place + 1} exchanged",
                    change,
                )


def _places(search: Search, step: Step) -> Iterator[StepChange]:
    """A part that starts elsewhere along an axis."""
    if step.operation not in ("slice", "dynamic_slice") or not step.operands:
        return
    whole, part = (
        search.candidate.values[step.operands[0]],
        search.candidate.values[step.results[0]],
    )
    axes = [
        n
        for n, (a, b) in enumerate(zip(whole.shape, part.shape, strict=True))
        if a != b
    ]
    if len(axes) != 1 or whole.shape[axes[0]] > 64:
        return
    (axis,) = axes
    length = part.shape[axis]
    takes = [
        lambda a, *_, n=n: np.take(a, range(n, n + length), axis)
        for n in range(whole.shape[axis] - length + 1)
    ]
    own = next(
        (n for n, take in enumerate(takes) if np.array_equal(take(whole), part)), None
    )
    for start, take in enumerate(takes if own is not None else ()):
        if start != own:
            yield f"entry {start} instead of {own} of axis {axis - 1}", take


def _parameters(search: Search, step: Step) -> Iterator[StepChange]:
    """Other axes, or another padding, of as many entries."""
    if not step.equations:
        return
    equation = step.equations[-1]
    params, shape = equation.params, equation.outvars[0].aval.shape
    if (
        axes := params.get("axes")
        if step.operation.startswith(("reduce_", "arg"))
        else None
    ):
        given = equation.invars[0].aval.shape
        for other in permutations(range(len(given)), len(axes)):
            kept = tuple(n for a, n in enumerate(given) if a not in other)
            if (
                kept == shape
                and set(other) != set(axes)
                and list(other) == sorted(other)
            ):
                yield (
                    f"axes {list(other)} instead of {list(axes)}",
                    alternative(equation, axes=other),
                )
    if "padding" in params and step.operation in (
        "conv_general_dilated",
        "reduce_window_sum",
        "reduce_window_max",
    ):
        own = tuple(map(tuple, params["padding"]))
        most = max(n for pad in own for n in pad) + 1
        for pad in product(range(min(most, 4) + 1), repeat=2):
            new = tuple(
                pad if max(axis) or step.operation.startswith("conv") else axis
                for axis in own
            )
            if new != own:
                yield (
                    f"padding {new} instead of {own}",
                    alternative(equation, padding=new),
                )


def _orders(search: Search, step: Step) -> Iterator[StepChange]:
    """The result negative, or its blocks along the last axis in another order."""
    value = search.candidate.values[step.results[0]]
    if (
        len(step.results) > 1
        or not isinstance(value, np.ndarray)
        or value.dtype.kind != "f"
        or step.moves
    ):
        return
    yield "the other sign", lambda *operands: -step.run(*operands)
    if value.ndim > 1 and step.operation in ("add", "dot_general"):
        places = np.arange(value.shape[-1])
        for blocks in (k for k in BLOCKS if len(places) % k == 0 and len(places) > k):
            for order in list(permutations(range(blocks)))[1:]:
                new = places.reshape(blocks, -1)[list(order)].reshape(-1)
                words = (
                    f"the {blocks} blocks of its last axis in the order {list(order)}"
                )
                yield words, lambda *operands, new=new: step.run(*operands)[..., new]


HYPOTHESES = (_constants, _comparisons, _places, _parameters, _exchanged, _orders)
#: Operations that are changed although their results agree, or cannot be compared.
WHOLE = frozenset(
    {
        *COMPARISONS,
        "argmax",
        "argmin",
        "add",
        "sub",
        "select_n",
        "slice",
        "dynamic_slice",
    }
)


def _shares(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Another number from 0 to 1 wherever a constant stands, and what is left to 1 with it, as of a momentum."""
    owns = [[_scalar(search.candidate, n) for n in step.operands] for step in steps]
    others = [
        _scalar(search.reference, n)
        for step in search.first_of_reference
        for n in step.operands
    ]
    shares = [
        [c for c in dict.fromkeys(some) if c and 0 < c < 1]
        for some in (chain(*owns), others)
    ]
    for own, other in product(*shares):
        runs: dict[int, Callable[..., Any]] = {}
        for step, constants in zip(steps, owns, strict=True):
            for place, constant in enumerate(constants):
                for before, after in ((own, other), (1 - own, 1 - other)):
                    if constant is not None and abs(constant - before) < 1e-9:
                        change = with_operand(
                            step.run, place, lambda a, new=after: np.full_like(a, new)
                        )
                        runs |= dict.fromkeys(
                            search.candidate.rounds[step.number], change
                        )
        step = next(
            (
                step
                for step, constants in zip(steps, owns, strict=True)
                if own in constants
            )
        )
        yield Trial(step, runs=runs, change=f"{other:.6g} instead of {own:.6g}")


def _functions(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Another function of an operand, in the place of all that is computed of it in the next steps."""
    tape = search.candidate
    for step in steps[:4]:
        for place, number in enumerate(step.operands):
            x = tape.values[number]
            if (
                not isinstance(x, np.ndarray)
                or x.dtype.kind != "f"
                or x.size < 2
                or number in tape.arguments
            ):
                continue
            functions = FUNCTIONS | {
                f"softmax over axis {n - 1}": lambda x, n=n: special.softmax(x, n)
                for n in range(1, x.ndim)
            }
            # `first_that_mends`, which asks for the trials, silences what NumPy says of overflow
            values = {name: function(x) for name, function in functions.items()}
            for last in reversed(tape.steps[step.number : step.number + 16]):
                result = tape.values[last.results[0]]
                same = (
                    name
                    for name, v in values.items()
                    if np.allclose(v, result, 1e-9, 1e-12, equal_nan=True)
                )
                own = next(same, "") if np.shape(result) == x.shape else ""
                for name, function in functions.items() if own else ():
                    if name != own:
                        changed = _in_rounds(tape, step, place, last, function)
                        yield Trial(step, changed, change=f"{name} instead of {own}")


def _in_rounds(
    tape: Tape, first: Step, place: int, last: Step, function: Callable[[Array], Array]
) -> dict[int, Array]:
    """What a step returns in each round if it is a function of what an earlier one takes."""
    changed: dict[int, Array] = {}
    for begins, ends in zip(
        tape.rounds[first.number], tape.rounds[last.number], strict=False
    ):
        number = tape.steps[begins].operands[place]
        x = (
            tape.played(changed).get(number, tape.values[number])
            if changed
            else tape.values[number]
        )
        changed[tape.steps[ends].results[0]] = function(x)
    return changed


@np.errstate(all="ignore")
def relation(search: Search, result: Trial) -> Trial | None:
    """A trial with a value of the reference, with how that follows from the candidate's; None if not simply."""
    tape, numbers = search.candidate, [(result.value, result.with_value)]
    other = search.reference.made(result.with_value)
    if (
        other is not None
        and other.operation == result.step.operation
        and len(result.step.operands) == 1
    ):
        numbers.append((result.step.operands[0], other.operands[0]))
    for c, r in numbers:
        mine, value = tape.values[c], search.reference.values[r]
        if np.size(mine) < 2 or np.shape(mine) != np.shape(value):
            continue
        difference, found = value - mine, []
        for how, a in (("times", value / mine), ("added to", difference)):
            first = a.flat[0]
            if (
                np.isfinite(a).all()
                and first
                and (np.abs(a - first) <= 10 * search.tolerance * abs(first)).all()
            ):
                found.append(f"{first:.6g} {how} the value")
        for leaf in (search.reference.values[n] for n in search.reference.arguments):
            if (
                isinstance(leaf, np.ndarray)
                and leaf.ndim == 2
                and leaf.shape[-1] == mine.shape[-1]
            ):
                rest = difference - leaf.reshape(*[1] * (mine.ndim - 1), -1)
                if np.abs(rest).max() <= search.tolerance * np.abs(leaf).max():
                    found.append("a parameter of the reference added to the value")
        if found:
            return replace(
                result, change=found[0], step=tape.made(tape.base(c)) or result.step
            )
    return None


def _scalar(tape: Tape, number: int) -> float | None:
    """The number of a constant array that has one number alone; None for another array."""
    value = tape.values[number]
    if (
        number not in tape.constants
        or not isinstance(value, np.ndarray)
        or value.dtype.kind not in "fiu"
    ):
        return None
    return (
        float(value.flat[0]) if value.size and (value == value.flat[0]).all() else None
    )
