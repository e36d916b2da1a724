"""Two arms of one group against each other, paired within rounds, and what causes the difference.

Causes are told by experiment. What crossing the jit boundary costs is the difference between two call styles of one
framework that run the same program. Two frameworks in the same style may run other programs, whose operations are
counted; that they differ is said, not that each of them costs time. What neither explains is called unexplained, gains
too.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from ...common.gru.kernels import STOCK
from ...common.port.protocol import DONATED, FUNCTIONAL, LEAVES
from ..results.record import Benchmark, Results
from .rates import baseline_of
from .statistics import Comparison, as_ratio, centre_of, effect_of, enough_rounds, noise_floor, verdict

#: The most that crossing the jit boundary was seen to take.
BOUNDARY_LIMIT_S = 2e-3
#: It may cost this many times as much as on the smallest workload, where the caches have little else to hold, or as
#: this time.
BOUNDARY_FACTOR, BOUNDARY_LEAST_S = 3, 1e-4

#: "none": there is no difference to explain. "equations": one arm computes something else. "unread": a program could
#: not be read. "boundary": the same program, called in another way. "style": called in another way, and not the same
#: program. "program": another program, called alike. "unexplained": the same program, called alike, or a difference
#: beyond what the boundary can cost.
Cause = Literal["none", "equations", "unread", "boundary", "style", "program", "unexplained"]


@dataclass(frozen=True)
class Pair:
    """Two arms of one group.

    Args:
        one, other: the arms.
        benchmarks: of their group.
        seed: of the bootstrap.
    """

    one: Benchmark
    other: Benchmark
    benchmarks: list[Benchmark]
    seed: int

    @cached_property
    def ratio(self) -> Comparison:
        """The time of one over that of the other."""
        return as_ratio(effect_of(self._log_ratio, self.one.facts.process, self.seed))

    @property
    def _log_ratio(self) -> np.ndarray:
        return np.log(self.one.time_s) - np.log(self.other.time_s)

    @property
    def verdict(self) -> str:
        """Of the first: "faster", "slower" or "indistinguishable"."""
        enough = enough_rounds(self.one.facts.process)
        return verdict(self.ratio, self.one.facts.floor) if enough else "indistinguishable"

    @property
    def is_real(self) -> bool:
        """Whether they differ by more than chance and the noise floor explain."""
        return self.verdict != "indistinguishable"

    @property
    def difference_s(self) -> Comparison:
        """Seconds per call by which one takes longer than the other, with the 95 % interval."""
        time_s = float(np.median(self.other.time_s))
        return Comparison(*((ratio - 1) * time_s for ratio in (self.ratio.ratio, self.ratio.low, self.ratio.high)))

    @property
    def estimate_s(self) -> float:
        """The difference without its interval."""
        return float(np.expm1(centre_of(self._log_ratio, self.one.facts.process)) * np.median(self.other.time_s))

    @property
    def same_program(self) -> bool | None:
        """Whether XLA runs the same program; None where one of them could not be read."""
        mine, its = self.one.facts.program, self.other.facts.program
        return None if mine is None or its is None else mine.fingerprint == its.fingerprint

    @property
    def counts(self) -> tuple[tuple[str, int, int], ...]:
        """Operations of which one program has more: name, of one, of the other."""
        mine, its = self.one.facts.program, self.other.facts.program
        if mine is None or its is None:
            return ()
        found = [(name, getattr(mine, name), getattr(its, name)) for name in ("dots", "transposes", "whiles")]
        other = [(name, m, i) for name, m, i in found if m != i]
        return tuple(other or [("fusions", mine.fusions, its.fusions)] * (mine.fusions != its.fusions))


def pair(results: Results, one: Benchmark, other: Benchmark) -> Pair:
    """Two arms of one group."""
    return Pair(one, other, results.groups()[one.group], results.trigru.plan.seed)


@dataclass(frozen=True)
class OtherClock:
    """An arm against the baseline by the clock that does not lead; see `trigru.bench.results.record.Facts`.

    Args:
        ratio: time / baseline time, paired within rounds.
        floor: of these rounds, as a fraction.
        verdict: than the baseline.
    """

    ratio: Comparison
    floor: float
    verdict: str


def other_clock(results: Results, b: Benchmark) -> OtherClock | None:
    """What the other clock says of an arm; None where it was not read in rounds of the baseline and its duplicate."""
    benchmarks, process, seed = results.groups()[b.group], b.facts.other_process, results.trigru.plan.seed
    baseline = baseline_of(benchmarks)
    duplicate = next((found for found in benchmarks if found.arm.role == "duplicate"), None)
    if duplicate is None or not process or {*process} != {*b.facts.process}:
        return None
    if not baseline.facts.other_process == duplicate.facts.other_process == process:
        return None
    mine, base, copy = (np.log(found.facts.other_s) for found in (b, baseline, duplicate))
    floor = noise_floor(as_ratio(effect_of(copy - base, process, seed)), len({*process}))
    ratio = as_ratio(effect_of(mine - base, process, seed))
    return OtherClock(ratio, floor, verdict(ratio, floor) if enough_rounds(process) else "indistinguishable")


def labelled(benchmarks: list[Benchmark], label: str) -> dict[str, Benchmark]:
    """The arm of each framework whose call style has a label, by port, in the order of the group.

    Of the stock cell, on one device.
    """
    own = [b for b in benchmarks if b.arm.role in ("arm", "baseline") and b.arm.kernel == STOCK and not b.arm.way]
    return {b.arm.port: b for b in own if label in b.arm.labels}


def frameworks(benchmarks: list[Benchmark], label: str) -> dict[str, Benchmark]:
    """As `labelled`, without the baseline's port."""
    return {port: b for port, b in labelled(benchmarks, label).items() if port != baseline_of(benchmarks).arm.port}


def pairs(results: Results, benchmarks: list[Benchmark], label: str) -> list[Pair]:
    """Every two frameworks of a group, in the call style with this label."""
    return [pair(results, *two) for two in combinations(frameworks(benchmarks, label).values(), 2)]


def reference_of(b: Benchmark, benchmarks: list[Benchmark]) -> Benchmark:
    """What an arm is explained against: its port's functional style, or the baseline if it is that."""
    own = labelled(benchmarks, FUNCTIONAL).get(b.arm.port)
    return baseline_of(benchmarks) if own is None or own is b else own


def cause_of(results: Results, found: Pair) -> Cause:
    """Why two arms of one framework, or of two in the same call style, take different times."""
    one, other = found.one, found.other
    if one.facts.differs or other.facts.differs:
        return "equations"
    if not found.is_real:
        return "none"
    if found.same_program is None:
        return "unread"
    if one.arm.port != other.arm.port and not {*one.arm.labels} & {*other.arm.labels} & {FUNCTIONAL, LEAVES, DONATED}:
        return "style"
    within_boundary = abs(found.difference_s.ratio) <= _boundary_limit_s(results, found)
    if one.arm.port == other.arm.port:
        if not found.same_program:
            return "style"
        return "boundary" if within_boundary else "unexplained"
    if not found.same_program:
        return "program"
    return "boundary" if within_boundary and _vanishes_as_leaves(results, found) else "unexplained"


def _vanishes_as_leaves(results: Results, found: Pair) -> bool:
    """Whether two frameworks that run the same program cannot be told apart where both pass a list of arrays."""
    as_leaves = labelled(found.benchmarks, LEAVES)
    one, other = (as_leaves.get(b.arm.port) for b in (found.one, found.other))
    return one is not None and other is not None and not pair(results, one, other).is_real


def _boundary_limit_s(results: Results, found: Pair) -> float:
    """What crossing the jit boundary may cost this pair, by what it costs on the smallest workload of the run."""
    seen: list[tuple[float, float]] = []
    for benchmarks in results.groups().values():
        by_name = {b.name: b for b in benchmarks}
        two = [by_name.get(found.one.name), by_name.get(found.other.name)]
        of_phase = (benchmarks[0].arm.phase, benchmarks[0].arm.division) == (
            found.one.arm.phase,
            found.one.arm.division,
        )
        if of_phase and two[0] and two[1]:
            seen.append((two[0].facts.flops, abs(pair(results, two[0], two[1]).estimate_s)))
    smallest_flops, least_s = min(seen)
    if smallest_flops == found.one.facts.flops:
        return BOUNDARY_LIMIT_S
    return max(BOUNDARY_FACTOR * least_s, BOUNDARY_LEAST_S)
