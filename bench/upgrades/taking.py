"""A snapshot is taken: equality is proven, and a process for each framework collects the other facts."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import numpy as np

from ...common.equality.checks import CHECKS, DTYPES
from ...common.equality.measurement import Measurement
from ...common.errors import brief
from ...impls import get_port, port_names, unavailable, upstream
from ..processes.child import SLICE_S, Child, ChildDiedError, devices_of_cpu, shared_memory, xla_flags
from ..processes.interrupts import check
from ..processes.scratch import scratch
from ..proving.kept import digest, keep, kept, nothing_changed
from ..proving.messages import Asked
from ..proving.messages import Subject as Named
from ..proving.prover import Prover
from ..proving.questions import OF_PARTS, expand
from ..results.files import command_line
from .folder import decode
from .parts import NAMES
from .record import DEVICES, SCHEMA, Snapshot, Subject
from .versions import machine_with_versions
from .worker import Request, name_of

WORKER = "trigru.bench.upgrades.worker:answer_request"
#: A process that says nothing for longer is ended, and what it looked at is a problem; in seconds.
LIMIT_S = 300.0
#: Processes side by side.
PROCESSES = 2
#: Kernels that are looked at beside each framework's own cell.
KERNELS = ("fused",)

#: Called with what is done, of how much, and the name of the last.
Told = Callable[[int, int, str], None]


def _silent(done: int, of: int, what: str) -> None:
    pass


def take(
    names: Sequence[str],
    folder: Path,
    *,
    equality: bool | Sequence[Measurement] = True,
    anew: bool = False,
    prover: Prover,
    told: Told = _silent,
) -> tuple[Snapshot, dict[str, np.ndarray]]:
    """Collect what is true of some ports, and write their checkpoints into a folder.

    Args:
        names: of the ports; one that is not there is a fact, too.
        folder: of the snapshot.
        equality: whether equality is proven, which takes most of the time; or what was measured of it already.
        anew: take no proof that is kept.
        prover: asks for it, and says where compiled programs are kept.
        told: of the progress.

    Returns:
        The snapshot, and the arrays that it names.
    """
    present = [name for name in names if name in port_names() and not unavailable(name)]
    parts = [name for name in upstream.NAMES if name in present]
    measured = None if isinstance(equality, bool) else list(equality)
    departures: list[tuple[str, str, str]] = []
    if equality is True:
        ports = [Named("port", name) for name in present]
        digest()  # before anything is checked
        known = {} if anew else {port: proof.measurements for port in ports if (proof := kept(port))}
        usual = expand([port for port in ports if port not in known], DTYPES, CHECKS)
        of_parts = expand([Named("upstream", name) for name in parts], DTYPES, OF_PARTS)
        found = _prove(usual + of_parts, prover, told)
        for port in (port for port in ports if port not in known):
            known[port] = [m for q, answer in zip(usual, found, strict=False) if q.subject == port for m in answer]
            if prover.programs is not None and nothing_changed():
                keep(port, prover.backend, known[port])
        measured = [m for port in ports for m in known[port]]
        others = [m for answer in found[len(usual) :] for m in answer]
        departures = [departure for name in parts for departure in _departures(name, others)]
    packages = sorted({package for name in present for package in get_port(name).packages})
    subjects, arrays = _look([_framework(name, name in present) for name in names], folder, prover.programs, told)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    machine = machine_with_versions(packages)
    return Snapshot(SCHEMA, command_line(), when, machine, measured, departures, subjects), arrays


def _departures(name: str, measured: list[Measurement]) -> list[tuple[str, str, str]]:
    """Where a framework's own part departs from the contract; a part that is gone, too."""
    try:
        return [(f.part, f.what, f.status) for f in upstream.find_departures(name, measured)]
    except Exception as error:  # a framework may lack it now
        return [(name, "is there", f"{type(error).__name__}: {brief(error)}")]


def _prove(asked: list[Asked], prover: Prover, told: Told) -> list[list[Measurement]]:
    done = prover.prove(asked, lambda number, last: told(number, len(asked), f"{last.subject.name} {last.check}"))
    return done.answers


@dataclass(frozen=True)
class _Framework:
    """A port by name, with its kernels, and the framework's own part, if there is one."""

    name: str
    kernels: tuple[str, ...] = ()
    upstream: bool = False
    parts: bool = False

    @property
    def named(self) -> list[Named]:
        """The port, on its own cell and on each kernel, and the framework's own."""
        ports = [Named("port", self.name), *(Named("port", self.name, kernel) for kernel in self.kernels)]
        return [*ports, *([Named("upstream", self.name)] if self.upstream else [])]

    @property
    def names(self) -> list[str]:
        """The names of all subjects, in the order in which they are inspected."""
        return [*map(name_of, self.named), *([NAMES[self.name]] if self.parts else [])]


def _framework(name: str, present: bool) -> _Framework:
    kernels = tuple(kernel for kernel in KERNELS if present and kernel in get_port(name).kernels)
    return _Framework(name, kernels, present and name in upstream.NAMES, present and name in NAMES)


def _looked(request: Request, stop: Event) -> Iterator[Subject]:
    """The facts that a child process finds. Raises a ChildDiedError if it ends before it has told everything."""
    flags = xla_flags(*devices_of_cpu(DEVICES))
    with Child(WORKER, shared_memory() | flags) as child:
        for line in child.lines_of(msgspec.json.encode(request), LIMIT_S, stop):
            yield msgspec.json.decode(line, type=Subject)


def _look(
    frameworks: Sequence[_Framework], folder: Path, programs: Path | None, told: Told
) -> tuple[list[Subject], dict[str, np.ndarray]]:
    """The facts that child processes, one for each framework, find."""
    done: list[str] = []
    of = sum(len(framework.names) for framework in frameworks)
    with scratch() as place, ThreadPoolExecutor(PROCESSES) as pool:

        def tell(what: str) -> None:
            done.append(what)
            told(len(done), of, what)

        def look(number: int) -> list[Subject]:
            framework = frameworks[number]
            arrays = str(Path(place) / f"arrays-{number}")
            kept = None if programs is None else str(programs)
            request = Request(framework.name, framework.named, str(folder), arrays, kept, framework.parts)
            found: list[Subject] = []
            try:
                for subject in _looked(request, stop):
                    found.append(subject)
                    tell(subject.name)
            except ChildDiedError as error:
                for name in framework.names[len(found) :]:
                    found.append(Subject(name, framework.name, problems={"import": str(error)}))
            return found

        stop = Event()
        looking = [pool.submit(look, number) for number in range(len(frameworks))]
        try:
            while wait(looking, timeout=SLICE_S).not_done:
                check()
        finally:
            stop.set()
        subjects = [subject for future in looking for subject in future.result()]
        arrays: dict[str, Any] = {}
        for file in sorted(Path(place).glob("arrays-*")):
            arrays |= decode(file.read_bytes())
    return subjects, arrays
