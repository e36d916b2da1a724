"""Measuring processes that measure nothing: what they answer, and when they die, is
known.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from trigru.bench.arms.arms import expand
from trigru.bench.processes.pool import ChildDiedError, TaskEnded
from trigru.bench.results.arm import NO_BASELINE, Arm, Plan, Untimed
from trigru.bench.results.files import Journal
from trigru.bench.results.run import ArmFacts, Begun, Measured, Sample, Started
from trigru.bench.timing import worker
from trigru.bench.timing.messages import Message, Stage, TimingRequest

from .runs import BUILD, MACHINE, plan

PLAN = plan(
    phases=("step", "forward"), styles=("functional",), rounds=4, sample_time_s=10.0
)
ARMS = expand(PLAN)
STEP, FORWARD = dict.fromkeys(arm.group for arm in ARMS)
PURE, AGAIN, LINEN = ARMS[:3]
STARTED = Started(MACHINE)
KILLED = ChildDiedError("the process died: killed by signal 9")


def is_alive(pid: int | str) -> bool:
    """Whether a process is there, and is not a zombie that nobody has waited for
    yet.
    """
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


def ends_within(pid: int | str, limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


def ignore(what: str, share: float) -> None:
    """Progress that nobody looks at."""


def begun(of: Plan = PLAN, **changes: Any) -> Begun:
    facts: dict[str, Any] = {
        "command": ["trigru", "bench"],
        "untimed": [],
        "equality": None,
        "backend": "cpu",
    }
    return Begun(of, expand(of), **facts | {"load": 0.5} | changes)


def journal_at(
    path: Path, of: Plan = PLAN, *, resume: bool = False, **changes: Any
) -> Journal:
    return (
        Journal.resume(path, of, {}, "")
        if resume
        else Journal.begin(path, begun(of, **changes))
    )


def times(process: int, arm: Arm, rounds: int = 4) -> list[float]:
    """Times that are known: around 1 s, linen about half as long again, and processes
    that differ.
    """
    rng = np.random.default_rng([process, *arm.id.encode()])
    factor = 1.5 if arm.port == "linen" else 1.0
    return (factor * (1 + 0.01 * process) * rng.lognormal(0, 0.001, rounds)).tolist()


def samples_of(process: int, arm: Arm, rounds: int = 4) -> list[Sample]:
    """Samples by the clock that leads, and one by the other."""
    samples = [
        Sample(arm.id, process, number, "blocked", time_s)
        for number, time_s in enumerate(times(process, arm, rounds))
    ]
    return [*samples, Sample(arm.id, process, 0, "pipelined", 0.5 + process)]


def facts_of(process: int, arm: Arm) -> ArmFacts:
    """The facts of an arm in a process, which tell processes and arms apart."""
    return ArmFacts(
        arm=arm.id,
        process=process,
        device=MACHINE.device,
        backend=MACHINE.backend,
        gate=0.25,
        leaves=5,
        build=BUILD if process == 0 else None,
        program=None,
        calls=10,
        steady=process == 0,
    )


def measured(process: int, arms: list[Arm], rounds: int = 4) -> Measured:
    """What a process says of arms that it timed."""
    samples = []
    for arm in arms:
        samples += samples_of(process, arm, rounds)
    return Measured(samples, [facts_of(process, arm) for arm in arms])


def fill(
    journal: Journal, groups: tuple[str, ...] = (STEP, FORWARD), process: int = 0
) -> None:
    """As if a process had measured these groups."""
    journal.add(STARTED)
    for group in groups:
        journal.add(measured(process, journal.run.groups()[group]))


#: What answers a request; it raises a ChildDiedError where its process would die.
Answers = Callable[[TimingRequest], Iterable[Message]]


class FakePool:
    """A pool without processes: requests are answered here, several by turns.

    Args:
        answers: of each request.
        processes: how many requests are answered by turns.
    """

    def __init__(self, answers: Answers, processes: int = 1):
        self._answers = answers
        self._processes = processes
        self._waiting: deque[TimingRequest] = deque()

    def __enter__(self) -> "FakePool":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: TimingRequest) -> None:
        self._waiting.append(task)

    def messages(self) -> Iterator[tuple[TimingRequest, Message | TaskEnded]]:
        working: deque[tuple[TimingRequest, Iterator[Message]]] = deque()
        while self._waiting or working:
            while self._waiting and len(working) < self._processes:
                task = self._waiting.popleft()
                working.append((task, iter(self._answers(task))))
            task, answers = working.popleft()
            try:
                message = next(answers)
            except StopIteration:
                yield task, TaskEnded()
            except ChildDiedError as error:
                yield task, TaskEnded(error)
            else:
                working.append((task, answers))
                yield task, message


def pool_of(answers: Answers) -> Callable[[Plan, int], FakePool]:
    """What makes a pool for a run, whose requests are answered so."""
    return lambda plan, processes: FakePool(answers, processes)


def answers_here(request: TimingRequest) -> Iterator[Message]:
    """What a process would answer, measured in this one, where things can be
    patched.
    """
    answers: list[Message] = []
    worker.measure(request, answers.append, nullcontext)
    yield from answers


#: A pool for a run, which measures in this process.
pool_here = pool_of(answers_here)


@dataclass
class FakeProcesses:
    """Answers as `trigru.bench.timing.worker` does, without measuring; at some places
    it raises instead.

    Args:
        dies: what to raise, by process and what is under way: "compile ID", "time
            GROUP", or "time ID", an arm.
        fails: reasons, by process and the id of the arm that gets no number there.
    """

    dies: dict[tuple[int, str], BaseException] = field(default_factory=dict)
    fails: dict[tuple[int, str], str] = field(default_factory=dict)
    machine: Any = MACHINE
    requests: list[TimingRequest] = field(default_factory=list)

    def __call__(self, request: TimingRequest) -> Iterator[Message]:
        self.requests.append(request)
        assert len(self.requests) < 20, "asked for ever"
        marker = request.marker
        marker.write_bytes(bytes(4))

        def enter(what: str) -> None:
            if (request.process, what) in self.dies:
                raise self.dies[request.process, what]

        def stage(what: str, share: float, *of: str) -> Iterator[Message]:
            yield Stage(what, share, *of)
            enter(what)

        yield from stage("look at the machine", 0.0)
        yield Started(self.machine)
        groups = dict.fromkeys(arm.group for arm in request.arms)
        for group in groups:
            arms = [arm for arm in request.arms if arm.group == group]
            ready = list(arms)
            for arm in arms:
                yield from stage(
                    f"compile {arm.id}", worker.PREPARING / len(arms), group, arm.id
                )
                if (request.process, arm.id) in self.fails:
                    yield Untimed(arm, self.fails[request.process, arm.id])
                    ready.remove(arm)
            if {"baseline", "duplicate"} <= {arm.role for arm in ready}:
                yield from stage(f"time {group}", 1 - worker.PREPARING, group)
                for arm in ready:
                    marker.write_bytes(
                        (request.arms.index(arm) + 1).to_bytes(4, "little")
                    )
                    enter(f"time {arm.id}")
                marker.write_bytes(bytes(4))
            else:
                yield from (Untimed(arm, NO_BASELINE) for arm in ready)
                ready = []
            rounds = request.plan.rounds or 4
            yield measured(request.process, ready, rounds)

    @property
    def pool(self) -> Callable[[Plan, int], FakePool]:
        """What makes a pool for a run, whose requests these processes answer."""
        return pool_of(self)

    @property
    def asked(self) -> list[tuple[int, list[Arm]]]:
        return [(request.process, request.arms) for request in self.requests]
