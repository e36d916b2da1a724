"""Cold start: the time from starting Python to the first train step, in a fresh process for each port.

The import of the frameworks is timed, so this module imports none of them at its top.
"""

# ruff: noqa: E402
# the clock starts before the imports

import time

#: When the process began, but for Python's own start: before all other imports, which are part of what is timed.
STARTED_S = time.perf_counter()

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from ...common.port.programs import Build, Count, Seconds

WORKLOAD, PHASE = "question", "train_step"
#: The longest that a start may take, in seconds.
LIMIT_S = 300.0


class ColdStart(Struct, frozen=True, forbid_unknown_fields=True):
    """One start of one port, in seconds and bytes."""

    port: str
    style: str  # the first that the installed versions have
    import_s: Seconds  # JAX, Optax, trigru's modules and the framework; without Python's own start
    init_s: Seconds  # starting JAX's backend, drawing the parameters and constructing the model
    build: Build  # tracing, lowering, compiling, and the whole first train step that contains them
    second_call_s: Seconds  # the second train step
    peak_bytes: (
        Count | None
    )  # resident memory; None where the platform does not report it
    device_peak_bytes: Count | None = (
        None  # in use on the accelerator; None where JAX does not know it, as on a CPU
    )

    @property
    def total_s(self) -> float:
        """Import, init and first train step, in seconds."""
        return self.import_s + self.init_s + self.build.first_call_s


def measure_cold_starts(
    ports: Sequence[str], repeats: int, progress: Callable[[str, float], None]
) -> list[ColdStart]:
    """Start each port several times, one process at a time. Raises a ChildDiedError if one ends without an answer.

    A first pass, which is not recorded, fills the disk cache for all ports. After that, every pass begins with another
    port. Progress is the name of each start, and the share of the whole that was done since the last one.
    """
    found, share = list[ColdStart](), 0.0
    for number in range(repeats + 1):
        first = max(number - 1, 0) % max(len(ports), 1)
        for port in (*ports[first:], *ports[:first]):
            progress(
                f"start {port} ({f'{number} of {repeats}' if number else 'warm-up'})",
                share,
            )
            found.append(measure_cold_start(port))
            share = 1 / (repeats + 1) / len(ports)
    return found[len(ports) :]


def measure_cold_start(port: str) -> ColdStart:
    """Start a port in a fresh interpreter. Raises a ChildDiedError if that ends without an answer."""
    from ..processes.child import ChildDiedError, answers_of

    try:
        for cold in answers_of(
            "trigru.bench.timing.coldstart:answer_request", port, ColdStart, LIMIT_S
        ):
            return cold
        raise ChildDiedError("it ended without an answer")
    except ChildDiedError as error:
        raise ChildDiedError(f"the cold start of {port!r} failed: {error}") from error


def answer_request(
    request: str, answer: Callable[[ColdStart], None], since_s: float = STARTED_S
) -> None:
    """Import the port of that name, make its model and train two steps, in a process that has imported none of it."""
    from ...impls import get_port, get_style

    source = get_port(request)
    import_s = time.perf_counter() - since_s

    import jax
    import optax

    from ...common.port.programs import watch_build
    from ...common.port.styles import available_styles, make_task
    from ..arms.workloads import LEARNING_RATE, get_workload
    from ..results.arm import Sized

    jax.config.update(
        "jax_enable_compilation_cache", False
    )  # a cached program is not compiled again
    workload = get_workload(Sized(WORKLOAD))
    config, batch = workload.config(PHASE), workload.batch()
    start = time.perf_counter()
    model = jax.block_until_ready(source.make(config, jax.random.key(0)))
    init_s = time.perf_counter() - start

    style = get_style(source, available_styles(source, PHASE)[0].name)
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
    on_device = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    answer(
        ColdStart(
            request,
            style.name,
            import_s,
            init_s,
            build,
            second_call_s,
            _peak_bytes(),
            on_device,
        )
    )


def _peak_bytes() -> int:
    # on Linux getrusage's number survives exec, so it may be that of the process that started this one
    with suppress(OSError, StopIteration), open("/proc/self/status") as status:
        return next(
            int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")
        )
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
