"""A run: fresh processes measure, and this one writes each answer to the journal before it takes the next.

The journal is a file with one line of JSON for each record, which survives the run. Each line has a checksum that is
chained to the line before it.
"""

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import chain, zip_longest
from pathlib import Path

import msgspec
from msgspec import Struct

from ...common.errors import TrigruError, brief
from ...common.files import read_whole, write_whole
from ..arms.arms import compiling_processes
from ..processes.child import Child, ChildDiedError, answers_of, cores, parts_of_cpu
from ..processes.interrupts import shielded
from ..processes.scratch import scratch
from ..results.arm import Arm, Plan, Untimed
from ..results.lines import MOST_BYTES, decode_lines, encode_line
from ..results.run import Begun, GroupTimed, Line, Resumed, Run, Started
from .machine import machine_differences, version_differences, visible_gpu

#: Name of the journal, beside the results.
PARTIAL = "results.partial.jsonl"
WORKER, COMPILER = "trigru.bench.timing.worker:answer_request", "trigru.bench.timing.worker:compile_arms"
#: Processes that compile side by side: each needs some hundred megabytes.
MOST_COMPILERS = 8
#: A measuring process that is silent for longer is ended, and its arm has no number; in seconds.
LIMIT_S = 300.0
#: A file in the request's folder with the number of the arm that is being timed, from 1; 0 between groups. It costs no
#: system call, and it still exists after the process has died.
MARKER = "timed_arm"
#: About how long parts of a process take on two cores, in seconds: its start, with the machine's limits; to compile an
#: arm, by phase, and which share of that if it is taken from another process; the rounds of a group.
START_S, TAKEN, ROUNDS_S = 2.5, 0.12, 1.4
COMPILED_S = {"forward": 0.15, "gradient": 0.6, "train_step": 0.9, "step": 0.07}
#: A folder in the request's folder, of programs, where the run has no other; and a file that names the arms and
#: the software.
PROGRAMS, CONTENTS = "programs", "contents.json"
NO_BASELINE = "the baseline or its duplicate has no number, so there is nothing to compare with"


class ResumeError(TrigruError, ValueError):
    """A run cannot be continued: it is damaged, had another plan, or was of other versions or on another machine.

    Args:
        what: is wrong, as a sentence without its full stop.
    """

    def __init__(self, what: str):
        super().__init__(f"{what}. Begin anew with --fresh, or in another folder with --output.")


class Journal(Run, kw_only=True):
    """The records of a run that is not complete, in a file.

    Args:
        path: of the file.
        checksum: of its last line.
        made_folder: whether the file's folder was made for it.
    """

    path: Path
    checksum: str = ""
    made_folder: bool = False

    @classmethod
    def begin(cls, path: Path, begun: Begun) -> "Journal":
        """Begin a file. Raises a FileExistsError if there is one."""
        self = cls._of(path, [begun])
        self.made_folder = not path.parent.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()
        self._write(begun)
        return self

    @classmethod
    def resume(cls, path: Path, plan: Plan, versions: dict[str, str], commit: str) -> "Journal":
        """Continue where the file ends, on the same plan and the same software.

        Args:
            versions, commit: of what is installed.

        Raises:
            ResumeError: the file is damaged, of another plan, or of other software.
        """
        self = cls.read(path)
        begun = self.begun
        if self.plan != plan:
            command = " ".join(begun.command)
            raise ResumeError(f"{path} is of an unfinished run with other options, {begun.since or '?'} UTC: {command}")
        software = begun.versions | {"commit": begun.commit}
        differences = version_differences(software, versions | {"commit": commit}) if begun.versions else []
        if differences:
            raise ResumeError(f"{path} was begun elsewhere: {'; '.join(differences)}")
        if path.is_symlink():
            raise ResumeError(f"{path}: is a symbolic link, which is not written to")
        os.truncate(path, len(_whole_lines(path)))
        self.add(Resumed())
        return self

    @classmethod
    def read(cls, path: Path) -> "Journal":
        """The journal in a file. Raises a TrigruError if it is missing, and a ResumeError if it is not a journal."""
        try:
            return cls._of(path, *decode_lines(_whole_lines(path), Line))
        except OSError as error:
            raise TrigruError(f"{path}: {error.strerror}.") from error
        except ValueError as error:  # also msgspec's
            raise ResumeError(f"{path}: not a run of this trigru: {brief(error)}") from error

    @classmethod
    def _of(cls, path: Path, lines: list[Line], checksum: str = "") -> "Journal":
        """The journal of these lines. Raises a ValueError if they are not of one run."""
        if not lines or not isinstance(lines[0], Begun):
            raise ValueError("it has no beginning")
        facts = {"begun": lines[0], "started": [], "untimed": [], "interruptions": 0, "ended": None}
        self = cls(**facts, path=path, checksum=checksum)
        for line in lines[1:]:
            self.take(line)
        self.check()
        return self

    def add(self, line: Line) -> None:
        """Keep a record. Raises a ResumeError if it is from another machine than those before."""
        before = self.machine
        if before and isinstance(line, Started):
            differences = machine_differences(before, line.machine)
            if before.commit != line.machine.commit:
                differences.append(f"commit {line.machine.commit}, was {before.commit}")
            if differences:
                raise ResumeError(f"{self.path} was measured elsewhere: {'; '.join(differences)}")
        with shielded():
            self._write(line)
            self.take(line)

    def _write(self, line: Line) -> None:
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(self.path, flags), "ab") as file:
            content, checksum = encode_line(line, self.checksum)
            file.write(content)
        self.checksum = checksum

    def discard(self) -> None:
        """Remove the file: its content is in the results file, or it has none."""
        self.path.unlink(missing_ok=True)
        if self.made_folder and self.path.parent.exists() and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()


def _whole_lines(path: Path) -> bytes:
    """The content of a file up to the end of its last whole line."""
    content = read_whole(path, MOST_BYTES)
    return content[: content.rfind(b"\n") + 1]


class TimingRequest(Struct, frozen=True):
    """The request to a measuring process.

    Args:
        arms: those of the plan that are still to be measured, group by group.
        backend: the expected platform; None if any platform is accepted.
        folder: for files that the processes of a run share.
        programs: a folder with the compiled programs of all arms, made before the first process; None where the first
            processes compile, and the time that this takes is measured.
    """

    plan: Plan
    arms: list[Arm]
    process: int
    backend: str | None
    folder: str
    programs: str | None = None

    def arm_s(self, phase: str) -> float:
        """About how many seconds the process takes to make an arm ready."""
        compiles = self.programs is None and self.process < compiling_processes(self.plan.processes)
        return COMPILED_S[phase] * (1 if compiles else TAKEN)

    @property
    def whole_s(self) -> float:
        """About how many seconds the process takes."""
        groups = {arm.group for arm in self.arms}
        return START_S * bool(self.arms) + sum(self.arm_s(arm.phase) for arm in self.arms) + ROUNDS_S * len(groups)


class Stage(Struct, frozen=True, tag=True):
    """The next piece of work, and about how many seconds of the process's time the work since the last one takes."""

    what: str
    expected_s: float = 0.0
    group: str | None = None
    arm: str | None = None


#: What a measuring process answers.
Answer = Started | Stage | Untimed | GroupTimed

Ask = Callable[[TimingRequest, float], Generator[Answer, None, None]]


def ask_process(request: TimingRequest, limit_s: float) -> Generator[Answer, None, None]:
    """Measure in a fresh interpreter. Raises a ChildDiedError as `Child.answers_to` does."""
    return answers_of(WORKER, request, Answer, limit_s, _variables(request.plan))


def _variables(plan: Plan) -> dict[str, str]:
    devices = max(plan.devices)
    return visible_gpu(os.environ) if devices == 1 else parts_of_cpu(devices)


def compile_side_by_side(request: TimingRequest, software: Sequence[object], progress: Callable[[str], None]) -> None:
    """Compile the arms of a request, a part of them in each of several processes, for those that will time them.

    The programs of other arms, or of other software, are removed: those of the last run alone are kept. What fails here
    fails again where it is timed, which then says so.
    """
    folder, arms, most = Path(request.programs or ""), request.arms, min(cores(), MOST_COMPILERS)
    contents = msgspec.json.encode([arms, software])
    with suppress(OSError):
        if (folder / CONTENTS).read_bytes() == contents:
            return
    shutil.rmtree(folder, ignore_errors=True)
    parts = [msgspec.structs.replace(request, arms=part) for first in range(most) if (part := arms[first::most])]
    with ExitStack() as stack, suppress(ChildDiedError):
        children = [stack.enter_context(Child(COMPILER, _variables(request.plan))) for _ in parts]
        answers = [child.answers_to(part, Stage, LIMIT_S) for child, part in zip(children, parts, strict=True)]
        for stage in filter(None, chain.from_iterable(zip_longest(*answers))):
            progress(stage.what)
        with suppress(OSError):  # it is compiled again next time
            write_whole(folder / CONTENTS, contents)


def run(
    journal: Journal,
    progress: Callable[[str, float], None],
    ask: Ask | None = None,
    *,
    quick: bool = False,
    programs: Path | None = None,
) -> None:
    """Measure what a journal's plan asks for and the journal does not have yet.

    Raises a ChildDiedError if a process dies before it measures anything.

    Args:
        journal: answers are added to it.
        progress: called with what is under way and the share of the work left that was done since the last call.
        ask: measures a request; by default `ask_process`.
        quick: on a CPU, compile all arms first, in as many processes as there are cores; how long each takes is then
            not measured.
        programs: the folder from which such a run takes programs, and in which it keeps them; by default a new one.
    """
    plan = journal.plan
    with scratch() as folder:
        shared = str(programs or Path(folder) / PROGRAMS) if quick and journal.begun.backend == "cpu" else None

        def request_of(process: int) -> TimingRequest:
            backend = journal.machine.backend if journal.machine else journal.begun.backend
            return TimingRequest(plan, journal.todo(process), process, backend, folder, shared)

        whole_s = sum(request_of(process).whole_s for process in range(plan.processes))
        if shared and journal.todo(0):
            software = journal.begun.versions, journal.begun.commit
            whole = msgspec.structs.replace(request_of(0), arms=list(journal.begun.arms))
            compile_side_by_side(whole, software, lambda what: progress(what, 0.0))
        for process in range(plan.processes):
            of, blames = f" ({process + 1} of {plan.processes})" if plan.processes > 1 else "", process == 0
            while (request := request_of(process)).arms:
                stage = None
                try:
                    with closing((ask or ask_process)(request, LIMIT_S)) as answers:
                        for answer in answers:
                            if isinstance(answer, Stage):
                                stage = answer
                                progress(stage.what + of, stage.expected_s / whole_s)
                            else:
                                stage = None if isinstance(answer, GroupTimed) else stage
                                journal.add(answer)
                    if journal.todo(process) == request.arms:
                        raise ChildDiedError("the measuring process ended without a word")
                except ChildDiedError as error:
                    if stage is None and journal.todo(process) != request.arms:
                        continue  # it died between two pieces of work
                    if blames:
                        _blame(journal, stage, request, error)
                    blames = True  # the first death in a later process may be chance, so that is repeated


def _blame(journal: Journal, stage: Stage | None, request: TimingRequest, error: ChildDiedError) -> None:
    """Take the number from the arm of a stage, or from its group. Without either, the run cannot continue."""
    if stage is None or stage.group is None:
        raise error
    marker = Path(request.folder) / MARKER
    number = int.from_bytes(marker.read_bytes(), "little") if marker.exists() else 0
    blamed, what = [arm for arm in journal.groups()[stage.group] if stage.arm in (None, arm.id)], stage.what
    if number:
        blamed = [request.arms[number - 1]]
        what = f"time {blamed[0].id}"
    for arm in blamed:
        if arm.id not in journal.reasons:
            journal.add(Untimed(arm, f"{error} while trying to {what}"))
