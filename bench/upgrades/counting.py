"""Counts of a call that are the same every time: the Python that it runs, and the operations of its program."""

import gc
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ...common.port.programs import read_program
from .noticing import line_of
from .record import MEMORY, OPERATIONS, PRINT


def program_facts(lowered: Any) -> dict[str, int | str | None]:
    """What is kept of a program."""
    xla = read_program(lowered)
    return {
        "dots": xla.dots,
        "fusions": xla.fusions,
        "loops": xla.whiles,
        "transposes": xla.transposes,
        OPERATIONS: count_operations(lowered),
        MEMORY: xla.temp_bytes,
        PRINT: xla.fingerprint,
    }


#: Warm calls of which the quickest says whether a call waits; frameworks fill caches of their own in the first few.
WARM_CALLS = 6
MOST_CALLS = 40
#: A call that computes for longer, in seconds, is interrupted by other processes, and counts as one that does not wait.
SHORT_S = 3e-3
TRACES, WAITS = f"traces in {WARM_CALLS} calls", "ms of waiting"


def waited_s(call: Callable[[], Any]) -> float:
    """How long a call did nothing: the time that passed without the processor's; 0 for one that computes for long."""
    start, start_cpu = time.perf_counter(), time.process_time()
    call()
    passed_s, computed_s = time.perf_counter() - start, time.process_time() - start_cpu
    return max(passed_s - computed_s, 0.0) if computed_s < SHORT_S else 0.0


def waiting_line(call: Callable[[], Any]) -> str:
    """The line that waits longest for a function of C, as for `time.sleep`, in each of three runs; "" for trigru's."""
    runs = [_waits_s(call) for _ in range(3)]
    return max(runs[0], key=lambda line: min(run.get(line, 0.0) for run in runs), default="")


def _waits_s(call: Callable[[], Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    idle_s = time.perf_counter() - time.process_time()

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal idle_s
        now_s = time.perf_counter() - time.process_time()
        if event == "c_return":
            line = line_of(frame)
            found[line] = found.get(line, 0.0) + now_s - idle_s
        idle_s = now_s

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return found


def count_python(call: Callable[[], Any]) -> Counter[str]:
    """How many functions of Python and lines a call runs: by "call" and "line". No garbage is collected meanwhile."""
    found: Counter[str] = Counter()

    def trace(frame: Any, event: str, argument: Any) -> Any:
        found[event] += 1
        return trace

    before, collects = sys.gettrace(), gc.isenabled()
    gc.disable()
    try:
        sys.settrace(trace)
        call()
    finally:
        sys.settrace(before)
        if collects:
            gc.enable()
    return found


def count_operations(lowered: Any) -> int:
    """Operations of StableHLO."""
    return len(re.findall(r"^\s+(?:%\S+(?:, %\S+)* = )?\"?(?:stablehlo|chlo|mhlo)\.", lowered.as_text(), re.MULTILINE))
