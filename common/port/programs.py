"""The program that XLA builds for an arm, and how long that takes: reasons for the arm's speed."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from msgspec import Meta, Struct

from .collectives import Collective, collectives_of, computations

Seconds = Annotated[float, Meta(ge=0, le=1e7)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Build(Struct, frozen=True, forbid_unknown_fields=True):
    """How long it took to get from a function to its first result, once, in the first process of a run, in seconds.

    Args:
        trace_s: running the Python code with tracers.
        lower_s: from the trace to StableHLO.
        compile_s: from there to machine code, by XLA.
        first_call_s: all of that, and the call.
    """

    trace_s: Seconds
    lower_s: Seconds
    compile_s: Seconds
    first_call_s: Seconds


class ProgramFacts(Struct, frozen=True):
    """Counts in a program as XLA runs it, after optimisation. What is in a loop's body counts once.

    Args:
        fingerprint: of what it computes; see `fingerprint` in `trigru.common.port.programs`.
        dots: matrix products.
        fusions, whiles, transposes: operations of that name.
        temp_bytes: memory beside arguments and results, by XLA's analysis; None where it gives none.
        collectives: what several devices exchange, in the order of the program.
        tuned: a fingerprint of what was chosen for this machine, as by autotuning on a GPU: two programs that compute
            the same may differ in it, from process to process. "" where nothing was chosen, or it is not known.
    """

    fingerprint: str
    dots: Count
    fusions: Count
    whiles: Count
    transposes: Count
    temp_bytes: Count | None
    collectives: tuple[Collective, ...] = ()
    tuned: str = ""


#: Fields of Build by JAX's name of the event.
_DURATIONS = {
    "jaxpr_trace_duration": "trace_s",
    "jaxpr_to_mlir_module_duration": "lower_s",
    "backend_compile_duration": "compile_s",
}


@contextmanager
def watch_build() -> Iterator[Callable[[float], Build]]:
    """Collects JAX's own account of tracing, lowering and compiling; call what it gives with the first call's time.

    >>> import jax, jax.numpy as jnp
    >>> with watch_build() as account:
    ...     _ = jax.jit(lambda x: x + 1.5)(jnp.zeros(3))
    >>> account(1.0).compile_s > 0
    True
    """
    from ..compat import listening  # here, so that a cold start sees the import of JAX

    spent = dict.fromkeys(_DURATIONS.values(), 0.0)

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        name = _DURATIONS.get(event.rpartition("/")[2])
        if name:
            spent[name] += duration_secs

    with listening(listen, of_durations=True):
        yield lambda first_call_s: Build(**spent, first_call_s=first_call_s)


def read_program(lowered: Any) -> ProgramFacts:
    """Count operations in what `jax.jit(f).lower(...)`, or a framework's version of it, returns.

    >>> import jax, jax.numpy as jnp
    >>> facts = read_program(jax.jit(lambda x: jnp.tanh(x @ x)).lower(jnp.ones((9, 9))))
    >>> facts.dots, facts.whiles
    (1, 0)
    """
    compiled = lowered.compile()
    compiled = getattr(compiled, "compiled", compiled)  # Equinox wraps JAX's
    text = compiled.as_text()
    count = Counter(re.findall(r" (dot|fusion|while|transpose)\(", text))
    return ProgramFacts(
        fingerprint=fingerprint(text),
        dots=count["dot"] + len(re.findall(r'custom_call_target="[^"]*(?:gemm|matmul)', text)),
        fusions=count["fusion"],
        whiles=count["while"],
        transposes=count["transpose"],
        temp_bytes=temp_bytes(compiled),
        collectives=tuple(collectives_of(text)),
        tuned=tuned(text),
    )


def temp_bytes(compiled: Any) -> int | None:
    """Memory of a compiled program beside arguments and results, by XLA's analysis; None where it gives none."""
    memory = _of(compiled, "memory_analysis")
    return None if memory is None else int(memory.temp_size_in_bytes)


def fingerprint(text: str) -> str:
    """Twelve hexadecimal digits of optimised HLO, shared by programs that compute the same by the same operations.

    An instruction counts by its operation, shape, layout, attributes and operands; a computation by its instructions.
    Choices for one machine (see `tuned`), names, metadata, the order of instructions, and the order of parameters and
    results do not count, so that two frameworks that sort their leaves in another way are not different for that. For
    the same reason it does not count which of several arguments of one shape is which, nor do constants of more than
    ten numbers, which XLA does not print: it tells programs apart that are proven to compute the same, and is no proof
    of that itself.
    """
    hashes: dict[str, str] = {}
    of_last = ""
    for name, lines in computations(text).items():
        instructions: dict[str, str] = {}
        for instruction, line in lines.items():
            instructions[instruction] = _hash_instruction(line, instructions, hashes)
        hashes[name] = of_last = _hash(*sorted(instructions.values()))
    return of_last


def tuned(text: str) -> str:
    """A fingerprint of the choices for one machine in optimised HLO: of its `backend_config`s, whatever their order.

    >>> tuned('%a = f32[2] add(%x, %x), metadata={op_name="a"}')
    ''
    """
    found = sorted(config for line in text.splitlines() if (config := _split_config(line)[1]))
    return _hash(*found) if found else ""


#: How often a loop runs is no choice for a machine.
_TRIPS = re.compile(r'"known_[^"]*":(?:\{[^{}]*\}|"[^"]*"|\d+),?')


def _split_config(line: str) -> tuple[str, str]:
    """An instruction without its `backend_config`, and that without what is known of loops; "" if nothing is left."""
    before, found, rest = line.partition(", backend_config=")
    if not found or not rest.startswith("{"):
        return line, ""
    end = _closing(rest, 0, "{}") + 1
    config = _TRIPS.sub("", rest[:end])
    return before + rest[end:], "" if config == "{}" else config


def _hash_instruction(line: str, instructions: dict[str, str], hashes: dict[str, str]) -> str:
    shape, operation, operands, attributes = _parts(line)
    shapes = sorted(re.findall(r"\w+\[[\d,]*\](?:\{[^}]*\})?", shape))
    if operation in ("parameter", "get-tuple-element"):  # whose numbers are an order of leaves
        return _hash(operation, *shapes)
    parts = [instructions[n] for n in re.findall(r"%([\w.\-]+)", operands) if n in instructions]
    if operation == "tuple":
        return _hash(operation, *sorted(parts))
    called = [hashes[n] for n in re.findall(r"%([\w.\-]+)", attributes) if n in hashes]
    literal = "" if parts else operands
    return _hash(operation, *shapes, literal, re.sub(r"%[\w.\-]+", "", attributes), *called, *parts)


#: What does not change what an instruction computes; braces within strings do not end it.
_ASIDE = re.compile(
    r", (?:metadata|frontend_attributes|origin|control-predecessors|stack_frame_id)="
    r'(?:\{(?:"(?:[^"\\]|\\.)*"|[^}"])*\}|\d+)'
)


def _parts(line: str) -> tuple[str, str, str, str]:
    """The shape, the operation, its operands and its attributes."""
    line = re.sub(r"/\*.*?\*/", "", line)
    line, _ = _split_config(_ASIDE.sub("", line))
    end = _closing(line, 0) + 1 if line.startswith("(") else line.index(" ")
    shape, rest = line[:end], line[end:].strip()
    opening = rest.index("(")
    closing = _closing(rest, opening)
    return shape, rest[:opening], rest[opening + 1 : closing], rest[closing + 1 :]


def _closing(text: str, opening: int, pair: str = "()") -> int:
    """The place of the bracket that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(text)):
        depth += (text[place] == pair[0]) - (text[place] == pair[1])
        if depth == 0:
            return place
    return len(text)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:12]


def _of(compiled: Any, analysis: str) -> Any:
    try:
        return getattr(compiled, analysis)()
    except Exception:  # a backend may not implement it
        return None
