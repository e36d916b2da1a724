"""`trigru port --time`: what a port costs, over the model that it is a port of."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...common.errors import InputError
from ...common.parity.model import EVAL, TRAIN, Model
from ...common.parity.programs import Program
from ...common.parity.record import Comparison as Result
from ...common.parity.values import Arguments, as_arrays, input_sets, param_sets, state_sets
from ...common.port.programs import ProgramFacts, read_program
from ..analysis.statistics import Comparison, compare, noise_floor, verdict
from ..timing.sampling import Pace, sample_rounds

#: Rounds of three arms each, and how long a sample lasts.
ROUNDS, SAMPLE_TIME_S = 24, 5e-3
#: The learning rate of the step of SGD that is timed.
RATE = 1e-3
#: How calls are timed, and what it is called.
CLOCKS = {"blocked": "each call waited for", "pipelined": "in a loop"}
#: What is timed, and in which mode of a model that has modes.
PHASES = {"forward": EVAL, "train step": TRAIN}
#: What is told of the compiled programs.
COUNTS = ("dots", "fusions", "whiles", "transposes")


@dataclass(frozen=True)
class Cost:
    """What a candidate costs in one phase and by one clock.

    Args:
        phase, clock: what was called, and how.
        ratio: the candidate's time over the reference's.
        floor: what a second copy of the reference differs by, as a fraction.
        verdict: "faster", "slower" or "indistinguishable".
        time_s: seconds per call of the reference and of the candidate.
    """

    phase: str
    clock: str
    ratio: Comparison
    floor: float
    verdict: str
    time_s: tuple[float, float]


class _Arm:
    def __init__(self, function: Any, arrays: tuple[Any, ...]):
        begun = time.perf_counter()
        lowered = jax.jit(function).lower(*arrays)
        self._compiled, self._arrays = lowered.compile(), jax.device_put(arrays)
        self.build_s = time.perf_counter() - begun
        self.facts: ProgramFacts = read_program(lowered)

    def call(self) -> Any:
        return self._compiled(*self._arrays)

    def wait(self, outputs: Any) -> Any:
        return jax.block_until_ready(outputs)


def cost_lines(reference: Model, candidate: Model, inputs: tuple[Any, ...], result: Result) -> Iterator[str]:
    """The lines of the report on time and memory.

    Args:
        reference, candidate: models of JAX that are the same function.
        inputs: what both are called with.
        result: of comparing them, with the parameters that the candidate gets.

    Raises:
        InputError: a model that JAX cannot compile.
    """
    arrays = as_arrays(inputs)
    yield "Time of the candidate over that of the reference, both compiled by jax.jit and called alike:"
    for phase, mode in PHASES.items():
        r, c = (
            model.program(arrays, mode if mode in model.modes else model.modes[0]) for model in (reference, candidate)
        )
        if not isinstance(r, Program) or not isinstance(c, Program):
            raise InputError("--time compares models of JAX: a module of PyTorch is not compiled by it.")
        mine = _arguments(r.param_values, r.state_values, inputs)
        given = _arguments(result.converted, result.converted_state, inputs)
        arms = [_arm(*pair, arrays, phase) for pair in ((r, mine), (c, given), (r, mine))]
        for cost in _costs(phase, arms):
            ratio, times = cost.ratio, ", ".join(f"{t * 1e6:.3g} µs" for t in cost.time_s)
            interval = f"{ratio.ratio:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
            floor = f"noise floor {cost.floor:.1%}"
            yield f"  {phase}, {CLOCKS[cost.clock]}: {interval}, {cost.verdict}; {floor} ({times})"
        yield from _of_programs(phase, *arms[:2])


def _arguments(params: Any, state: Any, inputs: tuple[Any, ...]) -> Arguments:
    return Arguments(param_sets(params), state_sets(state), input_sets(jax.tree.leaves(inputs))).one(0)


def _arm(program: Program, arguments: Arguments, inputs: tuple[Any, ...], phase: str) -> _Arm:
    function, params, rest = program.own(arguments, inputs)

    def step(params: Any, rest: Any) -> Any:
        def loss(params: Any) -> Any:
            outputs = [y for y in jax.tree.leaves(function(params, rest)) if np.issubdtype(y.dtype, np.inexact)]
            return sum((abs(y) ** 2).mean() for y in outputs)

        value, gradient = jax.value_and_grad(loss)(params)
        return value, [p - RATE * g for p, g in zip(params, gradient, strict=True)]

    return _Arm(function if phase == "forward" else step, (params, rest))


def _costs(phase: str, arms: list[_Arm]) -> Iterator[Cost]:
    for clock in CLOCKS:
        samples = sample_rounds(arms, ROUNDS, sample_time_s=SAMPLE_TIME_S, pace=Pace(clock))
        times = []
        for sample in samples:
            if isinstance(sample, Exception):
                raise InputError(f"the models cannot be timed: {sample}") from sample
            times.append(sample.time_s)
        reference, candidate, copy = times
        ratio, floor = compare(candidate, reference), noise_floor(compare(copy, reference))
        both = float(np.median(reference)), float(np.median(candidate))
        yield Cost(phase, clock, ratio, floor, verdict(ratio, floor, [0] * ROUNDS), both)


def _of_programs(phase: str, reference: _Arm, candidate: _Arm) -> Iterator[str]:
    r, c = reference.facts, candidate.facts
    yield f"  {phase}, to trace and compile: {candidate.build_s:.2f} s, the reference {reference.build_s:.2f} s"
    if r.temp_bytes is not None and c.temp_bytes is not None:
        yield f"  {phase}, temporary memory: {c.temp_bytes / 1e6:.3g} MB, the reference {r.temp_bytes / 1e6:.3g} MB"
    more = [f"{getattr(c, n)} {n} against {getattr(r, n)}" for n in COUNTS if getattr(c, n) != getattr(r, n)]
    same = "the same program" if r.fingerprint == c.fingerprint else "as many operations of each kind, another program"
    yield f"  {phase}, compiled: {', '.join(more) or same}"
