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
from ...common.errors import brief
from ...common.gru.kernels import FUSED
from ...impls import get_port, port_names, unavailable, upstream
from ..processes.child import SLICE_S, Child, ChildDiedError, shared_memory
from ..processes.interrupts import check
from ..processes.scratch import scratch
from ..proving.kept import digest, keep, kept, nothing_changed
from ..proving.prover import PortId, Prover, QuestionId
from ..proving.questions import OF_PARTS, expand
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
#: Measurements of ports and of the frameworks' own parts.
Proofs = dict[PortId, list[Measurement]]


def take(
    names: Sequence[str], *, equality: bool, anew: bool = False, prover: Prover, told: Told = lambda *_: None
) -> tuple[Snapshot, Arrays]:
    """Collect what is true of some ports, and of their frameworks' parts.

    Args:
        names: of the ports; one that is not there is a fact, too.
        equality: whether equality is proven, which takes most of the time.
        anew: take no proof that is kept.
        prover: asks for it, and says where compiled programs are kept.
        told: of the progress.

    Returns:
        The snapshot, and the arrays that it names.
    """
    present = [name for name in names if name in port_names() and not unavailable(name)]
    ports = [PortId("port", name) for name in present]
    parts = [PortId("upstream", name) for name in upstream.NAMES if name in present]
    proofs = {s: proof.measurements for s in (*ports, *parts) if equality and not anew and (proof := kept(s))}
    asked: list[QuestionId] = []
    for subjects, checks in ((ports, CHECKS), (parts, OF_PARTS)) if equality else ():
        asked += expand([s for s in subjects if s not in proofs], DTYPES, checks)
    subjects_of = {name: _subjects_of(name, present=name in present) for name in names}
    work = Work(prover.programs, [*chain.from_iterable(subjects_of.values())], len(asked), told)
    if asked:
        proofs |= _prove(asked, prover, lambda last: work.add_check(f"{last.subject.name} {last.check}"))
    measured = [m for port in ports for m in proofs[port]] if equality else None
    departures = [d for part in parts for d in _departures(part.name, proofs[part])] if equality else []
    subjects, arrays = _look(subjects_of, prover.programs, work)
    work.keep()
    packages = sorted({package for name in present for package in get_port(name).packages})
    snapshot, with_sources = snapshot_of(subjects, measured, departures, packages), Kept(dict(arrays))
    sources = sources_of(["jax", "optax", *packages], with_sources)
    return replace(snapshot, sources=sources), with_sources.arrays


def _subjects_of(name: str, *, present: bool) -> list[str]:
    """The subjects of a framework, in the order in which they are looked at."""
    fused = present and FUSED in get_port(name).kernels
    parts = present and name in PARTS_OF
    return [name] + [f"{name}:{FUSED}"] * fused + ([PARTS_OF[name]] if parts else [])


def _prove(asked: list[QuestionId], prover: Prover, told: Callable[[QuestionId], None]) -> Proofs:
    """The measurements by subject, which are kept for the next time."""
    digest()  # before anything is checked
    measurements = prover.prove(asked, lambda _, last: told(last))
    pairs = grouped(zip(asked, measurements, strict=True), lambda pair: pair[0].subject)
    found = {subject: [m for _, m in of] for subject, of in pairs.items()}
    if prover.programs is not None and nothing_changed():
        for subject, measured in found.items():
            keep(subject, prover.backend, measured)
    return found


def _departures(name: str, measured: list[Measurement]) -> list[tuple[str, str, str]]:
    """Where a framework's own part departs from the contract; a part that is gone, too."""
    try:
        return [(f.part, f.what, f.status) for f in upstream.find_departures(name, measured)]
    except Exception as error:  # a framework may lack it now
        return [(name, "is there", f"{type(error).__name__}: {brief(error)}")]


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
                check()
        finally:
            stop.set()
        arrays: dict[str, np.ndarray] = {}
        for file in sorted(Path(place).glob("arrays-*")):
            arrays |= decode(file.read_bytes())[0]
        return [subject for future in looking for subject in future.result()], arrays
