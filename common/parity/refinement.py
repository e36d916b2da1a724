"""Which leaf is which, where names do not tell: that by which the candidate's next value is the reference's."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, permutations, product
from typing import Any

from ..errors import listed
from ..program.tape import Tape, comparable
from .departure import Search
from .layouts import LeafLayout, whole
from .matching import MOST_IN_ANY_ORDER, Match, converted, families, unmatched
from .values import Arguments, largest

TOLERANCE = 1e-9  # the largest difference of values that are the same, relative to the largest magnitude
TRYING_S = 15.0  # how long leaves are tried at most
COPIES, CHOICES = (
    2,
    36,
)  # the most leaves without a partner that are taken for copies, and choices that are tried

Chosen = Mapping[
    int, LeafLayout
]  # choices for some leaves of the candidate, by their numbers


def copies(
    r: Any, c: Any, mine: Arguments, own: Arguments, matches: list[Match]
) -> list[str]:
    """Match leaves that are copies of the reference's, if the outputs agree with them.

    It changes the matches, and returns a sentence for each copy.
    """
    alone = [n for n, m in enumerate(matches) if m.layout is None]
    if not 0 < len(alone) <= COPIES or unmatched(r.params, matches):
        return []
    options = [
        [
            way
            for n, of in enumerate(r.params)
            if of.size == to.size
            for way in whole(n, of.shape, to.shape)
        ]
        for to in (c.params[n] for n in alone)
    ]
    wanted = r.forward(mine).outputs
    for ways in islice(product(*options), CHOICES):
        tried = list(matches)
        for n, way in zip(alone, ways, strict=True):
            tried[n] = Match(way, "function")
        params = converted(tried, mine.params, own.params)
        if largest(wanted, c.forward(replace(own, params=params)).outputs) <= TOLERANCE:
            matches[:] = tried
            pairs = list(zip(c.params, tried, strict=True))
            same = [
                [
                    leaf.path
                    for leaf, m in pairs
                    if m.layout and m.layout.sources == way.sources
                ]
                for way in ways
            ]
            return [
                f"{r.params[way.sources[0]].path} is tied in the reference: it is {listed(paths)} in the candidate, "
                "which train apart unless you tie them, too."
                for way, paths in zip(ways, same, strict=True)
            ]
    return []


class Refinement:
    """Tries other choices for the leaves of the candidate, of one set of arguments, and changes its matches."""

    def __init__(
        self,
        reference: Tape,
        program: Any,
        mine: Arguments,
        given: Arguments,
        matches: list[Match],
    ):
        self._reference, self._program, self._matches = reference, program, matches
        self._leaves, self._given = mine.params, given
        self._ends = time.monotonic() + TRYING_S
        self._seen: set[int] = set()

    def run(self) -> None:
        """Choose others while the outputs are not the reference's."""
        self._search = self._searched({})
        while self._search.wrong and not self._is_late():
            # the leaves with a choice that go into the steps at which the programs part, the nearest first
            tape, some = self._search.candidate, self._matches
            number = {
                value: c
                for c, value in enumerate(tape.arguments[: len(some)])
                if len(some[c].options) > 1
            }
            values = (
                value
                for step in self._search.first
                for value in tape.before(step.operands)
            )
            near = list(
                dict.fromkeys(number[value] for value in values if value in number)
            )
            chosen = (self._of_all() or self._one_at_a_time(near)) if near else {}
            if not chosen:
                return
            for c, option in chosen.items():
                some[c].layout, some[c].by = option, "function"
            self._search = self._searched({})

    def _is_late(self) -> bool:
        return time.monotonic() > self._ends

    def _searched(self, chosen: Chosen) -> Search:
        """What both agree on, with some choices in the place of the first."""
        matches = [Match(chosen.get(n, m.layout)) for n, m in enumerate(self._matches)]
        params = converted(matches, self._leaves, self._given.params)
        tape = self._program.tape(replace(self._given, params=params))
        return Search(
            self._reference,
            tape,
            self._outputs(tape),
            TOLERANCE,
        )

    def _one_at_a_time(self, near: Sequence[int]) -> Chosen:
        """Another choice for one leaf, or for two that change places, with which the programs part at fewer steps."""
        best = self._score({})
        for c in [c for c in near if c not in self._seen][:12]:
            self._seen.add(c)
            match = self._matches[c]
            for option in (
                option for option in match.options if option is not match.layout
            ):
                chosen = {} if self._is_late() else self._with_exchange(c, option)
                if not chosen or self._score(chosen) <= best:
                    continue
                before, after = _parting(self._search), _parting(self._searched(chosen))
                fewer = after[0] < before[0]
                if fewer or (
                    len(chosen) == 1 and after[0] == before[0] and after[1] > before[1]
                ):
                    return chosen
        return {}

    def _with_exchange(self, c: int, option: LeafLayout) -> Chosen:
        """An option for a leaf, and what the leaf takes that had these numbers before; empty if it can take nothing."""
        before = self._matches[c].layout
        for n, m in enumerate(self._matches):
            if (
                n != c
                and isinstance(m.layout, LeafLayout)
                and m.layout.numbers & option.numbers
            ):
                swapped = (
                    o
                    for o in m.options
                    if isinstance(before, LeafLayout) and o.numbers == before.numbers
                )
                return next(({c: option, n: other} for other in swapped), {})
        return {c: option}

    def _of_all(self) -> Chosen:
        """The first choice for several leaves at once with which more outputs agree."""
        best = self._score({})[0]
        for chosen in chain(self._in_another_order(), self._exchanged()):
            if self._is_late():
                break
            if self._score(chosen)[0] > best:
                return chosen
        return {}

    def _in_another_order(self) -> Iterator[Chosen]:
        """The leaves of all that are joined of as many in another order, the same in each."""
        groups: dict[tuple[int, str], dict[int, LeafLayout]] = {}
        for leaf, match in zip(self._program.params, self._matches, strict=True):
            if (
                isinstance(match.layout, LeafLayout)
                and len(match.layout.sources) > 1
                and len(match.options) > 1
            ):
                groups.setdefault((len(match.layout.sources), leaf.module), {})[
                    leaf.number
                ] = match.layout
        for (count, _), group in groups.items():
            for order in _other_orders(range(count)):
                chosen = {}
                for c, now in group.items():
                    wanted = [now.sources[n] for n in order], now.how
                    same = (
                        o
                        for o in self._matches[c].options
                        if ([*o.sources], o.how) == wanted
                    )
                    chosen.update((c, option) for option in islice(same, 1))
                yield chosen

    def _exchanged(self) -> Iterator[Chosen]:
        """Leaves whose paths differ in one name, as those of gates, exchanged alike wherever the names occur."""
        groups: dict[frozenset[str], list[dict[str, int]]] = {}
        layouts = {
            n: m.layout
            for n, m in enumerate(self._matches)
            if isinstance(m.layout, LeafLayout)
        }
        some = [leaf for leaf in self._program.params if leaf.number in layouts]
        for family in families(
            [leaf for leaf in some if self._matches[leaf.number].by != "the mapping"]
        ):
            names = zip(*(leaf.path.split("/") for leaf in family), strict=True)
            varied = next(column for column in names if len(set(column)) > 1)
            numbers = (leaf.number for leaf in family)
            groups.setdefault(frozenset(varied), []).append(
                dict(zip(varied, numbers, strict=True))
            )
        for names, some in groups.items():
            for order in _other_orders(sorted(names)):
                places = dict(zip(sorted(names), order, strict=True))
                yield {
                    group[n]: layouts[group[places[n]]] for group in some for n in group
                }

    def _score(self, chosen: Chosen) -> tuple[int, int]:
        """With other choices for some leaves, how many outputs agree, and how many values on the way to the others."""
        search, tape = self._search, self._search.candidate
        changed = {
            tape.arguments[c]: option.convert(self._leaves)
            for c, option in chosen.items()
        }
        values = tape.played(
            changed, goes_on=lambda some: not self._is_late() and search.has_some(some)
        )
        agreeing = len(search.same.difference(values)) + sum(
            n in search.reached and search.has_some([value])
            for n, value in values.items()
            if comparable(value)
        )
        outputs = self._outputs(tape)
        return sum(search.equal(r, c, values.get(c)) for r, c in outputs), agreeing

    def _outputs(self, tape: Tape) -> list[tuple[int, int]]:
        """The numbers of the outputs of both; new states, which stand behind them in a tape, may have no partner."""
        count = len(self._program.outputs)
        return list(
            zip(self._reference.outputs[:count], tape.outputs[:count], strict=True)
        )


def _other_orders(some: Sequence[Any]) -> list[tuple[Any, ...]]:
    return list(permutations(some))[1:] if len(some) <= MOST_IN_ANY_ORDER else []


def _parting(search: Search) -> tuple[int, int]:
    """At how many steps the programs part, -1 if nowhere, and the first of them."""
    if not search.wrong:
        return -1, 0
    return len(search.first), search.first[0].number if search.first else 0
