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

#: Seconds of a processor that a question of a proof takes, and a port, each of its kernels, a framework's own GRU and
#: its parts; and the share of these where compiled programs are kept, of which there are more than a few.
CHECK_S, PORT_S, KERNEL_S, OWN_S, PARTS_S = 0.17, 8.0, 1.5, 2.5, 3.5
WARM, FEW_PROGRAMS = 0.35, 50

#: Called with the seconds of work that are done, of how many, and the name of the last.
Told = Callable[[float, float, str], None]


def _silent(done_s: float, of_s: float, what: str) -> None:
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
    frameworks = [_framework(name, name in present) for name in names]
    looking_s = sum(framework.cost_s for framework in frameworks) * (WARM if _are_kept(prover.programs) else 1.0)
    asked: list[Asked] = []
    if equality is True:
        ports = [Named("port", name) for name in present]
        subjects = [*ports, *(Named("upstream", name) for name in parts)]
        digest()  # before anything is checked
        known = {} if anew else {subject: proof.measurements for subject in subjects if (proof := kept(subject))}
        new = [subject for subject in subjects if subject not in known]
        asked += expand([subject for subject in new if subject.source == "port"], DTYPES, CHECKS)
        asked += expand([subject for subject in new if subject.source == "upstream"], DTYPES, OF_PARTS)
        total_s = CHECK_S * len(asked) + looking_s
        found = _prove(asked, prover, lambda done, what: told(CHECK_S * done, total_s, what))
        for subject in new:
            answers = zip(asked, found, strict=True)
            known[subject] = [m for q, answer in answers if q.subject == subject for m in answer]
            if prover.programs is not None and nothing_changed():
                keep(subject, prover.backend, known[subject])
        measured = [m for port in ports for m in known[port]]
        departures = [d for name in parts for d in _departures(name, known[Named("upstream", name)])]
    begun_s = CHECK_S * len(asked)

    def further(done_s: float, what: str) -> None:
        told(begun_s + done_s * looking_s / sum(f.cost_s for f in frameworks), begun_s + looking_s, what)

    further(0.0, "the proof")
    packages = sorted({package for name in present for package in get_port(name).packages})
    looked_at, arrays = _look(frameworks, folder, prover.programs, further)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    machine = machine_with_versions(packages)
    return Snapshot(SCHEMA, command_line(), when, machine, measured, departures, looked_at), arrays


def _departures(name: str, measured: list[Measurement]) -> list[tuple[str, str, str]]:
    """Where a framework's own part departs from the contract; a part that is gone, too."""
    try:
        return [(f.part, f.what, f.status) for f in upstream.find_departures(name, measured)]
    except Exception as error:  # a framework may lack it now
        return [(name, "is there", f"{type(error).__name__}: {brief(error)}")]


def _prove(asked: list[Asked], prover: Prover, told: Callable[[int, str], None]) -> list[list[Measurement]]:
    told(0, "nothing")
    return prover.prove(asked, lambda number, last: told(number, f"{last.subject.name} {last.check}")).answers


def _are_kept(programs: Path | None) -> bool:
    """Whether there are compiled programs of an earlier run."""
    return programs is not None and sum(1 for _ in programs.glob("*-cache")) > FEW_PROGRAMS


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
    def cost_s(self) -> float:
        """Seconds of a processor that it takes to look at it."""
        return PORT_S + KERNEL_S * len(self.kernels) + OWN_S * self.upstream + PARTS_S * self.parts

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
    frameworks: Sequence[_Framework], folder: Path, programs: Path | None, told: Callable[[float, str], None]
) -> tuple[list[Subject], dict[str, np.ndarray]]:
    """The facts that child processes, one for each framework, find."""
    done_s: list[float] = []
    with scratch() as place, ThreadPoolExecutor(PROCESSES) as pool:

        def tell(framework: _Framework, what: str) -> None:
            done_s.append(framework.cost_s / len(framework.names))
            told(sum(done_s), what)

        def look(number: int) -> list[Subject]:
            framework = frameworks[number]
            arrays = str(Path(place) / f"arrays-{number}")
            kept = None if programs is None else str(programs)
            request = Request(framework.name, framework.named, str(folder), arrays, kept, framework.parts)
            found: list[Subject] = []
            try:
                for subject in _looked(request, stop):
                    found.append(subject)
                    tell(framework, subject.name)
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
