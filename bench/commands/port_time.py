"""`trigru port --time`: what a port costs, over the model that it is a port of."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...common.errors import InputError
from ...common.parity.programs import TracedProgram, program_of
from ...common.parity.report import Comparison
from ...common.port.hlo import ProgramFacts, read_program
from ...common.program.model import EVAL, TRAIN, Model, as_arrays
from ..analysis.comparison import TimeComparison
from ..analysis.statistics import compare, noise_floor, verdict
from ..timing.sampling import Calibration, sample_rounds, schedule_of, warm_up

ROUNDS, SAMPLE_TIME_S = (
    24,
    5e-3,
)  # rounds of three arms each, and how long a sample lasts
RATE = 1e-3  # the learning rate of the step of SGD that is timed
CLOCKS = {
    "blocked": "each call waited for",
    "pipelined": "in a loop",
}  # how calls are timed, and what it is called
PHASES = {
    "forward": EVAL,
    "train step": TRAIN,
}  # what is timed, and in which mode of a model that has modes
COUNTS = (
    "dots",
    "fusions",
    "whiles",
    "transposes",
)  # what is told of the compiled programs


class ClockComparison(TimeComparison, frozen=True):
    """The time of a candidate over that of the reference, with its 95 % interval, by one clock."""

    clock: str  # of `CLOCKS`
    noise_floor: float  # what a second copy of the reference differs by, as a fraction
    verdict: str  # "faster", "slower" or "indistinguishable"
    time_s: tuple[
        float, float
    ]  # seconds per call of the reference and of the candidate


@dataclass(frozen=True)
class PhaseCost:
    """What a reference and a candidate cost in one phase of `PHASES`, in this order."""

    phase: str
    timed: tuple[ClockComparison, ...]
    build_s: tuple[float, float]  # seconds to trace and compile
    temp_bytes: tuple[
        int | None, int | None
    ]  # temporary memory; None if XLA does not say
    operations: dict[
        str, tuple[int, int]
    ]  # in the compiled programs, of the kinds of which one has more
    same_program: bool


class _Arm:
    def __init__(self, phase: str, function: Callable[..., Any], *arrays: Any):
        def step(params: Any, rest: Any) -> Any:
            def loss(params: Any) -> Any:
                outputs = [
                    y
                    for y in jax.tree.leaves(function(params, rest))
                    if np.issubdtype(y.dtype, np.inexact)
                ]
                return sum((abs(y) ** 2).mean() for y in outputs)

            value, gradient = jax.value_and_grad(loss)(params)
            return value, [p - RATE * g for p, g in zip(params, gradient, strict=True)]

        begun = time.perf_counter()
        lowered = jax.jit(function if phase == "forward" else step).lower(*arrays)
        self._compiled, self._arrays = lowered.compile(), jax.device_put(arrays)
        self.build_s = time.perf_counter() - begun
        self.facts: ProgramFacts = read_program(lowered)

    def call(self) -> Any:
        return self._compiled(*self._arrays)

    def wait(self, outputs: Any) -> Any:
        return jax.block_until_ready(outputs)


def cost_of(
    reference: Model, candidate: Model, inputs: tuple[Any, ...], result: Comparison
) -> Iterator[PhaseCost]:
    """What two models cost, in each phase. Raises an InputError if one is a module of PyTorch, or fails."""
    inputs = as_arrays(inputs)
    for phase, mode in PHASES.items():
        r, c = (
            program_of(m, inputs, mode if mode in m.modes else m.modes[0])
            for m in (reference, candidate)
        )
        if not isinstance(r, TracedProgram) or not isinstance(c, TracedProgram):
            raise InputError(
                "--time compares models of JAX: a module of PyTorch is not compiled by it."
            )
        mine, given = (
            (r, r.param_values, r.state_values),
            (c, result.converted, result.converted_state),
        )
        # each has a function of its own, which is compiled by itself
        arms = [
            _Arm(phase, *p.own(params, state, inputs))
            for p, params, state in (mine, given, mine)
        ]
        first, second = (arm.facts for arm in arms[:2])
        counts = {
            name: (getattr(first, name), getattr(second, name)) for name in COUNTS
        }
        operations = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
        build_s, temp_bytes = (
            (arms[0].build_s, arms[1].build_s),
            (first.temp_bytes, second.temp_bytes),
        )
        same = first.fingerprint == second.fingerprint
        yield PhaseCost(
            phase, tuple(_timed(arms)), build_s, temp_bytes, operations, same
        )


def cost_lines(costs: Sequence[PhaseCost]) -> Iterator[str]:
    """The report on time and memory."""
    yield "Time of the candidate over that of the reference, both compiled by jax.jit and called alike:"
    for cost in costs:
        for timed in cost.timed:
            times = ", ".join(f"{t * 1e6:.3g} µs" for t in timed.time_s)
            interval = f"{timed.ratio:.3f} ({timed.low:.3f} to {timed.high:.3f}), {timed.verdict}"
            yield f"  {cost.phase}, {CLOCKS[timed.clock]}: {interval}; noise floor {timed.noise_floor:.1%} ({times})"
        r, c = cost.build_s
        yield f"  {cost.phase}, to trace and compile: {c:.2f} s, the reference {r:.2f} s"
        mine, theirs = cost.temp_bytes
        if mine is not None and theirs is not None:
            yield f"  {cost.phase}, temporary memory: {theirs / 1e6:.3g} MB, the reference {mine / 1e6:.3g} MB"
        more = [f"{b} {name} against {a}" for name, (a, b) in cost.operations.items()]
        same = (
            "the same program"
            if cost.same_program
            else "as many operations of each kind, another program"
        )
        yield f"  {cost.phase}, compiled: {', '.join(more) or same}"


def _timed(arms: list[_Arm]) -> Iterator[ClockComparison]:
    for clock in CLOCKS:
        times, how = [], (SAMPLE_TIME_S, Calibration(clock))
        schedule = schedule_of([warm_up(arm, *how) for arm in arms], *how, both=False)
        for sample in sample_rounds(arms, ROUNDS, schedule):
            if isinstance(sample, Exception):
                raise InputError(f"the models cannot be timed: {sample}") from sample
            times.append(np.array(sample[clock]))
        reference, candidate, copy = times
        ratio, floor = (
            compare(candidate, reference),
            noise_floor(compare(copy, reference)),
        )
        both = float(np.median(reference)), float(np.median(candidate))
        found = verdict(ratio, floor, [0] * ROUNDS)
        yield ClockComparison(
            ratio.ratio, ratio.low, ratio.high, clock, floor, found, both
        )
