"""Cold start: what a user waits for between starting Python and the first train step, in a fresh process for each port.

The clock has to see the frameworks being imported, so nothing at the top of this module brings one in.
"""

import time

if __name__ == "__main__":
    STARTED_S = time.perf_counter()  # before all other imports, which are part of what is timed

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from ...common.errors import InputError, TrigruError
from ...common.port.programs import Build

if TYPE_CHECKING:
    from ..reporting.sections import Section

__all__ = ["ColdStart", "ColdStartError", "cold_start_tables", "cold_starts", "measure_cold_start", "start_cold"]

WORKLOAD, PHASE = "question", "train_step"
#: That of `trigru.bench.arms.admission`, which imports the oracle, and SciPy for it: a port needs neither.
LEARNING_RATE = 1e-3


class ColdStartError(TrigruError):
    """A process whose start was to be timed ended without an answer."""


class ColdStart(Struct, frozen=True, forbid_unknown_fields=True):
    """One start of one port.

    Args:
        port: its name.
        style: the call style, the first that the installed versions have.
        import_s: importing the port, in seconds: JAX, Optax and the package's own modules, which every port has, and
            its framework. Python's own start is not in it.
        init_s: starting JAX's backend, drawing the parameters and constructing the model, in seconds.
        build: tracing, lowering, compiling, and all of the first train step, of which they are a part, in seconds.
        second_call_s: the second train step, in seconds.
        peak_bytes: the most memory that was resident, in bytes; None where the platform does not tell.
    """

    port: str
    style: str
    import_s: float
    init_s: float
    build: Build
    second_call_s: float
    peak_bytes: int | None

    @property
    def total_s(self) -> float:
        """Import, init and first train step, in seconds."""
        return self.import_s + self.init_s + self.build.first_call_s


def cold_starts(ports: Sequence[str], repeats: int, progress: Callable[[str, float], None]) -> list[ColdStart]:
    """Start each port several times, one process at a time.

    A first pass, which is not recorded, fills the disk's cache for all of them. After that every pass begins with
    another port.

    Args:
        ports: names.
        repeats: recorded starts of each port.
        progress: called with what is under way and the share of the whole that was done since the last call.

    Returns:
        In the order in which they were measured.

    Raises:
        InputError: less than one repeat.
        ColdStartError: a process died.
    """
    if repeats < 1:
        raise InputError(f"repeats is {repeats}, expected 1 or more.")
    found: list[ColdStart] = []
    share = 0.0
    for number in range(repeats + 1):
        first = max(number - 1, 0) % max(len(ports), 1)
        what = f"({number} of {repeats})" if number else "(warm-up)"
        for port in (*ports[first:], *ports[:first]):
            progress(f"start {port} {what}", share)
            cold = measure_cold_start(port)
            found += [cold] if number else []
            share = 1 / (repeats + 1) / len(ports)
    return found


def measure_cold_start(port: str) -> ColdStart:
    """Start a port in a fresh interpreter.

    Raises:
        ColdStartError: it ended without an answer; the message has the last line of what it said.
    """
    import subprocess
    import tempfile

    command = [sys.executable, "-m", f"{__package__}.coldstart", port]
    with tempfile.TemporaryFile() as errors:
        # a session of its own: Ctrl-C is for this process, which then ends it
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        try:
            answer, _ = child.communicate()
        finally:
            child.kill()
            child.wait()
        if child.returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            how = f"killed by signal {-child.returncode}" if child.returncode < 0 else said
            raise ColdStartError(f"the cold start of {port!r} failed: {how or f'exit code {child.returncode}'}")
    try:
        return msgspec.json.decode(answer, type=ColdStart)
    except msgspec.MsgspecError as error:
        said = answer.decode(errors="replace")
        raise ColdStartError(f"the cold start of {port!r} failed: it answered {said!r}") from error


def start_cold(port: str, since_s: float) -> ColdStart:
    """Import a port, make its model and train two steps; in a process that has imported none of it before.

    Args:
        port: its name.
        since_s: when the process began to work, on the clock of `time.perf_counter`.
    """
    from ...impls import get_port, get_style

    source = get_port(port)
    import_s = time.perf_counter() - since_s

    import jax
    import optax

    from ...common.port.programs import watch_build
    from ...common.port.styles import available_styles, make_task
    from ..arms.workloads import get_workload

    jax.config.update("jax_enable_compilation_cache", False)  # a cached program is not compiled again
    workload = get_workload(WORKLOAD)
    config, batch = workload.config(PHASE), workload.batch()
    start = time.perf_counter()
    model = jax.block_until_ready(source.make(config, jax.random.key(0)))
    init_s = time.perf_counter() - start

    style = get_style(source, available_styles(source)[0].name)
    task = make_task(source, config, PHASE, optax.adam(LEARNING_RATE))
    with watch_build() as account:
        start = time.perf_counter()
        program = style.build(source, model, task)
        arguments = [program.put(array) for array in batch.arguments(PHASE)]
        program.wait(program.call(*arguments))
        build = account(time.perf_counter() - start)
    start = time.perf_counter()
    program.wait(program.call(*arguments))
    second_call_s = time.perf_counter() - start
    return ColdStart(port, style.name, import_s, init_s, build, second_call_s, _peak_bytes())


def cold_start_tables(
    found: list[ColdStart], measured: str | None = None, loads: tuple[float | None, float | None] = (None, None)
) -> "list[Section]":
    """Medians of each port's starts; none where there is no start.

    Args:
        found: the starts.
        measured: when, in ISO 8601; None where that is not known.
        loads: of the machine before and after.

    >>> from trigru.common.port.programs import Build
    >>> pure = ColdStart("pure", "jit", 1.0, 0.5, Build(0.1, 0.05, 0.25, 0.5), 0.001, 2**28)
    >>> cold_start_tables([pure])[0].rows[0][-2:]
    ('2 s [2, 2]', '256 MiB')
    """
    from statistics import median

    from ..reporting.sections import Section, format_bytes, format_time

    by_port: dict[str, list[ColdStart]] = {}
    for cold in found:
        by_port.setdefault(cold.port, []).append(cold)
    if not by_port:
        return []
    rows = []
    for port, starts in by_port.items():
        parts_s = zip(*(_parts_s(cold) for cold in starts), strict=True)
        totals_s = [cold.total_s for cold in starts]
        peaks = [cold.peak_bytes for cold in starts if cold.peak_bytes is not None]
        total = f"{median(totals_s):.3g} s [{min(totals_s):.3g}, {max(totals_s):.3g}]"
        peak = format_bytes(int(median(peaks))) if peaks else "unknown"
        rows.append((port, *(format_time(median(part_s)) for part_s in parts_s), total, peak))
    repeats = [len(starts) for starts in by_port.values()]
    second_s = [median([cold.second_call_s for cold in starts]) for starts in by_port.values()]
    notes = [
        f"Medians of {_from_to(repeats, str)} starts of each port, each in a fresh process; "
        "of the total, the range beside it.",
        "Import has JAX and Optax in every port, so that pure is the floor, and the port's framework. Init starts "
        "JAX's backend, draws the parameters and constructs the model.",
        f"First step is a whole train step of {WORKLOAD}: trace, lower and compile, without a cache of compiled "
        "programs, the optimiser's state, and the step itself. Total is import + init + first step; Python's own start "
        "is not in it.",
        f"The second step takes {_from_to(second_s, format_time)}. "
        f"Call styles: {', '.join(f'{port}[{starts[0].style}]' for port, starts in by_port.items())}.",
        "These starts are not paired and no verdict is given: where ranges overlap, the medians' order says little.",
    ]
    if measured:
        before, after = ("unknown" if load is None else f"{load:.1f}" for load in loads)
        notes.append(f"Measured on {measured[:10]}. Runnable processes: {before} before, {after} after.")
    if any(cold.peak_bytes is None for cold in found):
        notes.append("Peak memory is unknown where the platform has no account of it.")
    columns = ("port", "import", "init", "trace", "lower", "compile", "first step", "total [min, max]", "peak memory")
    return [Section("Cold start: from Python to the first train step", columns, rows, tuple(notes))]


def _parts_s(cold: ColdStart) -> tuple[float, ...]:
    build = cold.build
    return cold.import_s, cold.init_s, build.trace_s, build.lower_s, build.compile_s, build.first_call_s


def _from_to(values: Sequence[Any], form: Callable[[Any], str]) -> str:
    least, most = form(min(values)), form(max(values))
    return least if least == most else f"{least} to {most}"


def _peak_bytes() -> int | None:
    """The most memory that this process had resident, in bytes; None where the platform does not tell."""
    try:
        # on Linux getrusage's number outlives exec: it may be that of the process that started this one
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Answer for the port that is named on the command line, in one line of JSON on stdout."""
    import os

    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a framework prints goes to stderr
        try:
            answers.write(msgspec.json.encode(start_cold(sys.argv[1], STARTED_S)) + b"\n")
        except TrigruError as error:
            sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
