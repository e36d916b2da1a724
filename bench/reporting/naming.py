"""What sentences call ports, phases, styles and workloads; and where the numbers come from, with warnings."""

from collections.abc import Iterable
from functools import cache

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, port_names, unavailable
from ..analysis.benchmarks import Results
from ..arms.workloads import get_workload
from ..results.arm import Arm, Sized
from ..results.machine import Machine
from ..results.run import Run
from .numbers import count

CALLED = {DOCUMENTED: "as documented", FUNCTIONAL: "functional"}
PHASES = {
    "forward": "forward pass",
    "gradient": "gradient",
    "train_step": "train step",
    "step": "one step",
}

#: What each framework's documentation compiles a call with.
JITS = {"linen": "jax.jit", "nnx": "nnx.jit", "equinox": "eqx.filter_jit"}


def name_of(port: str) -> str:
    """What a sentence calls a port: "NNX" or "plain JAX"."""
    return get_port(port).title.removeprefix("Flax ") if is_here(port) else port


@cache
def is_here(port: str) -> bool:
    """Whether a port can be asked for what it calls itself."""
    return port in port_names() and unavailable(port) is None


def describe(workload: Sized) -> str:
    """A workload as 'B=1 T=50 D=20 H=200: 1 sequence of 50 steps, 20 inputs, 200 units'."""
    sizes = get_workload(workload)
    steps = f"{'up to ' if sizes.is_speech else ''}{count(sizes.time, 'step')}"
    return (
        f"{sizes.shape}: {count(sizes.batch_size, 'sequence')} of {steps}, {count(sizes.input_size, 'input')}, "
        f"{count(sizes.hidden_size, 'unit')}"
    )


def short_group(arm: Arm) -> str:
    """An arm's workload and phase, and its division and arithmetic where they are not the usual ones."""
    division = [arm.division] if arm.division != STOCK else []
    arithmetic = [arm.arithmetic] if arm.arithmetic != "float32" else []
    return " ".join((str(arm.workload), arm.phase, *division, *arithmetic))


def measured_on(run: Results) -> str:
    """The machine, the day and the frameworks' versions of a run, in a line."""
    machine, arithmetic = run.trigru.machine, run.trigru.plan.arithmetic
    known = machine.versions
    versions = ", ".join(
        f"{name} {known[name]}" for name in ("jax", "flax", "equinox") if name in known
    )
    device = (
        f"{machine.device} CPU"
        if machine.backend == "cpu" and "CPU" not in machine.device
        else machine.device
    )
    threads = f", {count(machine.threads, 'thread')}" if machine.threads else ""
    how = "" if arithmetic == "float32" else f", {arithmetic}"
    return f"{device}{threads}, {run.datetime[:10]}{how}; {versions}"


def provenance_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, and warnings."""
    return origin_lines(results) + load_warnings(results.trigru)


def versions_text(machine: Machine) -> str:
    """The installed packages, with their versions."""
    return ", ".join(f"{name} {version}" for name, version in machine.versions.items())


def origin_lines(results: Results) -> list[str]:
    """When, where and with what the numbers were measured, and whether that is all."""
    run = results.trigru
    interrupted = ["INTERRUPTED: not all was measured."] * (not run.complete)
    return [*interrupted, *origin_of(results.datetime, run.machine, run.begun.command)]


def origin_of(measured: str, machine: Machine, command: Iterable[str]) -> list[str]:
    """When, where and with what something was measured, at a time in ISO 8601."""
    variables = (
        {"XLA_FLAGS": machine.xla_flags} if machine.xla_flags else {}
    ) | machine.environment
    is_set = f"Set in the environment: {', '.join(f'{name}={value}' for name, value in variables.items())}."
    known = (
        f" ({machine.backend}, {machine.threads} threads)"
        if machine.threads
        else ", since no process started"
    )
    return [
        f"{measured[:10]}, {machine.device}{known}: {' '.join(command)}",
        f"{versions_text(machine)}.",
        *[is_set] * bool(variables),
        *(
            "GPU: " + ", ".join(f"{name} {value}" for name, value in gpu.items()) + "."
            for gpu in machine.gpus
        ),
    ]


def load_warnings(run: Run) -> list[str]:
    """A warning if more than half of the cores were busy before a run."""
    load, threads = run.begun.load, run.machine.threads
    if load is None or not threads or load <= threads / 2:
        return []
    return [
        f"Busy machine: {load:.1f} processes on {threads} threads before. Use an idle one."
    ]
