"""Taking a snapshot: equality is proven, and a process for each framework collects the other facts."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import numpy as np
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.gru.kernels import FUSED
from ...impls import get_port, port_names, unavailable
from ..processes.child import SLICE_S, Child, ChildDiedError, shared_memory
from ..processes.interrupts import raise_if_interrupted
from ..processes.scratch import scratch
from ..proving.kept import prove_ports
from ..proving.prover import PortId, Prover, QuestionId
from .files import Arrays, Kept, decode
from .models import snapshot_of
from .record import PARTS_OF, Snapshot, Subject
from .sources import sources_of
from .worker import Request

WORKER = "trigru.bench.upgrades.worker:answer_request"
#: A process that says nothing for longer is ended, and what it looked at is a problem; in seconds.
LIMIT_S = 300.0
#: Processes side by side.
PROCESSES = 2
#: About how many seconds they take over a question of a proof, over some subjects, over others and over fused kernels.
CHECK_S, OTHER_S, FUSED_S = 0.17, 7.0, 2.0
SECONDS = {"jax, optax": 12.0, "linen's parts": 16.0, "nnx's parts": 10.0, "equinox's parts": 9.0}


def take(
    names: Sequence[str],
    *,
    equality: bool,
    anew: bool = False,
    prover: Prover,
    told: Callable[[float, str], None] = lambda *_: None,
) -> tuple[Snapshot, Arrays]:
    """Collect what is true of some ports, and of their frameworks' parts.

    Args:
        names: of the ports; one that is not there is a fact, too.
        equality: whether equality is proven, which takes most of the time.
        anew: take no proof that is kept.
        prover: asks for it, and says where compiled programs are kept.
        told: called with the share of the work that is done, and what was done last.

    Returns:
        The snapshot, and the arrays that it names.
    """
    present = [name for name in names if name in port_names() and not unavailable(name)]
    subjects_of = {name: _subjects_of(name, present=name in present) for name in names}
    expected_s = {name: _expected_s(name) for of in subjects_of.values() for name in of}
    whole_s, done_s = sum(expected_s.values()), 0.0

    def add(seconds: float, what: str) -> None:
        nonlocal done_s
        done_s += seconds
        told(done_s / whole_s, what)

    def prove(asked: list[QuestionId]) -> list[Measurement]:
        nonlocal whole_s
        whole_s += CHECK_S * len(asked)
        return prover.prove(asked, lambda _, last: add(CHECK_S, f"{last.subject.name} {last.check}"))

    ports = [PortId("port", name) for name in present]
    measured = prove_ports(ports, prove, anew=anew, prover=prover) if equality else None
    subjects, arrays = _look(subjects_of, prover.programs, lambda name: add(expected_s[name], name))
    packages = sorted({package for name in present for package in get_port(name).packages})
    with_sources = Kept(dict(arrays))
    sources = sources_of(["jax", "optax", *packages], with_sources)
    return replace(snapshot_of(subjects, measured, packages), sources=sources), with_sources.arrays


def _expected_s(name: str) -> float:
    """About how many seconds a subject takes, which are near each other's in proportion."""
    return SECONDS.get(name) or (FUSED_S if ":" in name else OTHER_S)


def _subjects_of(name: str, *, present: bool) -> list[str]:
    """The subjects of a framework, in the order in which they are looked at."""
    fused = present and FUSED in get_port(name).kernels
    parts = present and name in PARTS_OF
    return [name] + [f"{name}:{FUSED}"] * fused + ([PARTS_OF[name]] if parts else [])


def _looked(request: Request, stop: Event) -> Iterator[Subject]:
    """The facts that a child process finds. Raises a ChildDiedError if it ends before it has told everything."""
    with Child(WORKER, shared_memory() | {"JAX_TRACEBACK_FILTERING": "off"}) as child:
        yield from child.answers_to(request, Subject, LIMIT_S, stop)


def _look(
    subjects_of: dict[str, list[str]], programs: Path | None, told: Callable[[str], None]
) -> tuple[list[Subject], Arrays]:
    """The facts that child processes find, one for each framework."""
    stop = Event()

    def look(request: Request) -> list[Subject]:
        found: list[Subject] = []
        try:
            for subject in _looked(request, stop):
                found.append(subject)
                told(subject.name)
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
