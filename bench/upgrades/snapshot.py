"""`trigru snapshot`: how what is installed behaves, apart from the clock.

A process for each framework collects the facts.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...common.gru.kernels import FUSED
from ...impls import get_port, port_names, unavailable
from ..processes.environment import shared_memory
from ..processes.pool import Pool
from ..reporting.console import Progress, Prose, Section, say, show
from .installed import snapshot_of, sources_of
from .record import PARTS_OF, Snapshot, Subject
from .recording import check_works, subject_of
from .snapshot_file import ArrayStore, decode, save
from .worker import Looked, Request

WORKER = "trigru.bench.upgrades.worker:look"
#: A process that says nothing for longer is ended, and what it looked at is a problem.
LIMIT_S = 300.0
PROCESSES = 2  # side by side
#: About how long it takes to look at a fused kernel, and at anything else.
FUSED_S, OTHER_S = 2.0, 8.0
#: JAX's filter of tracebacks would hide the files of Equinox, too.
VARIABLES = {"JAX_TRACEBACK_FILTERING": "off"}


def take_snapshot(
    folder: Path, names: Sequence[str], programs: Path | None = None
) -> Snapshot:
    """Write down what is true of ports, and of their frameworks' parts.

    There is a progress bar meanwhile. A port that is not there is a fact, too.

    Args:
        folder: of the snapshot.
        names: of the ports.
        programs: the folder that keeps compiled programs; None keeps none.
    """
    requests = requests_for(names, programs)
    shares = shares_of(requests)
    store = ArrayStore()
    subjects: dict[str, Subject] = {}
    pool = Pool[Request, Looked](
        WORKER,
        Looked,
        limit_s=LIMIT_S,
        processes=PROCESSES,
        variables=shared_memory() | VARIABLES,
    )
    with pool, Progress("snapshot") as progress:
        for looked in looked_at(pool, requests):
            subject = looked.subject
            subjects[subject.name] = subject
            if looked.arrays:
                arrays, _ = decode(looked.arrays)
                store.update(arrays)
            progress.add(f"snapshot: {subject.name} done", shares[subject.name])

    packages: set[str] = set()
    for name in names:
        if _is_there(name):
            packages.update(get_port(name).packages)
    in_order = [subjects[name] for request in requests for name in request.subjects]
    snapshot = snapshot_of(in_order, sorted(packages))
    snapshot.sources = sources_of(["jax", "optax", *sorted(packages)])
    save(folder, snapshot, store)
    return snapshot


def requests_for(names: Iterable[str], programs: Path | None) -> list[Request]:
    """What a process for each port is to look at."""
    kept_in = None if programs is None else str(programs)
    requests: list[Request] = []
    for name in names:
        subjects = [name]
        if _is_there(name):
            if FUSED in get_port(name).kernels:
                subjects.append(f"{name}:{FUSED}")
            if name in PARTS_OF:
                subjects.append(PARTS_OF[name])
        requests.append(Request(name, subjects, kept_in))
    return requests


def looked_at(
    pool: Pool[Request, Looked], requests: Iterable[Request]
) -> Iterator[Looked]:
    """The subjects of requests, as processes of a pool look at them.

    What a process had not told when it died has its death as a problem.
    """
    waiting: dict[str, list[str]] = {}
    for request in requests:
        waiting[request.framework] = list(request.subjects)
        pool.submit(request)
    for request, message in pool.messages():
        missing = waiting[request.framework]
        if isinstance(message, Looked):
            missing.remove(message.subject.name)
            yield message
        else:
            reason = str(message.error or "the process ended without an answer")
            for name in missing:
                problems = {"import": reason}
                yield Looked(Subject(name, request.framework, problems=problems))


def take_snapshot_of_models(
    folder: Path, source: str, models: Iterable[Any], inputs: tuple[Any, ...]
) -> Snapshot:
    """Write down what is true of a user's models into a folder.

    Args:
        folder: of the snapshot.
        source: the user's file.
        models: see `recording.subject_of`.
        inputs: what they are called with.
    """
    store = ArrayStore()
    subjects = [subject_of(model, inputs, store, source=source) for model in models]
    for subject in subjects:
        check_works(subject)
    snapshot = snapshot_of(subjects)
    save(folder, snapshot, store)
    return snapshot


def show_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Print what a snapshot holds, and what to do with it."""
    rows = [_row(subject) for subject in snapshot.subjects]
    columns = (
        "port or part",
        "values",
        "draws",
        "leaves",
        "programs",
        "calls",
        "warnings",
        Prose("problems"),
    )
    show([Section("What the snapshot holds", columns, rows)])
    say(f"written: {folder}")
    say(f"after an upgrade: trigru diff {folder} --now")


def _row(subject: Subject) -> tuple[str, ...]:
    observations = subject.observations.values()
    numbers = (
        sum(bool(seen.results or seen.exact_results) for seen in observations),
        sum(bool(seen.draws) for seen in observations),
        sum(len(seen.leaves) for seen in observations),
        sum(seen.program is not None for seen in observations),
        sum(seen.cost is not None for seen in observations),
        len(subject.warnings),
    )
    problems = subject.missing or str(len(subject.problems))
    return (subject.name, *(str(number) for number in numbers), problems)


def _is_there(name: str) -> bool:
    return name in port_names() and not unavailable(name)


def shares_of(requests: Iterable[Request]) -> dict[str, float]:
    """The share of the work that each subject is; together they are 1."""
    expected_s: dict[str, float] = {}
    for request in requests:
        for name in request.subjects:
            expected_s[name] = FUSED_S if name.endswith(f":{FUSED}") else OTHER_S
    all_s = sum(expected_s.values())
    return {name: seconds / all_s for name, seconds in expected_s.items()}
