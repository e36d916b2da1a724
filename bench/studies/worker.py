"""The process that times a study's arms: one request, one answer."""

from ..processes.child import Parent, adopt

if __name__ == "__main__":
    PARENT = adopt()  # before all other imports, which take a second

import sys
from typing import Any

import jax
import msgspec
import numpy as np
from msgspec import Struct

from ...common.errors import TrigruError
from ..timing.sampling import sample_rounds
from .record import DUPLICATE
from .study import Compiled, get_study


class Request(Struct, frozen=True):
    """What one process times.

    Args:
        process: its number, from 0: of the orders in which arms are made and called.
        rounds: of interleaved samples.
        sample_time_s: how long a sample lasts at least, unless twenty calls take less.
    """

    study: str
    settings: dict[str, Any]
    process: int
    rounds: int
    sample_time_s: float


def time_arms(request: Request) -> dict[str, list[float]]:
    """Seconds per call of every arm and of the duplicate, one for each round."""
    study = get_study(request.study)
    makers = study.arms(request.settings)
    baseline = next(iter(makers))
    makers = {baseline: makers[baseline], DUPLICATE: makers[baseline], **makers}
    names, made = list(makers), {}
    for number in np.random.default_rng(request.process).permutation(len(names)):
        arm = Compiled(*makers[names[number]]())
        arm.wait(arm.call())
        made[names[number]] = arm
    arms = [made[name] for name in names]
    samples = sample_rounds(arms, request.rounds, sample_time_s=request.sample_time_s, seed=request.process)
    found = {}
    for name, sample in zip(names, samples, strict=True):
        if isinstance(sample, Exception):
            raise sample
        found[name] = [float(f"{time_s:.6g}") for time_s in sample.time_s]
    return found


def main(parent: Parent) -> None:
    """Answer one request."""
    jax.config.update("jax_enable_compilation_cache", False)  # no program from another run
    request = msgspec.json.decode(parent.request, type=Request)
    try:
        parent.answer(msgspec.json.encode(time_arms(request)))
    except TrigruError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main(PARENT)  # pyright: ignore[reportPossiblyUnboundVariable]
