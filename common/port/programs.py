"""The program that XLA builds for an arm, its exchange between devices, and how long it takes to build it."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import fsum, prod
from typing import Annotated, Any

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0, le=1e7)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
#: XLA's operations through which devices exchange data; some begin in one instruction and end in another.
KINDS = (
    "all-reduce",
    "all-gather",
    "ragged-all-to-all",
    "all-to-all",
    "reduce-scatter",
    "collective-permute",
)
KINDS += ("collective-broadcast",)
_HEADER = re.compile(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_COLLECTIVE = re.compile(rf"(.*?) ({'|'.join(KINDS)})(-start)?\(")
_CALLING = "calls|to_apply|body|condition|true_computation|false_computation|branch_computations|called_computations"
_CALLED = re.compile(rf"(?:{_CALLING})=(\{{[^}}]*\}}|%[\w.\-]+)")
_TRIP_COUNT = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_SHAPE = re.compile(r"([a-z]+\d*)[a-z0-9]*\[([\d,]*)\]")


class Build(Struct, frozen=True, forbid_unknown_fields=True):
    """How long it took to get from a function to its first result, once, in the first process of a run, in seconds."""

    trace_s: Seconds  # running the Python code with tracers
    lower_s: Seconds  # from the trace to StableHLO
    compile_s: Seconds  # from there to machine code, by XLA
    first_call_s: Seconds  # all of that, and the call


@dataclass(frozen=True)
class Collective:
    """One exchange between devices, as the program of each of them has it."""

    kind: Annotated[str, Meta(pattern=f"^({'|'.join(KINDS)})$")]  # of KINDS
    nbytes: Count  # of its result on one device
    #: How often one call of the program runs it; None in a loop whose number of iterations XLA does not know.
    runs: Annotated[int, Meta(ge=1, le=2**53)] | None
    in_loop: bool  # whether it stands in the body of a loop

    def __str__(self) -> str:
        times = "" if self.runs == 1 else f", {self.runs or 'unknown'} times"
        return f"{self.kind} of {self.nbytes:,} bytes{times}{', in a loop' if self.in_loop else ''}"


class ProgramFacts(Struct, frozen=True):
    """Counts in a program as XLA runs it, after optimisation. What is in a loop's body counts once."""

    fingerprint: (
        str  # of what it computes; see `fingerprint` in `trigru.common.port.programs`
    )
    dots: Count  # matrix products
    fusions: Count  # operations that XLA runs as one
    whiles: Count  # loops
    transposes: Count  # operations that change the order of axes
    temp_bytes: (
        Count | None
    )  # memory beside arguments and results, by XLA's analysis; None where it gives none
    collectives: tuple[
        Collective, ...
    ] = ()  # what several devices exchange, in the order of the program
    #: A fingerprint of what was chosen for this machine, as by autotuning on a GPU: two programs that compute the same
    #: may differ in it, from process to process. "" where nothing was chosen, or it is not known.
    tuned: str = ""


@contextmanager
def watch_build() -> Iterator[Callable[[float], Build]]:
    """Collect how long JAX traces, lowers and compiles: a function of the first call's time in seconds -> a Build."""
    from ..compat import watch_events  # here, as JAX is

    with watch_events() as events:
        yield lambda first_call_s: Build(
            trace_s=fsum(events["jaxpr_trace_duration"]),
            lower_s=fsum(events["jaxpr_to_mlir_module_duration"]),
            compile_s=fsum(events["backend_compile_duration"]),
            first_call_s=first_call_s,
        )


def read_program(lowered: Any) -> ProgramFacts:
    """The facts of a program as `jax.jit(f).lower(...)`, or a framework's version of it, returns it."""
    compiled = lowered.compile()
    compiled = getattr(compiled, "compiled", compiled)  # Equinox wraps JAX's
    text = compiled.as_text()
    count = Counter(re.findall(r" (dot|fusion|while|transpose)\(", text))
    try:
        temp_bytes = int(compiled.memory_analysis().temp_size_in_bytes)
    except Exception:  # a backend may not implement it
        temp_bytes = None
    return ProgramFacts(
        fingerprint=fingerprint(text),
        dots=count["dot"]
        + len(re.findall(r'custom_call_target="[^"]*(?:gemm|matmul)', text)),
        fusions=count["fusion"],
        whiles=count["while"],
        transposes=count["transpose"],
        temp_bytes=temp_bytes,
        collectives=tuple(collectives_of(text)),
        tuned=tuned(text),
    )


def fingerprint(text: str) -> str:
    """Twelve hexadecimal digits of optimised HLO, shared by programs that compute the same by the same operations.

    An instruction counts by its operation, shape, layout, attributes and operands; a computation by its instructions.
    Choices for one machine (see `tuned`), names, metadata and all order do not count, as two frameworks may sort their
    leaves in other ways, nor does which of several arguments of one shape is which, nor constants of more than ten
    numbers, which XLA does not print: it tells programs apart that are proven to compute the same, and proves nothing.
    """
    hashes = {"": ""}
    for name, lines in computations(text).items():
        instructions: dict[str, str] = {}
        for instruction, line in lines.items():
            instructions[instruction] = _hash_instruction(line, instructions, hashes)
        hashes[name] = _hash(*sorted(instructions.values()))
    return [*hashes.values()][-1]


def tuned(text: str) -> str:
    """A fingerprint of the choices for one machine in optimised HLO: of its `backend_config`s, whatever their order."""
    configs = sorted(
        config for line in text.splitlines() if (config := _split_config(line)[1])
    )
    return _hash(*configs) if configs else ""


#: How often a loop runs is no choice for a machine.
_TRIPS = re.compile(r'"known_[^"]*":(?:\{[^{}]*\}|"[^"]*"|\d+),?')


def _split_config(line: str) -> tuple[str, str]:
    """An instruction without its `backend_config`, and that without what is known of loops; "" if nothing is left."""
    before, _, rest = line.partition(", backend_config=")
    if not rest.startswith("{"):
        return line, ""
    end = _closing(rest, 0, "{}") + 1
    config = _TRIPS.sub("", rest[:end])
    return before + rest[end:], "" if config == "{}" else config


#: Parts that do not change what an instruction computes; braces within strings do not end them.
_ASIDE = re.compile(
    r", (?:metadata|frontend_attributes|origin|control-predecessors|stack_frame_id)="
    r'(?:\{(?:"(?:[^"\\]|\\.)*"|[^}"])*\}|\d+)|/\*.*?\*/'
)


def _hash_instruction(
    line: str, instructions: dict[str, str], hashes: dict[str, str]
) -> str:
    line, _ = _split_config(_ASIDE.sub("", line))
    end = _closing(line, 0) + 1 if line.startswith("(") else line.index(" ")
    opening = line.index("(", end)
    closing = _closing(line, opening)
    shape, operation = line[:end], line[end:opening].strip()
    operands, attributes = line[opening + 1 : closing], line[closing + 1 :]
    shapes = sorted(re.findall(r"\w+\[[\d,]*\](?:\{[^}]*\})?", shape))
    if operation in (
        "parameter",
        "get-tuple-element",
    ):  # whose numbers are an order of leaves
        return _hash(operation, *shapes)
    parts = [
        instructions[n]
        for n in re.findall(r"%([\w.\-]+)", operands)
        if n in instructions
    ]
    if operation == "tuple":
        return _hash(operation, *sorted(parts))
    called = [hashes[n] for n in re.findall(r"%([\w.\-]+)", attributes) if n in hashes]
    literal = "" if parts else operands
    return _hash(
        operation,
        *shapes,
        literal,
        re.sub(r"%[\w.\-]+", "", attributes),
        *called,
        *parts,
    )


def _closing(text: str, opening: int, pair: str = "()") -> int:
    """The place of the bracket that closes the one at `opening`."""
    depth = 0
    for place, character in enumerate(text[opening:], opening):
        depth += (character == pair[0]) - (character == pair[1])
        if depth == 0:
            return place
    return len(text)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:12]


# What devices exchange -----------------------------------------------------------------------------------------------


def gathered(tree: Any) -> Any:
    """Arrays of which several hosts have parts, whole on each of them; other leaves as they are."""
    import jax  # here, so that a cold start sees the import of JAX
    from jax.experimental import multihost_utils

    def whole(leaf: Any) -> Any:
        parts = isinstance(leaf, jax.Array) and not (
            leaf.is_fully_addressable or leaf.is_fully_replicated
        )
        return multihost_utils.process_allgather(leaf, tiled=True) if parts else leaf

    return jax.tree.map(whole, tree)


def collectives_of(text: str) -> list[Collective]:
    """The collectives of a program, from its optimised HLO."""
    known = computations(text)
    return list(_walk(known, [*known][-1], 1, in_loop=False)) if known else []


def computations(text: str) -> dict[str, dict[str, str]]:
    """The instructions of each computation of optimised HLO, by their names; the entry is the last.

    A computation comes after those that it calls, and an instruction after those that it uses.
    """
    known: dict[str, dict[str, str]] = {}
    instructions: dict[str, str] = {}
    for line in text.splitlines():
        if header := _HEADER.match(line):
            instructions = known[header[1]] = {}
        elif instruction := _INSTRUCTION.match(line):
            instructions[instruction[1]] = instruction[2]
    return known


def _walk(
    known: dict[str, dict[str, str]], name: str, runs: int | None, *, in_loop: bool
) -> Iterator[Collective]:
    for line in known.get(name, {}).values():
        if exchange := _COLLECTIVE.match(line):
            begins = (
                bool(exchange[3]) and exchange[2] != "all-reduce"
            )  # whose tuple has its operands, too
            yield Collective(
                exchange[2], _bytes(exchange[1], last=begins), runs, in_loop
            )
            continue  # it applies an addition
        loop, trips = " while(" in line, _TRIP_COUNT.search(line)
        inner = (
            runs
            if not loop
            else runs * int(trips[1])
            if trips and runs is not None
            else None
        )
        for called in _CALLED.findall(line):
            for callee in re.findall(r"%([\w.\-]+)", called):
                yield from _walk(known, callee, inner, in_loop=in_loop or loop)


def _bytes(shape: str, *, last: bool) -> int:
    """The size of an array, or of each array of a tuple; or of the last that has a size."""
    arrays = [
        (dtype, [int(size) for size in sizes.split(",") if size])
        for dtype, sizes in _SHAPE.findall(shape)
    ]
    if last:
        arrays = [array for array in arrays if array[1]][-1:] or arrays
    return sum(
        max(int(re.sub(r"\D", "", dtype) or 8) // 8, 1) * prod(sizes)
        for dtype, sizes in arrays
    )
