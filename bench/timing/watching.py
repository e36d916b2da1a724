"""Watches how long JAX takes to build a program."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import fsum

from ..results.build import Build


@contextmanager
def watch_build() -> Iterator[Callable[[float], Build]]:
    """Collect how long JAX traces, lowers and compiles: a function of the first call's
    time in seconds -> a Build.
    """
    from ...common.compat import watch_events  # here, as it imports JAX

    with watch_events() as events:

        def build_until(first_call_s: float) -> Build:
            return Build(
                trace_s=fsum(events["jaxpr_trace_duration"]),
                lower_s=fsum(events["jaxpr_to_mlir_module_duration"]),
                compile_s=fsum(events["backend_compile_duration"]),
                first_call_s=first_call_s,
            )

        yield build_until
