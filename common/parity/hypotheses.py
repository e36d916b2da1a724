"""Mends of a candidate: small changes of a step, tried out until one makes the outputs
equal.

Each hypothesis is a function of a step that yields sentences, and the step as it would
be then. Only what makes all outputs equal is reported. Adding a hypothesis is adding a
row to `HYPOTHESES`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, permutations, product
from typing import Any

import numpy as np
from scipy import special

from ..program import alternative
from ..program.tape import Step, Tape
from .departure import Search, Trial, with_operand

Array = np.ndarray
#: What stands in a sentence after "with", and what the step runs instead.
StepChange = tuple[str, Callable[..., Any]]

STEPS = 48  # the most steps that are changed
CONSTANTS = 12  # the most constants of the reference in the place of one
NEAREST = 4  # steps at which both part whose operands are examined further
SPAN = 16  # the most steps in which a function is computed
LONGEST = 64  # the longest axis along which other places are tried
BLOCKS = (2, 3, 4)  # into so many blocks an axis is cut, whose order is changed
#: Comparisons, each of which may stand for another.
COMPARISONS = {
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "eq": np.equal,
}
#: Operations that are changed although their results agree, or cannot be compared.
WHOLE = {
    *COMPARISONS,
    "argmax",
    "argmin",
    "add",
    "sub",
    "select_n",
    "slice",
    "dynamic_slice",
}
CONV = "conv_general_dilated"
PADDED = (CONV, "reduce_window_sum", "reduce_window_max")


def changes(
    search: Search, steps: Sequence[Step], result: Trial | None
) -> Iterator[Trial]:
    """Changes of steps: first of what mends the candidate with a value of the
    reference, and where both part.
    """
    tape = search.candidate
    near = [result.step, *steps] if result else list(steps)
    wrong = [s for s in tape.steps if not search.apart.isdisjoint(s.results)][:STEPS]
    tried: set[int] = set()
    for step in [*near, *_further(search, near, wrong)]:
        rounds = tape.rounds[step.number]
        if rounds[0] in tried:
            continue
        tried.add(rounds[0])
        for hypothesis in HYPOTHESES:
            for change, run in hypothesis(search, step):
                yield Trial(step, runs=dict.fromkeys(rounds, run), change=change)
    yield from _constants_everywhere(search, near)
    yield from _shares(search, wrong)
    yield from _functions(search, near[:NEAREST])


def _further(search: Search, near: Sequence[Step], wrong: Sequence[Step]) -> list[Step]:
    """Steps that are wrong, and those before them that may be though their results
    agree, in their order.
    """
    tape = search.candidate
    operands = [n for step in [*near, *wrong] for n in step.operands]
    before = set(tape.before(operands))
    bases: set[int] = set()
    for step in search.first[:NEAREST]:
        bases.update(map(tape.base, step.operands))
    whole = []
    for step in tape.steps:
        is_on_the_way = step.operation in WHOLE and not before.isdisjoint(step.results)
        if is_on_the_way or not bases.isdisjoint(step.results):
            whole.append(step)
    return sorted([*whole[:STEPS], *wrong], key=lambda step: step.number)


def _constants(search: Search, step: Step) -> Iterator[StepChange]:
    """A constant of the reference, of the like of its step, in the place of the
    candidate's.
    """
    for place, own, other in _other_constants(search, step):
        run = with_operand(step.run, place, _filled_with(other))
        yield f"{other:.6g} instead of {own:.6g}", run


def _other_constants(search: Search, step: Step) -> Iterator[tuple[int, float, float]]:
    """The place of a constant among a step's operands, the constant, and another."""
    if step.operation in ("select_n", "pad"):
        return
    of_reference = _constants_of_reference(search, step.operation)[:CONSTANTS]
    for place, number in enumerate(step.operands):
        own = _scalar(search.candidate, number)
        if own is None:
            continue
        is_integer = search.candidate.values[number].dtype.kind in "iu"
        if is_integer:
            others = [own - 1, own + 1, -own]
        elif own:
            others = [1 - own, -own, 1 / own]
        else:
            others = [1.0]
        for other in dict.fromkeys([*of_reference, *others]):
            if other != own and (not is_integer or other.is_integer()):
                yield place, own, other


def _constants_everywhere(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Another constant in all steps that stand on one line, called from several places,
    as in all normalizations of a model.
    """
    tape = search.candidate
    for step in steps:
        for place, own, other in _other_constants(search, step):
            runs = {}
            for alike in _on_its_line(tape, step):
                if _scalar(tape, alike.operands[place]) == own:
                    changed = with_operand(alike.run, place, _filled_with(other))
                    runs[alike.number] = changed
            if len(runs) > len(tape.rounds[step.number]):
                change = f"{other:.6g} instead of {own:.6g} wherever this line is used"
                yield Trial(step, runs=runs, change=change)


def _on_its_line(tape: Tape, step: Step) -> list[Step]:
    """The steps of one operation whose innermost line is that of another step."""
    line = step.lines()[:1]
    alike = []
    for other in tape.steps:
        if other.operation == step.operation and other.lines()[:1] == line:
            alike.append(other)
    return alike


def _constants_of_reference(search: Search, operation: str) -> list[float]:
    """The constants in steps of the reference of one operation, those first where it
    has other results.
    """
    apart, others = [], []
    for step in search.reference.steps:
        if step.operation != operation:
            continue
        agrees = search.agrees_in_reference.issuperset(step.results)
        steps = others if agrees else apart
        steps += _scalars(search.reference, step)
    return [*apart, *others]


def _filled_with(number: float) -> Callable[[Array], Array]:
    def filled(array: Array) -> Array:
        return np.full_like(array, number)

    return filled


def _comparisons(search: Search, step: Step) -> Iterator[StepChange]:
    """Another comparison, as `gt` for `ge`."""
    if step.operation in COMPARISONS:
        for name, function in COMPARISONS.items():
            if name != step.operation:
                yield f"`{name}` instead of `{step.operation}`", function


def _exchanged(search: Search, step: Step) -> Iterator[StepChange]:
    """An operand of a product or a convolution with its axes exchanged."""
    if step.operation not in ("dot_general", CONV):
        return
    for place, number in enumerate(step.operands):
        shape = np.shape(search.candidate.values[number])
        for a, b in combinations(range(1, len(shape)), 2):
            if shape[a] == shape[b] > 1:
                words = f"axes {a - 1} and {b - 1} of operand {place + 1} exchanged"
                yield words, with_operand(step.run, place, _with_exchanged_axes(a, b))


def _with_exchanged_axes(a: int, b: int) -> Callable[[Array], Array]:
    def exchanged(array: Array) -> Array:
        return array.swapaxes(a, b)

    return exchanged


def _places(search: Search, step: Step) -> Iterator[StepChange]:
    """A part that starts elsewhere along an axis."""
    if step.operation not in ("slice", "dynamic_slice") or not step.operands:
        return
    whole = search.candidate.values[step.operands[0]]
    part = search.candidate.values[step.results[0]]
    lengths = enumerate(zip(whole.shape, part.shape, strict=True))
    axes = [axis for axis, (a, b) in lengths if a != b]
    if len(axes) != 1 or whole.shape[axes[0]] > LONGEST:
        return
    (axis,) = axes
    length = part.shape[axis]
    takes = []
    own = None
    for start in range(whole.shape[axis] - length + 1):
        take = _part_of(axis, start, length)
        takes.append((start, take))
        if own is None and np.array_equal(take(whole), part):
            own = start
    for start, take in takes:
        if own is not None and start != own:
            yield f"entry {start} instead of {own} of axis {axis - 1}", take


def _part_of(axis: int, start: int, length: int) -> Callable[..., Array]:
    def part(array: Array, *_: Any) -> Array:
        return np.take(array, range(start, start + length), axis)

    return part


def _axes(search: Search, step: Step) -> Iterator[StepChange]:
    """Other axes of a sum, or of what else collects entries, with a result of the same
    shape.
    """
    if not step.equations or not step.operation.startswith(("reduce_", "arg")):
        return
    equation = step.equations[-1]
    own = equation.params.get("axes")
    if not own:
        return
    shape = equation.invars[0].aval.shape
    for axes in combinations(range(len(shape)), len(own)):
        kept = tuple(n for axis, n in enumerate(shape) if axis not in axes)
        if kept == equation.outvars[0].aval.shape and set(axes) != set(own):
            changed = alternative(equation, axes=axes)
            yield f"axes {list(axes)} instead of {list(own)}", changed


def _paddings(search: Search, step: Step) -> Iterator[StepChange]:
    """Another padding of as many entries, alike for all axes."""
    if not step.equations or step.operation not in PADDED:
        return
    equation = step.equations[-1]
    own = tuple(map(tuple, equation.params["padding"]))
    most = max(max(pad) for pad in own) + 1
    for pad in product(range(min(most, 4) + 1), repeat=2):
        padding = []
        for before in own:
            is_padded = max(before) > 0 or step.operation == CONV
            padding.append(pad if is_padded else before)
        new = tuple(padding)
        if new != own:
            yield f"padding {new} instead of {own}", alternative(equation, padding=new)


def _orders(search: Search, step: Step) -> Iterator[StepChange]:
    """The result negative, or its blocks along the last axis in another order."""
    value = search.candidate.values[step.results[0]]
    is_real = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    if not is_real or len(step.results) > 1 or step.moves:
        return

    def negative(*operands: Any) -> Array:
        return -step.run(*operands)

    yield "the other sign", negative
    if value.ndim < 2 or step.operation not in ("add", "dot_general"):
        return
    length = value.shape[-1]
    for blocks in BLOCKS:
        if length % blocks or length == blocks:
            continue
        places = np.arange(length).reshape(blocks, -1)
        for order in list(permutations(range(blocks)))[1:]:
            words = f"the {blocks} blocks of its last axis in the order {list(order)}"
            yield words, _in_order(step, places[list(order)].reshape(-1))


def _in_order(step: Step, places: Array) -> Callable[..., Array]:
    def ordered(*operands: Any) -> Array:
        return step.run(*operands)[..., places]

    return ordered


HYPOTHESES = (
    _constants,
    _comparisons,
    _places,
    _axes,
    _paddings,
    _exchanged,
    _orders,
)


def _shares(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Another number from 0 to 1 wherever a constant stands, and what is left to 1 with
    it, as of a momentum.
    """
    tape = search.candidate
    others: dict[float, None] = {}
    for step in search.first_of_reference:
        others |= dict.fromkeys(filter(_is_share, _scalars(search.reference, step)))
    first: dict[float, Step] = {}  # the step where a share is used first
    for step in steps:
        for share in filter(_is_share, _scalars(tape, step)):
            first.setdefault(share, step)
    for (own, step), other in product(first.items(), others):
        runs: dict[int, Callable[..., Any]] = {}
        for user in steps:
            changed = _with_share(tape, user, own, other)
            if changed is not None:
                runs |= dict.fromkeys(tape.rounds[user.number], changed)
        yield Trial(step, runs=runs, change=f"{other:.6g} instead of {own:.6g}")


def _with_share(
    tape: Tape, step: Step, own: float, other: float
) -> Callable[..., Any] | None:
    """A step with another share, or the rest of it, in the place of a constant; None if
    it has no such constant.
    """
    for place, number in enumerate(step.operands):
        constant = _scalar(tape, number)
        for before, after in ((1 - own, 1 - other), (own, other)):
            if constant is not None and abs(constant - before) < 1e-9:
                return with_operand(step.run, place, _filled_with(after))
    return None


def _is_share(constant: float) -> bool:
    return 0 < constant < 1


def _functions(search: Search, steps: Sequence[Step]) -> Iterator[Trial]:
    """Another function of an operand, in the place of all that is computed of it in the
    next steps.
    """
    tape = search.candidate
    for step in steps:
        for place, number in enumerate(step.operands):
            x = tape.values[number]
            is_real = isinstance(x, np.ndarray) and x.dtype.kind == "f"
            if not is_real or x.size < 2 or number in tape.arguments:
                continue
            functions = FUNCTIONS | _softmaxes(x.ndim)
            # `first_that_mends`, which asks for the trials, silences what NumPy says of
            # overflow.
            values = {name: function(x) for name, function in functions.items()}
            for last in reversed(tape.steps[step.number : step.number + SPAN]):
                own = _name_of(tape.values[last.results[0]], values)
                for name, function in functions.items():
                    if own and name != own:
                        changed = _in_rounds(tape, step, place, last, function)
                        yield Trial(step, changed, change=f"{name} instead of {own}")


def _name_of(result: Any, values: dict[str, Array]) -> str:
    """The name of the function whose value a result is; empty if it is that of none."""
    for name, value in values.items():
        if np.shape(result) != value.shape:
            continue
        if np.allclose(value, result, 1e-9, 1e-12, equal_nan=True):
            return name
    return ""


def _in_rounds(
    tape: Tape, first: Step, place: int, last: Step, function: Callable[[Array], Array]
) -> dict[int, Array]:
    """What a step returns in each round if it is a function of what an earlier one
    takes.
    """
    changed: dict[int, Array] = {}
    begins, ends = tape.rounds[first.number], tape.rounds[last.number]
    for begin, end in zip(begins, ends, strict=False):
        number = tape.steps[begin].operands[place]
        x = tape.values[number]
        if changed:
            x = tape.played(changed).get(number, x)
        changed[tape.steps[end].results[0]] = function(x)
    return changed


@np.errstate(all="ignore")
def relation(search: Search, result: Trial) -> Trial | None:
    """A trial with a value of the reference, with how that follows from the
    candidate's; None if not simply.
    """
    tape = search.candidate
    pairs = [(result.value, result.with_value)]
    other = search.reference.made(result.with_value)
    step = result.step
    if other and other.operation == step.operation and len(step.operands) == 1:
        pairs.append((step.operands[0], other.operands[0]))
    for number, of_reference in pairs:
        value, wanted = tape.values[number], search.reference.values[of_reference]
        if np.size(value) < 2 or np.shape(value) != np.shape(wanted):
            continue
        change = _relation_of(search, value, wanted)
        if change:
            step = tape.made(tape.base(number)) or step
            return replace(result, change=change, step=step)
    return None


def _relation_of(search: Search, value: Array, wanted: Array) -> str:
    """How an array follows from another one: a factor, a number more, or a parameter
    more; empty if not so.
    """
    for how, parts in (("times", wanted / value), ("added to", wanted - value)):
        number = parts.flat[0]
        slack = 10 * search.tolerance * abs(number)
        if number and np.isfinite(parts).all() and (abs(parts - number) <= slack).all():
            return f"{number:.6g} {how} the value"
    for argument in search.reference.arguments:
        leaf = search.reference.values[argument]
        if np.ndim(leaf) != 2 or leaf.shape[-1] != value.shape[-1]:
            continue
        rest = wanted - value - leaf.reshape(*[1] * (value.ndim - 1), -1)
        if np.abs(rest).max() <= search.tolerance * np.abs(leaf).max():
            return "a parameter of the reference added to the value"
    return ""


def _scalars(tape: Tape, step: Step) -> list[float]:
    """The constants among the operands of a step, and those that are no operands."""
    constants = [_scalar(tape, number) for number in step.operands]
    return [*step.numbers, *(c for c in constants if c is not None)]


def _scalar(tape: Tape, number: int) -> float | None:
    """The number of a constant array that has one number alone; None for another
    array.
    """
    value = tape.values[number]
    if number not in tape.constants or not isinstance(value, np.ndarray):
        return None
    if value.dtype.kind not in "fiu" or not value.size:
        return None
    return float(value.flat[0]) if (value == value.flat[0]).all() else None


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _leaky_relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.01 * x)


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _silu(x: Array) -> Array:
    return x * special.expit(x)


def _gelu_by_erf(x: Array) -> Array:
    return 0.5 * x * (1 + special.erf(x / np.sqrt(2)))


def _gelu_by_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def _softmaxes(axes: int) -> dict[str, Callable[[Array], Array]]:
    """The softmax over each axis behind that of sets."""
    functions: dict[str, Callable[[Array], Array]] = {}
    for axis in range(1, axes):

        def softmax(x: Array, axis: int = axis) -> Array:
            return special.softmax(x, axis)

        functions[f"softmax over axis {axis - 1}"] = softmax
    return functions


#: Functions of a number that stand for one another in models.
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "relu": _relu,
    "leaky relu of slope 0.01": _leaky_relu,
    "elu": _elu,
    "silu": _silu,
    "gelu by erf": _gelu_by_erf,
    "gelu by tanh": _gelu_by_tanh,
    "softplus": _softplus,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "square": np.square,
    "abs": np.abs,
    "the value itself": np.positive,
}
