"""A run: fresh processes measure, and this one watches them and keeps what they answer as it comes."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ..arms.plan import packages_of_plan
from ..results.record import Arm, Untimed
from .child import ChildDiedError, lines_of
from .journal import Journal
from .messages import MARKER, Answer, GroupTimed, Request, Underway

Ask = Callable[[Request, float], Iterator[Answer]]


def ask_process(request: Request, limit_s: float) -> Iterator[Answer]:
    """Let a fresh interpreter measure.

    Args:
        request: what it is to measure.
        limit_s: the longest that it may say nothing.

    Raises:
        ChildDiedError: it ended before it was done, or was ended when it said nothing for too long.
    """
    for line in lines_of("worker", msgspec.json.encode(request), limit_s):
        yield msgspec.json.decode(line, type=Answer)


def run(journal: Journal, progress: Callable[[str, float], None], ask: Ask | None = None) -> None:
    """Measure what a journal's plan asks for and the journal does not have.

    Args:
        journal: is added to.
        progress: called with what is under way and the share of the whole that was done since the last call.
        ask: has a request measured; `ask_process` unless said otherwise.

    Raises:
        ChildDiedError: a process died before it measured anything.
    """
    plan = journal.plan
    whole = len(journal.groups()) * plan.processes
    with tempfile.TemporaryDirectory(prefix="trigru-") as folder:
        for process in range(plan.processes):
            alone = process == 0
            while todo := journal.todo(process):
                backend = journal.machine.backend if journal.machine else journal.begun.backend
                request = Request(
                    todo, process, plan.processes, alone, plan.rounds, plan.sample_time_s, plan.seed,
                    packages_of_plan(plan), backend, folder,
                )  # fmt: skip
                share = len({arm.group for arm in todo}) / whole
                underway: Underway | None = None
                try:
                    for answer in (ask or ask_process)(request, plan.limit_s):
                        if isinstance(answer, Underway):
                            underway = answer
                            of = f" ({process + 1} of {plan.processes})" if plan.processes > 1 else ""
                            progress(answer.what + of, answer.share * share)
                        else:
                            underway = None if isinstance(answer, GroupTimed) else underway
                            journal.add(answer)
                    if journal.todo(process) == todo:
                        raise ChildDiedError("the measuring process ended without a word")
                except ChildDiedError as error:
                    if underway is None and journal.todo(process) != todo:
                        continue  # it died after its work, and before more
                    being_timed = _marked(request)
                    if alone or being_timed:
                        _lose(journal, underway, being_timed, error)
                    alone = True  # and so it is known what was under way


def _marked(request: Request) -> Arm | None:
    """The arm that was being timed when a process died."""
    path = Path(request.folder) / MARKER
    number = int.from_bytes(path.read_bytes(), "little") if path.exists() else 0
    path.unlink(missing_ok=True)
    return request.arms[number - 1] if number else None


def _lose(journal: Journal, underway: Underway | None, being_timed: Arm | None, error: ChildDiedError) -> None:
    """Lose the arm that was under way, or its group; where there is neither, the whole run cannot go on."""
    if underway is None or underway.group is None:
        raise error
    arms = journal.groups()[underway.group]
    lost = [being_timed] if being_timed else [arm for arm in arms if underway.arm in (None, arm.id)]
    what = f"time {being_timed.id}" if being_timed else underway.what
    for arm in lost:
        if arm.id not in journal.untimed:
            journal.add(Untimed(arm, f"{error} while trying to {what}"))
