"""Times arms against each other in fresh processes, for the scripts beside it."""

import multiprocessing
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from trigru.bench.analysis.statistics import (
    TimeComparison,
    compare,
    noise_floor,
    verdict,
)
from trigru.bench.timing.sampling import sample_rounds, schedule_of, warm_up

#: By name, what makes a jitted function, its arguments and anything else; the first arm is the baseline.
Arms = dict[str, Callable[[], tuple[Any, ...]]]
DUPLICATE, ROUNDS, SAMPLE_TIME_S = "duplicate", 22, 2.5e-3


def measure(
    make_arms: Callable[[], Arms], what: str, processes: int = 8
) -> dict[str, tuple[float, TimeComparison, str]]:
    """Time arms in processes one after the other: milliseconds, the ratio to the first, and the verdict of each.

    `make_arms` is a function of a module, for a process to import.
    """
    found = []
    for number in range(processes):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(time_arms, (make_arms, number)))
        print(f"{what}: process {number + 1} of {processes}", flush=True)
    times_s = {name: np.concatenate([of[name] for of in found]) for name in found[0]}
    baseline_s, process = (
        next(iter(times_s.values())),
        np.repeat(range(processes), ROUNDS),
    )
    ratios = {
        name: compare(time_s, baseline_s, process) for name, time_s in times_s.items()
    }
    floor = noise_floor(ratios[DUPLICATE], processes)
    return {
        name: (1e3 * float(np.median(times_s[name])), r, verdict(r, floor))
        for name, r in ratios.items()
    }


def time_arms(make_arms: Callable[[], Arms], number: int) -> dict[str, np.ndarray]:
    """Seconds per call of every arm and of a second copy of the first, one for each round."""
    jax.config.update(
        "jax_enable_compilation_cache", False
    )  # no program from another run
    makers = make_arms()
    baseline = next(iter(makers))
    makers = {baseline: makers[baseline], DUPLICATE: makers[baseline], **makers}
    names, made = list(makers), {}
    for index in np.random.default_rng(number).permutation(len(names)):
        function, arguments, *_ = makers[names[index]]()
        made[names[index]] = SimpleNamespace(
            call=partial(function, *arguments), wait=jax.block_until_ready
        )
        jax.block_until_ready(function(*arguments))
    arms = [made[name] for name in names]
    schedule = schedule_of([warm_up(arm, SAMPLE_TIME_S) for arm in arms], SAMPLE_TIME_S)
    samples = sample_rounds(arms, ROUNDS, schedule, seed=number)
    for sample in samples:
        if isinstance(sample, Exception):
            raise sample
    return {
        name: np.array(sample["blocked"])
        for name, sample in zip(names, samples, strict=True)
    }
