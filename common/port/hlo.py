"""Reads the optimised HLO of a compiled program.

It finds the operations, a fingerprint, and what devices exchange.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

#: XLA's operations through which devices exchange data; some begin in one instruction
#: and end in another.
KINDS = (
    "all-reduce",
    "all-gather",
    "ragged-all-to-all",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
    "collective-broadcast",
)
_MOST = 2**53  # JSON readers keep whole numbers up to here

#: The instructions of each computation, by the names of both.
Computations = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Collective:
    """One exchange between devices, as the program of each of them has it."""

    kind: str  # of KINDS
    nbytes: int  # of its result on one device
    #: How often one call of the program runs it; None in a loop whose number of
    #: iterations XLA does not know.
    runs: int | None
    in_loop: bool  # whether it stands in the body of a loop

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {KINDS}")
        _check_count("nbytes", self.nbytes)
        if self.runs is not None:
            _check_count("runs", self.runs, least=1)

    def __str__(self) -> str:
        text = f"{self.kind} of {self.nbytes:,} bytes"
        if self.runs is None:
            text += ", unknown times"
        elif self.runs != 1:
            text += f", {self.runs} times"
        if self.in_loop:
            text += ", in a loop"
        return text


@dataclass(frozen=True)
class ProgramFacts:
    """Counts in a program as XLA runs it, after optimisation.

    What is in a loop's body counts once.
    """

    #: Of what it computes; see `fingerprint` in `trigru.common.port.hlo`.
    fingerprint: str
    dots: int  # matrix products
    fusions: int  # operations that XLA runs as one
    whiles: int  # loops
    transposes: int  # operations that change the order of axes
    #: Memory beside arguments and results, by XLA's analysis; None where it gives none.
    temp_bytes: int | None
    collectives: tuple[Collective, ...] = ()  # what devices exchange, in program order
    #: A fingerprint of what was chosen for this machine, as by autotuning on a GPU: two
    #: programs that compute the same may differ in it, from process to process. ""
    #: where nothing was chosen, or it is not known.
    tuned: str = ""

    def __post_init__(self) -> None:
        for name in ("dots", "fusions", "whiles", "transposes"):
            _check_count(name, getattr(self, name))
        if self.temp_bytes is not None:
            _check_count("temp_bytes", self.temp_bytes)


def _check_count(name: str, count: int, least: int = 0) -> None:
    if not least <= count <= _MOST:
        raise ValueError(f"{name} is {count}, expected {least} to {_MOST}")


def read_program(lowered: Any) -> ProgramFacts:
    """The facts of a lowered program.

    `jax.jit(f).lower(...)`, or a framework's version of it, returns one.
    """
    compiled = lowered.compile()
    compiled = getattr(compiled, "compiled", compiled)  # Equinox wraps JAX's
    text = compiled.as_text()
    operations = Counter(re.findall(r" (dot|fusion|while|transpose)\(", text))
    products = re.findall(r'custom_call_target="[^"]*(?:gemm|matmul)', text)

    try:
        temp_bytes = int(compiled.memory_analysis().temp_size_in_bytes)
    except Exception:  # a backend may not implement it
        temp_bytes = None

    return ProgramFacts(
        fingerprint=fingerprint(text),
        dots=operations["dot"] + len(products),
        fusions=operations["fusion"],
        whiles=operations["while"],
        transposes=operations["transpose"],
        temp_bytes=temp_bytes,
        collectives=tuple(collectives_of(text)),
        tuned=tuned(text),
    )


# Fingerprints -------------------------------------------------------------------------

#: Parts that do not change what an instruction computes; braces within strings do not
#: end them.
_ASIDE = re.compile(
    r", (?:metadata|frontend_attributes|origin|control-predecessors|stack_frame_id)="
    r'(?:\{(?:"(?:[^"\\]|\\.)*"|[^}"])*\}|\d+)|/\*.*?\*/'
)
#: How often a loop runs is no choice for a machine.
_TRIPS = re.compile(r'"known_[^"]*":(?:\{[^{}]*\}|"[^"]*"|\d+),?')
_REFERENCE = re.compile(r"%([\w.\-]+)")


def fingerprint(text: str) -> str:
    """Twelve hexadecimal digits of optimised HLO.

    Programs that compute the same by the same operations share them. An instruction
    counts by its operation, shape, layout, attributes and operands; a computation by
    its instructions. Choices for one machine (see `tuned`), names, metadata and all
    order do not count, as two frameworks may sort their leaves in other ways, nor does
    which of several arguments of one shape is which, nor constants of more than ten
    numbers, which XLA does not print: it tells programs apart that are proven to
    compute the same, and proves nothing.
    """
    entry_hash = ""
    hashes: dict[str, str] = {}
    for name, lines in computations(text).items():
        instructions: dict[str, str] = {}
        for instruction, line in lines.items():
            instructions[instruction] = _hash_instruction(line, instructions, hashes)
        entry_hash = _hash(*sorted(instructions.values()))
        hashes[name] = entry_hash
    return entry_hash


def tuned(text: str) -> str:
    """A fingerprint of the choices for one machine in optimised HLO.

    Those are its `backend_config`s, whatever their order.
    """
    configs = []
    for line in text.splitlines():
        _, config = _split_config(line)
        if config:
            configs.append(config)
    return _hash(*sorted(configs)) if configs else ""


def _split_config(line: str) -> tuple[str, str]:
    """An instruction without its `backend_config`, and the config; "" for none.

    What the config says of loops is left out.
    """
    before, _, rest = line.partition(", backend_config=")
    if not rest.startswith("{"):
        return line, ""
    end = _closing(rest, 0, "{}") + 1
    config = _TRIPS.sub("", rest[:end])
    return before + rest[end:], "" if config == "{}" else config


def _hash_instruction(
    line: str, instructions: dict[str, str], computation_hashes: dict[str, str]
) -> str:
    line, _ = _split_config(_ASIDE.sub("", line))
    shape_end = _closing(line, 0) + 1 if line.startswith("(") else line.index(" ")
    opening = line.index("(", shape_end)
    closing = _closing(line, opening)

    operation = line[shape_end:opening].strip()
    arguments = line[opening + 1 : closing]
    attributes = line[closing + 1 :]
    shapes = sorted(re.findall(r"\w+\[[\d,]*\](?:\{[^}]*\})?", line[:shape_end]))
    # The numbers of these two are an order of leaves.
    if operation in ("parameter", "get-tuple-element"):
        return _hash(operation, *shapes)

    names = _REFERENCE.findall(arguments)
    operands = [instructions[name] for name in names if name in instructions]
    if operation == "tuple":
        return _hash(operation, *sorted(operands))

    literal = "" if operands else arguments
    others = _REFERENCE.sub("", attributes)
    names = _REFERENCE.findall(attributes)
    callees = [computation_hashes[n] for n in names if n in computation_hashes]
    return _hash(operation, *shapes, literal, others, *callees, *operands)


def _closing(text: str, opening: int, pair: str = "()") -> int:
    """The place of the bracket that closes the one at `opening`."""
    depth = 0
    for place, character in enumerate(text[opening:], opening):
        if character == pair[0]:
            depth += 1
        elif character == pair[1]:
            depth -= 1
        if depth == 0:
            return place
    return len(text)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:12]


# What devices exchange ----------------------------------------------------------------

_HEADER = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_COLLECTIVE = re.compile(rf"(.*?) ({'|'.join(KINDS)})(-start)?\(")
_CALLING = "calls|to_apply|body|condition|true_computation|false_computation|branch_computations|called_computations"  # noqa: E501
_CALLED = re.compile(rf"(?:{_CALLING})=(\{{[^}}]*\}}|%[\w.\-]+)")
_TRIP_COUNT = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_SHAPE = re.compile(r"([a-z]+\d*)[a-z0-9]*\[([\d,]*)\]")


def gathered(tree: Any) -> Any:
    """A tree with its arrays whole on each host.

    Of some of them, several hosts have parts. Other leaves stay as they are.
    """
    import jax  # here, so that programs are read without JAX
    from jax.experimental import multihost_utils

    def whole(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array):
            return leaf
        if leaf.is_fully_addressable or leaf.is_fully_replicated:
            return leaf
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(whole, tree)


def collectives_of(text: str) -> list[Collective]:
    """The collectives of a program, from its optimised HLO."""
    by_name = computations(text)
    if not by_name:
        return []
    entry = list(by_name)[-1]
    return list(_exchanges(by_name, entry, runs=1, in_loop=False))


def computations(text: str) -> Computations:
    """The instructions of each computation of optimised HLO, by their names.

    The entry is the last. A computation comes after those that it calls, and an
    instruction after those that it uses.
    """
    by_name: Computations = {}
    instructions: dict[str, str] = {}
    for line in text.splitlines():
        header = _HEADER.match(line)
        if header:
            instructions = by_name[header[1]] = {}
            continue
        instruction = _INSTRUCTION.match(line)
        if instruction:
            instructions[instruction[1]] = instruction[2]
    return by_name


def _exchanges(
    by_name: Computations, name: str, runs: int | None, *, in_loop: bool
) -> Iterator[Collective]:
    """The collectives of a computation and of those that it calls.

    Given is how often it runs, and whether it stands in a loop.
    """
    for line in by_name.get(name, {}).values():
        exchange = _COLLECTIVE.match(line)
        if exchange:
            shape, kind, begins = exchange.groups()
            # What begins an exchange gives a tuple of operands and results, other than
            # an all-reduce.
            has_operands = begins is not None and kind != "all-reduce"
            yield Collective(kind, _bytes(shape, last=has_operands), runs, in_loop)
            continue  # it applies an addition

        is_loop = " while(" in line
        runs_inside = _runs_inside(runs, line) if is_loop else runs
        for callees in _CALLED.findall(line):
            for callee in _REFERENCE.findall(callees):
                yield from _exchanges(
                    by_name, callee, runs_inside, in_loop=in_loop or is_loop
                )


def _runs_inside(runs: int | None, loop: str) -> int | None:
    """How often the body of a loop runs; None where XLA does not say."""
    trip_count = _TRIP_COUNT.search(loop)
    if runs is None or trip_count is None:
        return None
    return runs * int(trip_count[1])


def _bytes(shape: str, *, last: bool) -> int:
    """The size of an array, or of all arrays of a tuple; or of the last with axes."""
    arrays = _SHAPE.findall(shape)
    if last:
        with_axes = [array for array in arrays if array[1]]
        arrays = with_axes[-1:] or arrays

    nbytes = 0
    for dtype, axes in arrays:
        bits = int(re.sub(r"\D", "", dtype) or 8)
        sizes = [int(size) for size in axes.split(",") if size]
        nbytes += max(bits // 8, 1) * prod(sizes)
    return nbytes
