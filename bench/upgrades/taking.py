"""Taking a snapshot: equality is proven, and a process for each framework collects the other facts."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain
from pathlib import Path
from threading import Event

import numpy as np
from msgspec.structs import replace

from ...common.equality.checks import CHECKS, DTYPES
from ...common.equality.measurement import Measurement
from ...common.gru.kernels import FUSED
from ...impls import get_port, port_names, unavailable
from ..processes.child import SLICE_S, Child, ChildDiedError, shared_memory
from ..processes.interrupts import raise_if_interrupted
from ..processes.scratch import scratch
from ..proving.kept import digest, keep, kept, nothing_changed
from ..proving.prover import PortId, Prover, QuestionId
from ..proving.questions import expand
from ..results.grouping import grouped
from .files import Arrays, Kept, decode
from .models import snapshot_of
from .record import PARTS_OF, Snapshot, Subject
from .sources import sources_of
from .work import PROCESSES, Told, Work
from .worker import Request

WORKER = "trigru.bench.upgrades.worker:answer_request"
#: A process that says nothing for longer is ended, and what it looked at is a problem; in seconds.
LIMIT_S = 300.0


def take(
    names: Sequence[str], *, equality: bool, anew: bool = False, prover: Prover, told: Told = lambda *_: None
) -> tuple[Snapshot, Arrays]:
    """Collect what is true of some ports, and of their frameworks' parts.

    Args:
        names: of the ports; one that is not there is a fact, too.
        equality: whether equality is proven.
        anew: take no proof that is kept.
        prover: asks for it, and says where compiled programs are kept.
        told: of the progress.

    Returns:
        The snapshot, and the arrays that it names.
    """
    present = [name for name in names if name in port_names() and not unavailable(name)]
    ports = [PortId("port", name) for name in present]
    proofs = {s: proof.measurements for s in ports if equality and not anew and (proof := kept(s))}
    asked = expand([s for s in ports if s not in proofs], DTYPES, CHECKS) if equality else []
    subjects_of = {name: _subjects_of(name, present=name in present) for name in names}
    work = Work(prover.programs, [*chain.from_iterable(subjects_of.values())], len(asked), told)
    if asked:
        proofs |= _prove(asked, prover, lambda last: work.add_check(f"{last.subject.name} {last.check}"))
    measured = [m for port in ports for m in proofs[port]] if equality else None
    subjects, arrays = _look(subjects_of, prover.programs, work)
    work.keep()
    packages = sorted({package for name in present for package in get_port(name).packages})
    with_sources = Kept(dict(arrays))
    sources = sources_of(["jax", "optax", *packages], with_sources)
    return replace(snapshot_of(subjects, measured, packages), sources=sources), with_sources.arrays


def _subjects_of(name: str, *, present: bool) -> list[str]:
    """The subjects of a framework, in the order in which they are looked at."""
    fused = present and FUSED in get_port(name).kernels
    parts = present and name in PARTS_OF
    return [name] + [f"{name}:{FUSED}"] * fused + ([PARTS_OF[name]] if parts else [])


def _prove(
    asked: list[QuestionId], prover: Prover, told: Callable[[QuestionId], None]
) -> dict[PortId, list[Measurement]]:
    """The measurements by subject, which are kept for the next time."""
    digest()  # before anything is checked
    measurements = prover.prove(asked, lambda _, last: told(last))
    pairs = grouped(zip(asked, measurements, strict=True), lambda pair: pair[0].subject)
    found = {subject: [m for _, m in of] for subject, of in pairs.items()}
    if prover.programs is not None and nothing_changed():
        for subject, measured in found.items():
            keep(subject, prover.backend, measured)
    return found


def _looked(request: Request, stop: Event) -> Iterator[Subject]:
    """The facts that a child process finds. Raises a ChildDiedError if it ends before it has told everything."""
    with Child(WORKER, shared_memory() | {"JAX_TRACEBACK_FILTERING": "off"}) as child:
        yield from child.answers_to(request, Subject, LIMIT_S, stop)


def _look(subjects_of: dict[str, list[str]], programs: Path | None, work: Work) -> tuple[list[Subject], Arrays]:
    """The facts that child processes find, one for each framework."""
    stop = Event()

    def look(request: Request) -> list[Subject]:
        found, start = list[Subject](), time.monotonic()
        try:
            for subject in _looked(request, stop):
                found.append(subject)
                work.add(subject.name, time.monotonic() - start, subject.name)
                start = time.monotonic()
        except ChildDiedError as error:
            lost = request.names[len(found) :]
            found += [Subject(name, request.framework, problems={"import": str(error)}) for name in lost]
        return found

    with scratch() as place, ThreadPoolExecutor(PROCESSES) as pool:
        kept_in = None if programs is None else str(programs)
        requests = [Request(name, of, str(Path(place) / f"arrays-{name}"), kept_in) for name, of in subjects_of.items()]
        looking = [pool.submit(look, request) for request in requests]
        try:
            while wait(looking, timeout=SLICE_S).not_done:
                raise_if_interrupted()
        finally:
            stop.set()
        arrays: dict[str, np.ndarray] = {}
        for file in sorted(Path(place).glob("arrays-*")):
            arrays |= decode(file.read_bytes())[0]
        return [subject for future in looking for subject in future.result()], arrays
