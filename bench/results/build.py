"""How long it took to build a program, and numbers as files may have them."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0, le=1e7)]
Count = Annotated[int, Meta(ge=0, le=2**53)]


class Build(Struct, frozen=True, forbid_unknown_fields=True):
    """How long it took to get from a function to its first result, in seconds.

    It is timed once, in the first process of a run.
    """

    trace_s: Seconds  # running the Python code with tracers
    lower_s: Seconds  # from the trace to StableHLO
    compile_s: Seconds  # from there to machine code, by XLA
    first_call_s: Seconds  # all of that, and the call
