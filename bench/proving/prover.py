"""The answers to all questions of a proof: from processes side by side, or this one."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec

from ...common.equality.measurement import Measurement
from ..processes.environment import cores, parts_of_cpu, shared_memory
from ..processes.pool import ChildDiedError, Pool, TaskEnded
from .messages import Answered, QuestionId, Task

WORKER = "trigru.bench.proving.questions:answer_tasks"
#: So many questions for each process make up for the seconds in which it starts.
FEW = 20
#: A process needs up to a gigabyte.
MOST_PROCESSES = 8
#: A process that is silent for longer is ended, and its question has no answer; in
#: seconds.
LIMIT_S = 300.0

#: Called after each answer with the number of answers so far, and the question.
Progress = Callable[[int, QuestionId], None]


@dataclass(frozen=True)
class Proven:
    """What a proof has measured.

    Attributes:
        measurements: one for each question, in the order of the questions.
        died: the questions that ended their process twice. Their measurement says how.
        compiled: how many programs were compiled.
        reused: how many programs were found compiled.
        backend: the platform of the first answer; None where there is no answer.
    """

    measurements: list[Measurement]
    died: list[QuestionId]
    compiled: int
    reused: int
    backend: str | None


@dataclass(frozen=True)
class Died:
    """A question that has no answer, since its process died of it."""

    number: int
    reason: str


class Prover(AbstractContextManager["Prover"]):
    """Finds the answers to questions, in several processes where there are many.

    Args:
        early: start the processes now, since there will be many questions. They import
            what they need while this process does. They end with the context, or when
            the questions are answered.
        devices: into how many devices each process divides a CPU; None for what there
            is.
        processes: how many work side by side; None for as many as are worth it.
        worker: what each process runs.
    """

    def __init__(
        self,
        *,
        early: bool = False,
        devices: int | None = None,
        processes: int | None = None,
        worker: str = WORKER,
    ):
        self._devices = devices
        self._processes = processes
        self._worker = worker
        self._early: Pool[Task, Answered] | None = None
        if early and _most_processes() > 1:
            self._early = self._pool(_most_processes())
            self._early.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that were started early, and have had no questions."""
        if self._early is not None:
            self._early.close()
            self._early = None

    def prove(self, questions: Sequence[QuestionId], progress: Progress) -> Proven:
        """Answer questions. One that ends its process is asked once more.

        Raises a ChildDiedError if a process died before it took a question.
        """
        first_answers: dict[int, Answered | Died] = {}
        for answer in self._first_answers(questions):
            first_answers[answer.number] = answer
            progress(len(first_answers), questions[answer.number])

        answers = {}
        deaths = {}
        for number, question in enumerate(questions):
            answer = first_answers[number]
            if isinstance(answer, Died):  # it may have died by chance
                answer = self._answer_again(number, question)
            if isinstance(answer, Died):
                deaths[number] = answer.reason
            else:
                answers[number] = answer
        return _proven(questions, answers, deaths)

    def _first_answers(
        self, questions: Sequence[QuestionId]
    ) -> Iterator[Answered | Died]:
        tasks = tasks_of(questions)
        processes = self._processes
        if processes is None:
            enough = FEW if self._devices is None else 1
            processes = min(_most_processes(), len(questions) // enough)
        needs_process = self._devices is not None or _has_tpu()
        if processes < 2 and not needs_process:
            from .questions import answers_here  # imports JAX

            self.close()
            yield from answers_here(tasks)
            return
        with self._early or self._pool(max(processes, 1)) as pool:
            self._early = None
            yield from _answers_of(pool, tasks)

    def _answer_again(self, number: int, question: QuestionId) -> Answered | Died:
        with self._pool(processes=1) as pool:
            try:
                return next(_answers_of(pool, [{number: question}]))
            except ChildDiedError as error:  # before it took the question
                return Died(number, str(error))

    def _pool(self, processes: int) -> Pool[Task, Answered]:
        return Pool(
            self._worker,
            Answered,
            limit_s=LIMIT_S,
            processes=processes,
            variables=shared_memory() | parts_of_cpu(self._devices),
            reuse=True,
        )


def tasks_of(questions: Iterable[QuestionId]) -> list[Task]:
    """Questions, with their numbers, as tasks of processes.

    Questions about one case are one task, so that the oracle answers the case once.
    Cases of programs as users have them, which XLA compiles, come first: they take
    longest.
    """
    tasks: dict[object, Task] = {}
    for number, question in enumerate(questions):
        key: object = number
        if question.case is not None:
            key = question.check, question.case
        tasks.setdefault(key, {})[number] = question
    return sorted(tasks.values(), key=_is_interpreted)


def _is_interpreted(task: Task) -> bool:
    case = next(iter(task.values())).case
    return case is None or not case.is_compiled


def _answers_of(
    pool: Pool[Task, Answered], tasks: Iterable[Task]
) -> Iterator[Answered | Died]:
    """The answers of a pool to tasks, as they come.

    Where a process died, the rest of its task is done by another one.
    """
    answered = set()
    for task in tasks:
        pool.submit(task)
    for task, message in pool.messages():
        if isinstance(message, Answered):
            answered.add(message.number)
            yield message
            continue
        if message.error is not None and not message.was_begun:
            raise message.error
        left = [number for number in task if number not in answered]
        if left:
            yield Died(left[0], _reason(message))
        if left[1:]:
            pool.submit({number: task[number] for number in left[1:]})


def _reason(ended: TaskEnded) -> str:
    return str(ended.error or "the process ended without an answer")


def _proven(
    questions: Sequence[QuestionId],
    answers: Mapping[int, Answered],
    deaths: Mapping[int, str],
) -> Proven:
    from .questions import unanswered  # imports JAX

    measurements = []
    for number, question in enumerate(questions):
        if number in answers:
            measurements.append(answers[number].measurement)
        else:
            measurements.append(unanswered(question, deaths[number]))
    in_order = [answers[number] for number in sorted(answers)]
    return Proven(
        measurements=measurements,
        died=[questions[number] for number in sorted(deaths)],
        compiled=sum(answer.compiled for answer in in_order),
        reused=sum(answer.reused for answer in in_order),
        backend=in_order[0].backend if in_order else None,
    )


def _most_processes() -> int:
    """How many processes this machine has room for. A TPU takes one at a time."""
    if _has_tpu():
        return 1
    return min(cores(), MOST_PROCESSES)


def _has_tpu() -> bool:
    """Whether JAX would look for a TPU, without starting it."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    return find_spec("libtpu") is not None and (not platforms or "tpu" in platforms)
