"""A leaf whose numbers are known one by one, said as a layout, and as code for a
mapping.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import prod

import numpy as np

from .derivatives import Numbers
from .layouts import LeafLayout, Shape, Transform, joined, piece, whole
from .matching import Match

#: So many numbers of an order are shown at each of its ends, and written out in code at
#: most.
SHOWN, WRITTEN = 4, 64
NOT_KNOWN = -1  # in the place of a number that has no effect
#: Into so many blocks an axis may be cut.
BLOCKS = range(2, 9)


@dataclass(frozen=True)
class Wanted:
    """What the numbers of a leaf of the candidate are.

    Args:
        terms: for each of them, the numbers of the reference that it is the sum of;
            none for 0.
        has_role: whether it has an effect on the outputs; where it has none, its terms
            are not known.
        shape: of the leaf.
    """

    terms: Sequence[list[int]]
    has_role: np.ndarray
    shape: Shape


def arranged(wanted: Wanted, leaves: Numbers, match: Match) -> Match:
    """The match of a leaf whose numbers are known; that by names and shapes tells what
    is preferred.
    """
    layout = _layout_of(wanted, leaves, match.options)
    return Match(layout, "function", match.options)


def _layout_of(
    wanted: Wanted, leaves: Numbers, options: Sequence[LeafLayout]
) -> LeafLayout | Transform:
    numbers = np.full(len(wanted.terms), NOT_KNOWN)
    for place in np.flatnonzero(wanted.has_role).tolist():
        terms = wanted.terms[place]
        if len(terms) != 1:
            return _added_up(wanted, leaves)
        numbers[place] = terms[0]
    sources = _sources(numbers[wanted.has_role], leaves)
    layouts = [o for o in options if leaves.starts.keys() >= set(o.sources)]
    layouts += _layouts(sources, leaves, wanted.shape)
    for layout in layouts:
        by_layout = layout.numbers_of(leaves.starts, leaves.sizes).reshape(-1)
        if np.array_equal(by_layout[wanted.has_role], numbers[wanted.has_role]):
            return layout
    return _other_layout(numbers.reshape(wanted.shape), sources, layouts, leaves)


def _other_layout(
    numbers: np.ndarray,
    sources: tuple[int, ...],
    layouts: Sequence[LeafLayout],
    leaves: Numbers,
) -> LeafLayout:
    """A layout that none of some simple ones is: of several parts, or of one of these
    in another order. What numbers without an effect are is open.
    """
    completed = _completed(numbers, sources, leaves)
    index = _index(completed, sources, leaves)
    if _consists_of_parts(completed, leaves):
        return LeafLayout(sources, index, "joined part by part")
    for layout in layouts:
        by_layout = layout.numbers_of(leaves.starts, leaves.sizes)
        orders = _orders(by_layout, numbers)
        if orders is not None:
            return _in_order(layout, orders, leaves)
    how = "in an order that no layout of axes has"
    code = _code_of_index(index) if len(sources) == 1 else ""
    return LeafLayout(sources, index, how, is_plain=False, code=code)


def _index(
    numbers: np.ndarray, sources: tuple[int, ...], leaves: Numbers
) -> np.ndarray:
    """The places of numbers in some leaves that are flattened and joined; behind them,
    where there is none.
    """
    begins = np.cumsum([0, *(leaves.sizes[n] for n in sources)])
    index = np.full(numbers.shape, begins[-1])
    for source, begin in zip(sources, begins, strict=False):
        start, size = leaves.starts[source], leaves.sizes[source]
        inside = (numbers >= start) & (numbers < start + size)
        index[inside] = numbers[inside] - start + begin
    return index


def _consists_of_parts(numbers: np.ndarray, leaves: Numbers) -> bool:
    """Whether an array consists of parts of a leaf each, whose axes are in their order,
    and which are in theirs.
    """
    starts = np.array(list(leaves.starts.values()))
    last: dict[int, int] = {}
    for part in _parts(numbers, starts):
        steps = [np.diff(part, axis=axis) for axis in range(part.ndim)]
        if any(s.size and (s.flat[0] <= 0 or np.ptp(s) > 0) for s in steps):
            return False
        first = int(part.flat[0])
        owner = int(np.searchsorted(starts, first, side="right"))
        if first < last.get(owner, 0):
            return False
        last[owner] = first
    return True


def _parts(numbers: np.ndarray, starts: np.ndarray) -> Iterator[np.ndarray]:
    """An array cut along its axes, as often as is needed so that each part has numbers
    of one leaf.
    """
    owners = np.searchsorted(starts, numbers, side="right")
    for axis in range(numbers.ndim):
        along = np.moveaxis(owners, axis, 0).reshape(owners.shape[axis], -1)
        cuts = np.flatnonzero((along[1:] != along[:-1]).any(axis=1)) + 1
        if len(cuts):
            for part in np.split(numbers, cuts, axis):
                yield from _parts(part, starts)
            return
    yield numbers


def _sources(numbers: np.ndarray, leaves: Numbers) -> tuple[int, ...]:
    """The leaves of the reference that have some numbers, in the order of these."""
    sources: dict[int, int] = {}
    for source, start in leaves.starts.items():
        inside = (numbers >= start) & (numbers < start + leaves.sizes[source])
        if inside.any():
            sources[source] = int(np.argmax(inside))
    return tuple(sorted(sources, key=lambda source: sources[source]))


def _layouts(
    sources: Sequence[int], leaves: Numbers, to: Shape
) -> Iterator[LeafLayout]:
    """The layouts of axes that a leaf of some sources may have."""
    source, *others = sources
    if others:
        shapes = [leaves.shapes[n] for n in sources]
        if sum(leaves.sizes[n] for n in sources) == prod(to):
            yield from joined(sources, shapes, to)
        return
    size = leaves.sizes[source]
    of = leaves.shapes[source]
    if size == prod(to):
        yield from whole(source, of, to)
        return
    pieces, rest = divmod(size, prod(to))
    if not rest:
        for which in range(pieces):
            yield from piece(source, of, to, which, pieces)


def _completed(
    numbers: np.ndarray, sources: tuple[int, ...], leaves: Numbers
) -> np.ndarray:
    """Numbers, with others of their sources in the place of those that are not
    known.
    """
    every = [leaves.starts[n] + np.arange(leaves.sizes[n]) for n in sources]
    rest = np.setdiff1d(np.concatenate(every), numbers)
    flat = numbers.reshape(-1).copy()
    unknown = np.flatnonzero(flat == NOT_KNOWN)
    if len(rest) < len(unknown):
        rest = np.resize(np.concatenate(every), len(unknown))
    flat[unknown] = rest[: len(unknown)]
    return flat.reshape(numbers.shape)


def _orders(base: np.ndarray, numbers: np.ndarray) -> list[np.ndarray] | None:
    """The order of the entries of each axis in which an array has those numbers that
    are known as another one; None if there is none.
    """
    known = numbers.reshape(-1) != NOT_KNOWN
    wanted = numbers.reshape(-1)[known]
    flat = base.reshape(-1)
    by_number = np.argsort(flat)
    ranks = np.searchsorted(flat[by_number], wanted)
    places = by_number[np.minimum(ranks, flat.size - 1)]
    if not np.array_equal(flat[places], wanted):
        return None
    at = np.unravel_index(np.flatnonzero(known), base.shape)
    of = np.unravel_index(places, base.shape)
    orders = []
    for entries, partners, length in zip(at, of, base.shape, strict=True):
        order = np.full(length, NOT_KNOWN)
        order[entries] = partners
        if (order[entries] != partners).any():
            return None
        rest = np.setdiff1d(np.arange(length), order)
        unknown = np.flatnonzero(order == NOT_KNOWN)
        if len(rest) != len(unknown):  # two entries have one partner
            return None
        order[unknown] = rest
        orders.append(order)
    return orders


def _in_order(
    layout: LeafLayout, orders: Sequence[np.ndarray], leaves: Numbers
) -> LeafLayout:
    words = [] if layout.how == "as it is" else [layout.how]
    shapes = [leaves.shapes[n] for n in layout.sources]
    code = code_of(layout, shapes)
    for axis, order in enumerate(orders):
        if not np.array_equal(order, np.arange(len(order))):
            words.append(f"axis {axis} in the order {_shown(order)}")
            code = code and f"{code}[{':, ' * axis}{_code_of_order(order)}]"
    index = layout.index[np.ix_(*orders)]
    return replace(layout, index=index, how=", ".join(words), is_plain=False, code=code)


def _shown(order: np.ndarray) -> str:
    """An order in words: of blocks, or of its first and last entries.

    >>> _shown(np.array([4, 5, 0, 1, 2, 3]))
    '2, 0, 1 of 3 blocks'
    """
    blocks = _blocks(order)
    if blocks:
        return f"{', '.join(map(str, blocks))} of {len(blocks)} blocks"
    entries = list(map(str, order.tolist()))
    if len(entries) > 2 * SHOWN + 1:
        entries = [*entries[:SHOWN], "...", *entries[-SHOWN:]]
    return ", ".join(entries)


def _blocks(order: np.ndarray) -> list[int]:
    """The order of the few blocks of which an order consists; empty if it consists of
    none.
    """
    for count in BLOCKS:
        length, rest = divmod(len(order), count)
        if rest or length < 2:
            continue
        parts = order.reshape(count, length)
        if (np.diff(parts, axis=1) == 1).all() and not (parts[:, 0] % length).any():
            return (parts[:, 0] // length).tolist()
    return []


def _code_of_order(order: np.ndarray) -> str:
    """An order as code: that of an array whose axes are exchanged if it is one, else
    its entries.

    >>> _code_of_order(np.array([0, 3, 1, 4, 2, 5]))
    'np.arange(6).reshape(2, 3).transpose(1, 0).reshape(-1)'
    """
    n = len(order)
    blocks = _blocks(order)
    if blocks:
        return f"np.arange({n}).reshape({len(blocks)}, -1)[{blocks}].reshape(-1)"
    for shape in _factors(n):
        places = np.arange(n).reshape(shape)
        for axes in permutations(range(len(shape))):
            if np.array_equal(places.transpose(axes).reshape(-1), order):
                return f"np.arange({n}).reshape{shape}.transpose{axes}.reshape(-1)"
    return str(order.tolist())


def _factors(n: int) -> Iterator[Shape]:
    """The shapes of two and of three axes, each longer than 1, that have as many
    numbers.
    """
    divisors = [d for d in range(2, n) if n % d == 0]
    for first in divisors:
        yield first, n // first
    for first in divisors:
        for second in divisors:
            rest, left = divmod(n, first * second)
            if not left and rest > 1:
                yield first, second, rest


def code_of(layout: LeafLayout, shapes: Sequence[Shape]) -> str:
    """An expression that makes a leaf of arrays `a`, `b`, ... of the reference; empty
    if it would be too long.
    """
    to = layout.index.shape
    ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
    flat = np.split(np.arange(sum(map(prod, shapes))), ends)
    places = [p.reshape(shape) for p, shape in zip(flat, shapes, strict=True)]
    names = _names(len(places))
    for axes in permutations(range(len(shapes[0]))):
        if any(len(shape) != len(axes) for shape in shapes):
            continue
        moved = [place.transpose(axes) for place in places]
        texts = [f"{name}{_transposed(axes)}" for name in names]
        for array, text in _put_together(moved, texts, len(to)):
            if array.size != layout.index.size:
                continue
            if np.array_equal(array.reshape(to), layout.index):
                return text + _reshaped(array.shape, to)
    return _code_of_index(layout.index) if len(names) == 1 else ""


def _put_together(
    arrays: Sequence[np.ndarray], texts: Sequence[str], axes: int
) -> Iterator[tuple[np.ndarray, str]]:
    """Arrays joined and stacked along each axis, with the code of it; a single one as
    it is.
    """
    if len(arrays) == 1:
        yield arrays[0], texts[0]
        return
    inside = ", ".join(texts)
    for axis in range(axes):
        others = {(*a.shape[:axis], *a.shape[axis + 1 :]) for a in arrays}
        if axis < arrays[0].ndim and len(others) == 1:
            yield np.concatenate(arrays, axis), f"np.concatenate([{inside}], {axis})"
        if axis <= arrays[0].ndim and len({a.shape for a in arrays}) == 1:
            yield np.stack(arrays, axis), f"np.stack([{inside}], {axis})"


def _transposed(axes: tuple[int, ...]) -> str:
    return "" if list(axes) == sorted(axes) else f".transpose{axes}"


def _reshaped(of: Shape, to: Shape) -> str:
    return "" if of == to else f".reshape{to}"


def _names(count: int) -> list[str]:
    return [chr(ord("a") + n) for n in range(count)]


def _code_of_index(index: np.ndarray) -> str:
    """An expression of one array `a`, flattened; empty if it would be too long."""
    if index.size > WRITTEN:
        return ""
    return f"a.reshape(-1)[{index.tolist()}]"


def _added_up(wanted: Wanted, leaves: Numbers) -> Transform:
    """The leaf as sums of numbers of the reference, and zeros where another leaf of the
    candidate has the sum.
    """
    numbers = [number for terms in wanted.terms for number in terms]
    sources = _sources(np.array(numbers, int), leaves) if numbers else ()
    most = max(map(len, wanted.terms))
    indices = np.full((most, len(wanted.terms)), NOT_KNOWN)
    for place, terms in enumerate(wanted.terms):
        indices[: len(terms), place] = terms
    local = _index(indices, sources, leaves)  # a zero stands behind the leaves

    def added(*arrays: np.ndarray) -> np.ndarray:
        flat = [np.reshape(array, -1) for array in arrays]
        with_zero = np.concatenate([*flat, [0.0]])
        return with_zero[local].sum(axis=0).reshape(wanted.shape)

    if not sources:
        any_leaf = next(iter(leaves.starts))
        return Transform((any_leaf,), _zeros(wanted.shape), "0, since only sums matter")
    return Transform(sources, added, "added up")


def _zeros(shape: Shape) -> Callable[[np.ndarray], np.ndarray]:
    def zeros(array: np.ndarray) -> np.ndarray:
        return np.zeros(shape)

    return zeros
