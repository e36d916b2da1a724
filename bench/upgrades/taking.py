"""Taking a snapshot: equality is proven, and a process for each framework collects the other facts."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Event

import msgspec
from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.files import read_whole, write_whole
from ...common.gru.kernels import FUSED
from ...impls import get_port, port_names, unavailable
from ..processes.child import SLICE_S, ChildDiedError, answers_of, shared_memory
from ..processes.interrupts import raise_if_interrupted
from ..processes.scratch import scratch
from ..proving.kept import prove_ports
from ..proving.prover import PortId, Prover, QuestionId
from ..reporting.console import Progress, say
from .files import Arrays, Kept, decode
from .models import snapshot_of
from .record import PARTS_OF, Snapshot, Subject
from .sources import sources_of
from .versions import installed
from .worker import Request

WORKER = "trigru.bench.upgrades.worker:answer_request"
#: A process that says nothing for longer is ended, and what it looked at is a problem; in seconds.
LIMIT_S = 300.0
#: Processes side by side.
PROCESSES = 2
#: The file of how long the last snapshot took, beside the compiled programs; and its largest size.
FILE, MOST_BYTES = "snapshot_seconds.json", 2**16
#: About how many seconds a question of a proof takes, and a subject: fused kernels, some others, and all else.
CHECK_S, FUSED_S, OTHER_S = 0.17, 2.0, 7.0
SECONDS = {"jax, optax": 12.0, "linen's parts": 9.0, "nnx's parts": 10.0, "equinox's parts": 9.0}


def take(
    names: Sequence[str], *, equality: bool, anew: bool = False, prover: Prover, progress: Progress
) -> tuple[Snapshot, Arrays]:
    """Collect what is true of some ports, and of their frameworks' parts.

    Args:
        names: of the ports; one that is not there is a fact, too.
        anew: take no proof that is kept.
        prover: asks for it, and says where compiled programs are kept.

    Returns:
        The snapshot, and the arrays that it names.
    """
    present = [name for name in names if name in port_names() and not unavailable(name)]
    subjects_of = {name: [name] for name in names}
    for name in present:
        subjects_of[name] += [f"{name}:{FUSED}"] * (FUSED in get_port(name).kernels)
        subjects_of[name] += [PARTS_OF[name]] if name in PARTS_OF else []
    work = SnapshotWork(prover.programs, [*chain.from_iterable(subjects_of.values())], progress)

    def prove(asked: list[QuestionId]) -> list[Measurement]:
        work.begin(len(asked))
        answered = lambda _, last: work.add(f"{last.subject.name} {last.check}", CHECK_S)  # noqa: E731
        return prover.prove(asked, answered) if asked else []

    proven = [PortId("port", name) for name in present] if equality else []
    measured, kept = prove_ports(proven, prove, anew=anew, prover=prover), Kept()
    subjects = _look(subjects_of, prover.programs, work, kept)
    work.keep()
    packages = sorted({package for name in present for package in get_port(name).packages})
    found = snapshot_of(subjects, measured if equality else None, packages)
    return replace(found, sources=sources_of(["jax", "optax", *packages], kept)), kept.arrays


class SnapshotWork:
    """The share of a snapshot's work that is done.

    Args:
        folder: in which the time that it took is kept; None keeps none.
        subjects: what is looked at.
    """

    def __init__(self, folder: Path | None, subjects: Sequence[str], progress: Progress):
        versions = sorted(installed(["jax", "flax", "equinox", "optax"]).items())
        self._of = [*map("==".join, versions), *subjects]
        self._path, self._progress, self._begun = folder and folder / FILE, progress, time.monotonic()
        self._all_s = self._left_s = sum(map(_expected_s, subjects))

    def begin(self, checks: int) -> None:
        """Begin, with so many questions of a proof; says how long as much work took the last time."""
        self._of.append(str(checks))
        self._left_s = self._all_s = self._all_s + CHECK_S * checks
        last: dict[str, float] = {}
        with suppress(OSError, ValueError, msgspec.MsgspecError):  # which is no ValueError before msgspec 0.21
            if self._path is not None:
                last = msgspec.json.decode(read_whole(self._path, MOST_BYTES), type=dict[str, float])
        if (last_s := last.get(" ".join(self._of))) is not None:
            say(f"snapshot: about {last_s:.0f} s, as the last one")
        self._progress.to(0.0, "snapshot: nothing done")

    def add(self, name: str, expected_s: float | None = None) -> None:
        """Count a subject, or what else was expected to take so long."""
        self._left_s -= _expected_s(name) if expected_s is None else expected_s
        self._progress.to(1 - self._left_s / self._all_s, f"snapshot: {name} done")

    def keep(self) -> None:
        """Keep the time for the next snapshot. That it cannot be kept costs an estimate alone."""
        with suppress(OSError):
            if self._path is not None:
                seconds = {" ".join(self._of): time.monotonic() - self._begun}
                write_whole(self._path, msgspec.json.encode(seconds))


def _expected_s(subject: str) -> float:
    return SECONDS.get(subject) or (FUSED_S if ":" in subject else OTHER_S)


def _look(subjects_of: dict[str, list[str]], programs: Path | None, work: SnapshotWork, kept: Kept) -> list[Subject]:
    """Look at all subjects, and fill `kept`."""
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
        for file in sorted(Path(place).glob("arrays-*")):
            kept.arrays.update(decode(file.read_bytes())[0])
        return [subject for future in looking for subject in future.result()]
