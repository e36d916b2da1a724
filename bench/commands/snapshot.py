"""`trigru snapshot`: how what is installed behaves, apart from the clock.

Equality is proven, and a process for each framework collects the other facts.
"""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from ...common.equality.checks import CHECKS, DTYPES
from ...common.equality.measurement import Measurement
from ...common.gru.kernels import FUSED
from ...impls import get_port, port_names, unavailable
from ..processes.child import ProcessEnded, SideBySide, answers_of, shared_memory
from ..proving.compiled_programs import programs_folder
from ..proving.messages import PortId
from ..proving.prover import Prover
from ..proving.questions import by_subject, expand
from ..reporting.console import Progress, Prose, Section, say, show
from ..upgrades.functions import subject_of
from ..upgrades.installed import snapshot_of, sources_of
from ..upgrades.record import PARTS_OF, Kept, Snapshot, Subject, decode, save
from ..upgrades.worker import Request
from .user_files import models_of

WORKER = "trigru.bench.upgrades.worker:answer_request"
#: A process that says nothing for longer is ended, and what it looked at is a problem; in seconds.
LIMIT_S = 300.0
PROCESSES = 2  # side by side
#: About how many seconds a question of a proof takes, and a subject: a fused kernel, and all else.
CHECK_S, FUSED_S, OTHER_S = 0.17, 2.0, 8.0


def snapshot(
    folder: Path,
    names: Sequence[str],
    *,
    equality: bool,
    prover: Prover,
) -> Snapshot:
    """Write down what is true of some ports, and of their frameworks' parts, under a progress bar.

    A port that is not there is a fact, too.
    """
    present = [name for name in names if name in port_names() and not unavailable(name)]
    requests: list[Request] = []
    programs = programs_folder()
    for name in names:
        kernels = [f"{name}:{FUSED}"] * (
            name in present and FUSED in get_port(name).kernels
        )
        parts = [PARTS_OF[name]] * (name in present and name in PARTS_OF)
        requests.append(
            (
                name,
                [name, *kernels, *parts],
                None if programs is None else str(programs),
            )
        )
    expected_s = {
        name: FUSED_S if ":" in name else OTHER_S
        for _, of, _ in requests
        for name in of
    }
    proven = [PortId(name) for name in present] if equality else []
    questions = expand(proven, DTYPES, CHECKS)
    all_s = sum(expected_s.values()) + CHECK_S * len(questions)
    with Progress("snapshot") as progress:

        def add(name: str, passed_s: float) -> None:
            progress.add(f"snapshot: {name} done", passed_s / all_s)

        measured: list[Measurement] = []
        if questions:
            answers = prover.prove(
                questions, lambda _, q: add(f"{q.subject.name} {q.check}", CHECK_S)
            )
            measured = by_subject(proven, questions, answers.measurements)
        kept = Kept()
        subjects = _look(requests, kept, lambda name: add(name, expected_s[name]))
    packages = sorted(
        {package for name in present for package in get_port(name).packages}
    )
    found = snapshot_of(subjects, measured if equality else None, packages)
    found.sources = sources_of(["jax", "optax", *packages], kept)
    save(folder, found, kept)
    return found


def _look(
    requests: Sequence[Request], kept: Kept, done: Callable[[str], None]
) -> list[Subject]:
    """The subjects of requests, each answered by a process; keeps their arrays, and says the name of each."""
    variables, found = (
        shared_memory() | {"JAX_TRACEBACK_FILTERING": "off"},
        [list[Subject]() for _ in requests],
    )
    waiting = deque(enumerate(requests))
    with SideBySide() as answers:

        def begin() -> None:
            number, request = waiting.popleft()
            kind = tuple[Subject, bytes]
            answers.read(
                number,
                lambda stop: answers_of(
                    WORKER, request, kind, LIMIT_S, variables, stop
                ),
            )

        for _ in requests[:PROCESSES]:
            begin()
        for number, answer in answers:
            if isinstance(answer, ProcessEnded):
                framework, names, _ = requests[number]
                lost = names[len(found[number]) :] if answer.error else []
                found[number] += [
                    Subject(name, framework, problems={"import": str(answer.error)})
                    for name in lost
                ]
                if waiting:
                    begin()
                continue
            subject, arrays = answer
            found[number].append(subject)
            kept.update(decode(arrays)[0] if arrays else {})
            done(subject.name)
    return [subject for subjects in found for subject in subjects]


def snapshot_of_file(folder: Path, file: str) -> Snapshot:
    """Take a snapshot of the models of a user's file, and write it into a folder."""
    models, inputs = models_of(file)
    kept = Kept()
    found = snapshot_of(
        [subject_of(model, inputs, kept, source=file) for model in models]
    )
    save(folder, found, kept)
    return found


def tell(folder: Path, found: Snapshot) -> None:
    """Print what a snapshot holds, and what to do with it."""
    rows = []
    for s in found.subjects:
        warned = sum(map(len, s.warnings.values()))
        counted = (
            *map(len, (s.values, s.draws, s.tree, s.checkpoints, s.programs, s.calls)),
            warned,
        )
        rows.append((s.name, *map(str, counted), s.missing or str(len(s.problems))))
    columns = (
        "port or part",
        "values",
        "draws",
        "leaves",
        "files",
        "programs",
        "calls",
        "warnings",
        Prose("problems"),
    )
    show([Section("What the snapshot holds", columns, rows)])
    measured = found.equality or []
    if failed := sum(not m.passed and m.offered for m in measured):
        say(
            f"{failed} of {len(measured)} measurements of equality failed: trigru verify shows them."
        )
    say(
        f"written: {folder}"
        + ("" if found.equality else ", without a proof of equality")
    )
    say(f"after an upgrade: trigru diff {folder} --now")
