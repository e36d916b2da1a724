"""The process that asks: it takes questions of a request, until none is left.

`trigru.bench.proving.prover` starts some of these, side by side.
"""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import jax

from ...common.equality.verification import Examiner
from ...common.port.compilation import LEAST_KEPT_S, count_programs, programs_kept_in
from ...impls import get_port
from .messages import Answer, Answered, Begun, Request
from .questions import find

#: Thresholds of the garbage collection: by default, it runs so often that it takes a tenth of the time of a trace.
GARBAGE = 200_000, 20, 20


def answer_questions(request: Request) -> Generator[Answer, None, None]:
    """Take the questions of a request that nobody else has taken, and answer them."""
    gc.freeze()  # what is imported stays: to look at it again takes a tenth of the time of a trace
    gc.set_threshold(*GARBAGE)
    examiner = Examiner(shrink=request.shrink, reference=get_port("pure") if request.shrink else None)
    with programs_kept_in(None if request.programs is None else Path(request.programs), LEAST_KEPT_S):
        for number in _taken(request):
            yield Begun(number)
            asked = request.questions[number]
            with count_programs() as programs:
                measurements = examiner.ask(find(asked))
            yield Answered(number, measurements, programs.compiled, programs.reused, jax.default_backend())


def _taken(request: Request) -> Iterator[int]:
    numbers = range(len(request.questions))
    for number in (*numbers[request.start :], *numbers[: request.start]):
        with suppress(FileExistsError):
            os.close(os.open(Path(request.folder) / str(number), os.O_CREAT | os.O_EXCL))
            yield number


def answer_request(request: Request, answer: Callable[[Answer], None]) -> None:
    """Answer questions in a process of its own."""
    for found in answer_questions(request):
        answer(found)
