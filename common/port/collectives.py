"""The exchange between devices in a compiled program: which collectives, how many bytes, how often."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any

from msgspec import Meta

#: XLA's operations through which devices exchange data; some begin in one instruction and end in another.
KINDS = ("all-reduce", "all-gather", "ragged-all-to-all", "all-to-all", "reduce-scatter", "collective-permute")
KINDS += ("collective-broadcast",)
_HEADER = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_COLLECTIVE = re.compile(rf"(.*?) ({'|'.join(KINDS)})(-start)?\(")
_CALLING = "calls|to_apply|body|condition|true_computation|false_computation|branch_computations|called_computations"
_CALLED = re.compile(rf"(?:{_CALLING})=(\{{[^}}]*\}}|%[\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_SHAPE = re.compile(r"([a-z]+\d*)[a-z0-9]*\[([\d,]*)\]")


@dataclass(frozen=True)
class Collective:
    """One exchange between devices, as the program of each of them has it.

    Args:
        kind: of `KINDS`.
        nbytes: of its result on one device.
        runs: how often one call of the program runs it; None in a loop whose number of iterations XLA does not know.
        in_loop: whether it stands in the body of a loop.
    """

    kind: Annotated[str, Meta(pattern=f"^({'|'.join(KINDS)})$")]
    nbytes: Annotated[int, Meta(ge=0, le=2**53)]
    runs: Annotated[int, Meta(ge=1, le=2**53)] | None
    in_loop: bool

    def __str__(self) -> str:
        times = "" if self.runs == 1 else f", {self.runs or 'unknown'} times"
        return f"{self.kind} of {self.nbytes:,} bytes{times}{', in a loop' if self.in_loop else ''}"


def gathered(tree: Any) -> Any:
    """Arrays of which several hosts have parts, whole on each of them; other leaves as they are."""
    import jax  # here, for whoever wants to see it imported
    from jax.experimental import multihost_utils

    def whole(leaf: Any) -> Any:
        parts = isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated)
        return multihost_utils.process_allgather(leaf, tiled=True) if parts else leaf

    return jax.tree.map(whole, tree)


def collectives_of(text: str) -> list[Collective]:
    """The collectives of a program, from its optimised HLO.

    >>> collectives_of('''
    ... ENTRY %main (x: f32[4,2]) -> f32[4,2] {
    ...   %x = f32[4,2]{1,0} parameter(0)
    ...   ROOT %sum = f32[4,2]{1,0} all-reduce(%x), to_apply=%add
    ... }''')
    [Collective(kind='all-reduce', nbytes=32, runs=1, in_loop=False)]
    """
    found = computations(text)
    return list(_walk(found, list(found)[-1], 1, in_loop=False)) if found else []


def computations(text: str) -> dict[str, dict[str, str]]:
    """The instructions of each computation of optimised HLO, by their names; the entry is the last.

    A computation comes after those that it calls, and an instruction after those that it uses.
    """
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in text.splitlines():
        if header := _HEADER.match(line):
            name = header[1]
            found[name] = {}
        elif name and (instruction := _INSTRUCTION.match(line)):
            found[name][instruction[1]] = instruction[2]
    return found


def _walk(
    computations: dict[str, dict[str, str]], name: str, runs: int | None, *, in_loop: bool
) -> Iterator[Collective]:
    for line in computations.get(name, {}).values():
        found = _COLLECTIVE.match(line)
        if found:
            begins = bool(found[3]) and found[2] != "all-reduce"  # whose tuple holds what goes in, too
            yield Collective(found[2], _bytes(found[1], last=begins), runs, in_loop)
            continue  # what it applies is an addition
        loop, trips = " while(" in line, _TRIPS.search(line)
        inner = runs if not loop else runs * int(trips[1]) if trips and runs is not None else None
        for called in _CALLED.findall(line):
            for callee in re.findall(r"%([\w.\-]+)", called):
                yield from _walk(computations, callee, inner, in_loop=in_loop or loop)


def _bytes(shape: str, *, last: bool) -> int:
    """The size of an array, or of each array of a tuple; or of the last that has a size."""
    arrays = [(dtype, [int(size) for size in sizes.split(",") if size]) for dtype, sizes in _SHAPE.findall(shape)]
    if last:
        arrays = [array for array in arrays if array[1]][-1:] or arrays
    return sum(max(int(re.sub(r"\D", "", dtype) or 8) // 8, 1) * prod(sizes) for dtype, sizes in arrays)
