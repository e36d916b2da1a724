"""Rules of records that several kinds of files have: machines, and measurements of equality.

Each function yields a sentence for each contradiction.
"""

from collections.abc import Iterable, Iterator

from ...common.equality.measurement import Measurement
from ...impls import get_port, own_ports, unavailable
from .lines import first_twice
from .run import Machine


def of_machine(machine: Machine, ports: Iterable[str]) -> Iterator[str]:
    """A CPU has no GPU, and a port that ran has the packages that it needs.

    Args:
        ports: of which there are numbers or facts.
    """
    if machine.backend == "cpu" and machine.gpus:
        yield f"it has GPUs, and ran on {machine.device}"
    for port in {*ports} & {*own_ports()}:
        packages = () if unavailable(port) else get_port(port).packages
        needed = [name for name in packages if name != "jaxlib"]  # which comes with jax
        if lost := [name for name in needed if machine.versions.get(name, "not installed") == "not installed"]:
            yield f"{port} was there, and {lost[0]} was not installed"


def of_measurements(found: Iterable[Measurement]) -> Iterator[str]:
    """Each measurement is there once; of rows that fail, several may have one reason."""
    once = [m for m in found if m.passed or m.levels is None]
    measured = [f"{m.port} {m.kernel} {m.check} {m.style} {m.quantity} {m.dtype} {m.levels or ''}" for m in once]
    if twice := first_twice(measured):
        yield f"its proof has {twice} twice"
