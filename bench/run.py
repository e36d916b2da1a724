"""A run: for each group, prepare its arms, time them against each other, and judge."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..common.errors import TrigruError
from .arms import Arm, Ready, arms_of, prepare
from .programs import read_program
from .results import Benchmark, ExtraInfo, Facts, Untimed, stats_of
from .sampling import SAMPLE_TIME_S, sample_rounds
from .statistics import compare, noise_floor, verdict
from .workloads import find_workload

__all__ = ["MATMUL_PRECISION", "Plan", "run"]

#: Float32 products are float32 products: no TF32 on a GPU.
MATMUL_PRECISION = "highest"
#: A round of the large workload takes seconds; beyond this time a group stops adding rounds.
GROUP_TIME_S = 60.0
MIN_ROUNDS = 11


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Args:
        workloads, phases, ports: names.
        styles: call styles, or None for all.
        rounds: for each group; fewer, but at least 11, where they would take longer than a minute.
        sample_time_s: least duration of a sample.
        seed: of the orders and the bootstrap.
        excluded: ports that get no number, with the reason.
    """

    workloads: tuple[str, ...]
    phases: tuple[str, ...]
    ports: tuple[str, ...]
    styles: tuple[str, ...] | None = None
    rounds: int = 44
    sample_time_s: float = SAMPLE_TIME_S
    seed: int = 0
    excluded: tuple[tuple[str, str], ...] = ()

    def groups(self) -> list[list[Arm]]:
        """The arms of each workload and phase."""
        styles = None if self.styles is None else list(self.styles)
        return [
            arms_of(workload, phase, list(self.ports), styles) for workload in self.workloads for phase in self.phases
        ]


def run(plan: Plan, progress: Callable[[str, float], None]) -> Iterator[tuple[list[Benchmark], list[Untimed]]]:
    """Measure group by group.

    Args:
        plan: what to measure.
        progress: called with what is under way and its share of the whole that has been done since the last call.

    Yields:
        For each group, its benchmarks and the arms without a number.
    """
    groups = plan.groups()
    for arms in groups:
        with jax.default_matmul_precision(MATMUL_PRECISION):
            measured = _run_group(plan, arms, lambda what, share: progress(what, share / len(groups)))
        yield measured


def _run_group(plan: Plan, arms: list[Arm], progress: Callable[[str, float], None]) -> Any:
    ready: list[Ready] = []
    untimed: list[Untimed] = []
    excluded = dict(plan.excluded)
    for arm in arms:
        progress(f"compile {arm.id}", 0.5 / len(arms))
        try:
            if arm.port in excluded:
                raise TrigruError(excluded[arm.port])
            ready.append(prepare(arm))
        except Exception as error:  # an arm loses its own cell, and nothing else
            untimed.append(Untimed(arm.id, arm.group, arm.name, _reason(error)))
    baseline = next((index for index, arm in enumerate(ready) if arm.arm.is_baseline), None)
    duplicate = next((index for index, arm in enumerate(ready) if arm.arm.copy > 1), None)
    if baseline is None or duplicate is None:
        reason = "the baseline or its duplicate has no number, so there is nothing to compare with"
        untimed += [Untimed(arm.arm.id, arm.arm.group, arm.arm.name, reason) for arm in ready]
        return [], untimed

    progress(f"time {arms[0].group}", 0.0)
    try:
        rounds = _affordable_rounds(plan, ready)
        samples = sample_rounds(
            [arm.call for arm in ready],
            rounds,
            sample_time_s=plan.sample_time_s,
            seed=plan.seed,
            progress=lambda _: progress(f"time {arms[0].group}", 0.5 / rounds),
        )
        programs = [read_program(arm.lower(), arm.leaves) for arm in ready]
    except Exception as error:  # a group loses its own numbers, and nothing else
        return [], untimed + [Untimed(a.arm.id, a.arm.group, a.arm.name, _reason(error)) for a in ready]
    ratios = [compare(s.time_s, samples[baseline].time_s, plan.seed) for s in samples]
    floor = noise_floor(ratios[duplicate])
    workload = find_workload(arms[0].workload)
    benchmarks = []
    for arm, sample, ratio, program in zip(ready, samples, ratios, programs, strict=True):
        facts = Facts(
            id=arm.arm.id,
            workload=workload.name,
            shape=workload.shape,
            steps=workload.steps,
            phase=arm.arm.phase,
            port=arm.arm.port,
            style=arm.arm.style,
            kernel=arm.arm.kernel,
            dtype=arm.arm.dtype,
            copy=arm.arm.copy,
            is_baseline=arm.arm.is_baseline,
            calls=sample.calls,
            position=sample.position.tolist(),
            leaves=program.leaves,
            dots=program.dots,
            transposes=program.transposes,
            gate=arm.gate,
            ratio=ratio.ratio,
            ratio_low=ratio.low,
            ratio_high=ratio.high,
            floor=floor,
            verdict=verdict(ratio, floor),
        )
        benchmarks.append(
            Benchmark(
                group=arm.arm.group,
                name=arm.arm.name,
                fullname=arm.arm.id,
                params=None,
                param=None,
                extra_info=ExtraInfo(facts),
                options={"disable_gc": True, "timer": "perf_counter_ns"},
                stats=stats_of(sample.time_s, sample.calls),
            )
        )
    return benchmarks, untimed


def _affordable_rounds(plan: Plan, ready: list[Ready]) -> int:
    samples = sample_rounds([arm.call for arm in ready], 1, sample_time_s=0.0)
    round_time_s = float(np.sum([max(plan.sample_time_s, s.time_s[0]) for s in samples]))
    rounds = int(np.clip(GROUP_TIME_S / round_time_s, min(MIN_ROUNDS, plan.rounds), plan.rounds))
    # whole multiples of the number of arms balance positions exactly
    return max(rounds - rounds % len(ready), min(MIN_ROUNDS, plan.rounds))


def _reason(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, TrigruError) else f"{type(error).__name__}: {text}"
