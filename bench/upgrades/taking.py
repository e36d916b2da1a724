"""Taking a snapshot: equality is proven, and a process for each framework collects the other facts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain
from pathlib import Path
from threading import Event

import numpy as np
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import FUSED
from ...impls import get_port, port_names, unavailable
from ..processes.child import SLICE_S, ChildDiedError, answers_of, shared_memory
from ..processes.interrupts import raise_if_interrupted
from ..processes.scratch import scratch
from ..proving.kept import prove_ports
from ..proving.prover import PortId, Prover, QuestionId
from .files import Arrays, Kept, decode
from .models import snapshot_of
from .record import PARTS_OF, Snapshot, Subject
from .sources import sources_of
from .work import CHECK_S, SnapshotWork, Told
from .worker import Request

WORKER = "trigru.bench.upgrades.worker:answer_request"
#: A process that says nothing for longer is ended, and what it looked at is a problem; in seconds.
LIMIT_S = 300.0
#: Processes side by side.
PROCESSES = 2


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
    subjects_of = {name: _subjects_of(name, present=name in present) for name in names}
    work = SnapshotWork(prover.programs, [*chain.from_iterable(subjects_of.values())], told)

    def prove(asked: list[QuestionId]) -> list[Measurement]:
        work.begin(len(asked))
        progress = lambda _, last: work.add(f"{last.subject.name} {last.check}", CHECK_S)  # noqa: E731
        return prover.prove(asked, progress) if asked else []

    measured = prove_ports(
        [PortId("port", name) for name in present] if equality else [], prove, anew=anew, prover=prover
    )
    subjects, arrays = _look(subjects_of, prover.programs, work)
    work.keep()
    packages = sorted({package for name in present for package in get_port(name).packages})
    with_sources = Kept(dict(arrays))
    sources = sources_of(["jax", "optax", *packages], with_sources)
    return replace(
        snapshot_of(subjects, measured if equality else None, packages), sources=sources
    ), with_sources.arrays


def _subjects_of(name: str, *, present: bool) -> list[str]:
    """The subjects of a framework, in the order in which they are looked at."""
    fused = present and FUSED in get_port(name).kernels
    parts = present and name in PARTS_OF
    return [name] + [f"{name}:{FUSED}"] * fused + ([PARTS_OF[name]] if parts else [])


def _look(subjects_of: dict[str, list[str]], programs: Path | None, work: SnapshotWork) -> tuple[list[Subject], Arrays]:
    """The facts that child processes find, one for each framework."""
    stop, variables = Event(), shared_memory() | {"JAX_TRACEBACK_FILTERING": "off"}

    def look(request: Request) -> list[Subject]:
        found: list[Subject] = []
        try:
            for subject in answers_of(WORKER, request, Subject, LIMIT_S, variables, stop):
                found.append(subject)
                work.add(subject.name)
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
