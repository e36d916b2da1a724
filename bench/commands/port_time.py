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
from ...common.port.hlo import read_program
from ...common.program.model import EVAL, TRAIN, Model, as_arrays
from ..analysis.statistics import compare, noise_floor, verdict
from ..timing.sampling import Calibration, sample_rounds, schedule_of, warm_up

ROUNDS = 24  # of three arms each
SAMPLE_TIME_S = 5e-3
LEARNING_RATE = 1e-3  # of the step of SGD that is timed
#: How calls are timed, and what that is called.
CLOCKS = {"blocked": "each call waited for", "pipelined": "in a loop"}
#: What is timed, and in which mode of a model that has modes.
PHASES = {"forward": EVAL, "train step": TRAIN}
#: The operations of compiled programs that are counted.
OPERATIONS = ("dots", "fusions", "whiles", "transposes")


@dataclass(frozen=True)
class ClockComparison:
    """The time of a candidate over that of the reference, with its 95 % interval, by
    one clock.
    """

    ratio: float
    low: float
    high: float
    clock: str  # of `CLOCKS`
    noise_floor: float  # what a second copy of the reference differs by, as a fraction
    verdict: str  # "faster", "slower" or "indistinguishable"
    #: Seconds per call of the reference and of the candidate.
    time_s: tuple[float, float]


@dataclass(frozen=True)
class PhaseCost:
    """What a reference and a candidate cost in one phase of `PHASES`, in this order."""

    phase: str
    timed: tuple[ClockComparison, ...]
    build_s: tuple[float, float]  # seconds to trace and compile
    #: Temporary memory; None if XLA does not say.
    temp_bytes: tuple[int | None, int | None]
    #: How many the compiled programs have, of the kinds of operations of which one has
    #: more.
    operations: dict[str, tuple[int, int]]
    same_program: bool


class Arm:
    """A compiled function with the arrays that it is called with."""

    def __init__(self, function: Callable[..., Any], *arrays: Any):
        begun_s = time.perf_counter()
        lowered = jax.jit(function).lower(*arrays)
        self.compiled = lowered.compile()
        self.build_s = time.perf_counter() - begun_s
        self.facts = read_program(lowered)
        self._arrays = jax.device_put(arrays)

    def call(self) -> Any:
        return self.compiled(*self._arrays)

    def wait(self, outputs: Any) -> Any:
        return jax.block_until_ready(outputs)


def arms_of(
    phase: str,
    reference: Model,
    candidate: Model,
    inputs: tuple[Any, ...],
    result: Comparison,
) -> tuple[Arm, Arm, Arm]:
    """The reference, the candidate with its parameters, and a second copy of the
    reference, each compiled by itself.

    Raises an InputError if a model is a module of PyTorch.
    """
    first = _program(reference, inputs, phase)
    second = _program(candidate, inputs, phase)

    def arm(program: TracedProgram, params: Any, state: Any) -> Arm:
        # A function of its own, as JAX keeps what it compiles by the function.
        function, *arrays = program.own(params, state, inputs)
        return Arm(function if phase == "forward" else _sgd_step(function), *arrays)

    return (
        arm(first, first.param_values, first.state_values),
        arm(second, result.converted, result.converted_state),
        arm(first, first.param_values, first.state_values),
    )


def cost_of(
    reference: Model,
    candidate: Model,
    inputs: tuple[Any, ...],
    result: Comparison,
    rounds: int = ROUNDS,
) -> Iterator[PhaseCost]:
    """What two models cost, in each phase.

    Raises an InputError if one is a module of PyTorch, or fails.
    """
    inputs = as_arrays(inputs)
    for phase in PHASES:
        arms = arms_of(phase, reference, candidate, inputs, result)
        first, second = (arm.facts for arm in arms[:2])
        operations = {}
        for name in OPERATIONS:
            counts = (getattr(first, name), getattr(second, name))
            if counts[0] != counts[1]:
                operations[name] = counts
        yield PhaseCost(
            phase,
            timed=tuple(_compare_by(clock, arms, rounds) for clock in CLOCKS),
            build_s=(arms[0].build_s, arms[1].build_s),
            temp_bytes=(first.temp_bytes, second.temp_bytes),
            operations=operations,
            same_program=first.fingerprint == second.fingerprint,
        )


def cost_lines(costs: Sequence[PhaseCost]) -> Iterator[str]:
    """The report on time and memory."""
    yield (
        "Time of the candidate over that of the reference, both compiled by jax.jit "
        "and called alike:"
    )
    for cost in costs:
        for timed in cost.timed:
            times = ", ".join(f"{time_s * 1e6:.3g} µs" for time_s in timed.time_s)
            ratio = f"{timed.ratio:.3f} ({timed.low:.3f} to {timed.high:.3f})"
            floor = f"noise floor {timed.noise_floor:.1%}"
            how = f"{cost.phase}, {CLOCKS[timed.clock]}"
            yield f"  {how}: {ratio}, {timed.verdict}; {floor} ({times})"

        reference_s, candidate_s = cost.build_s
        build = f"{candidate_s:.2f} s, the reference {reference_s:.2f} s"
        yield f"  {cost.phase}, to trace and compile: {build}"

        reference_bytes, candidate_bytes = cost.temp_bytes
        if reference_bytes is not None and candidate_bytes is not None:
            memory = (
                f"{candidate_bytes / 1e6:.3g} MB, the reference "
                f"{reference_bytes / 1e6:.3g} MB"
            )
            yield f"  {cost.phase}, temporary memory: {memory}"
        yield f"  {cost.phase}, compiled: {_compiled(cost)}"


def _compiled(cost: PhaseCost) -> str:
    counts = []
    for name, (of_reference, of_candidate) in cost.operations.items():
        counts.append(f"{of_candidate} {name} against {of_reference}")
    if counts:
        return ", ".join(counts)
    if cost.same_program:
        return "the same program"
    return "as many operations of each kind, another program"


def _program(model: Model, inputs: tuple[Any, ...], phase: str) -> TracedProgram:
    mode = PHASES[phase]
    if mode not in model.modes:
        mode = model.modes[0]
    program = program_of(model, inputs, mode)
    if not isinstance(program, TracedProgram):
        raise InputError(
            "--time compares models of JAX: a module of PyTorch is not compiled by it."
        )
    return program


def _sgd_step(function: Callable[..., Any]) -> Callable[..., Any]:
    """A step of SGD that makes all outputs of a function smaller."""

    def step(params: Any, rest: Any) -> Any:
        def loss(params: Any) -> Any:
            squares = []
            for output in jax.tree.leaves(function(params, rest)):
                if np.issubdtype(output.dtype, np.inexact):
                    squares.append((abs(output) ** 2).mean())
            return sum(squares)

        value, gradient = jax.value_and_grad(loss)(params)
        pairs = zip(params, gradient, strict=True)
        return value, [param - LEARNING_RATE * slope for param, slope in pairs]

    return step


def _compare_by(clock: str, arms: Sequence[Arm], rounds: int) -> ClockComparison:
    calibration = Calibration(clock)
    warmed = [warm_up(arm, SAMPLE_TIME_S, calibration) for arm in arms]
    schedule = schedule_of(warmed, SAMPLE_TIME_S, calibration, both=False)
    times_s = []
    for sample in sample_rounds(arms, rounds, schedule):
        if isinstance(sample, Exception):
            raise InputError(f"the models cannot be timed: {sample}") from sample
        times_s.append(np.array(sample[clock]))

    reference_s, candidate_s, copy_s = times_s
    comparison = compare(candidate_s, reference_s)
    floor = noise_floor(compare(copy_s, reference_s))
    return ClockComparison(
        comparison.ratio,
        comparison.low,
        comparison.high,
        clock,
        floor,
        verdict(comparison, floor, [0] * rounds),
        (float(np.median(reference_s)), float(np.median(candidate_s))),
    )
