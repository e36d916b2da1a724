"""What sentences call ports, phases, styles and workloads.

Also where the numbers of a run come from, with warnings.
"""

from collections.abc import Iterable
from functools import cache

from ...common.gru.kernels import STOCK
from ...common.port.names import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, port_names, unavailable
from ..analysis.benchmarks import Results
from ..results.arm import Arm
from ..results.machine import Machine
from ..results.run import Run
from .numbers import count

CALLED = {DOCUMENTED: "as documented", FUNCTIONAL: "functional"}
#: What each framework's documentation compiles a call with.
JITS = {"linen": "jax.jit", "nnx": "nnx.jit", "equinox": "eqx.filter_jit"}
#: What calls or makes each framework's model in functional style.
REBUILT = {"linen": "module.apply", "nnx": "nnx.merge", "equinox": "eqx.combine"}
INTERRUPTED = "INTERRUPTED: not all was measured."


def name_of(port: str) -> str:
    """What a sentence calls a port: "NNX" or "plain JAX"."""
    if not is_here(port):
        return port
    return get_port(port).title.removeprefix("Flax ")


@cache
def is_here(port: str) -> bool:
    """Whether a port can be asked for what it calls itself."""
    return port in port_names() and unavailable(port) is None


def short_group(arm: Arm) -> str:
    """An arm's workload and phase; its division and arithmetic where they are
    unusual.
    """
    words = [str(arm.workload), arm.phase]
    if arm.division != STOCK:
        words.append(arm.division)
    if arm.arithmetic != "float32":
        words.append(arm.arithmetic)
    return " ".join(words)


def measured_on(run: Results) -> str:
    """The machine, the day and the frameworks' versions of a run, in a line."""
    machine = run.trigru.machine
    device = machine.device
    if machine.backend == "cpu" and "CPU" not in device:
        device = f"{device} CPU"

    parts = [device]
    if machine.threads:
        parts.append(count(machine.threads, "thread"))
    parts.append(run.datetime[:10])
    if run.trigru.plan.arithmetic != "float32":
        parts.append(run.trigru.plan.arithmetic)

    versions = []
    for name in ("jax", "flax", "equinox"):
        if name in machine.versions:
            versions.append(f"{name} {machine.versions[name]}")
    return f"{', '.join(parts)}; {', '.join(versions)}"


def provenance_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, and warnings."""
    return origin_lines(results) + load_warnings(results.trigru)


def origin_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, and whether that is all."""
    run = results.trigru
    lines = origin_of(results.datetime, run.machine, run.begun.command)
    if not run.complete:
        lines.insert(0, INTERRUPTED)
    return lines


def origin_of(measured: str, machine: Machine, command: Iterable[str]) -> list[str]:
    """When, where and with what something was measured, at a time in ISO 8601."""
    where = ", since no process started"
    if machine.threads:
        where = f" ({machine.backend}, {machine.threads} threads)"
    lines = [
        f"{measured[:10]}, {machine.device}{where}: {' '.join(command)}",
        f"{machine.packages}.",
    ]

    variables = dict(machine.environment)
    if machine.xla_flags:
        variables = {"XLA_FLAGS": machine.xla_flags, **variables}
    if variables:
        settings = ", ".join(f"{name}={value}" for name, value in variables.items())
        lines.append(f"Set in the environment: {settings}.")
    for gpu in machine.gpus:
        facts = ", ".join(f"{name} {value}" for name, value in gpu.items())
        lines.append(f"GPU: {facts}.")
    return lines


def load_warnings(run: Run) -> list[str]:
    """A warning if more than half of the cores were busy before a run."""
    load = run.begun.load
    threads = run.machine.threads
    if load is None or not threads or load <= threads / 2:
        return []
    return [
        f"Busy machine: {load:.1f} processes on {threads} threads before. Use an idle "
        "one."
    ]
