"""What changed between two runs: an upgrade of a framework, a commit, another machine.

The two runs are not paired, but the rounds within each run are. So each arm's ratio to
the baseline is compared: new / old of time / pure[jit]. What slows all arms of a run
alike cancels in this ratio. The baseline itself cannot be judged in this way. The
change of its time is shown; the machine may be its cause.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...common.errors import InputError
from ..results.arm import Arm
from ..results.grouping import grouped
from ..results.machine import machine_differences
from ..results.proof import Proof, proofs_of
from .benchmarks import Benchmark, Results
from .comparison import TimeComparison, Verdict
from .merge import baseline_of
from .statistics import Effect, beyond_chance, compare_effects, effect_of, verdict

#: In a group whose noise floor is above this, an arm that seems unchanged may well have
#: changed.
TOO_NOISY = 0.30


@dataclass(frozen=True)
class ArmChange:
    """One arm in both files."""

    arm: Arm
    old_time_s: float  # seconds of a call
    new_time_s: float
    #: New / old of time / baseline time; of the time itself for the baseline.
    comparison: TimeComparison
    floor: float  # the larger of the two groups' noise floors, as a fraction
    verdict: Verdict | Literal["-"]  # than before; "-" for the baseline
    chance: float  # how often an arm that did not change seems slower by as much
    believed: bool = False  # faster or slower beyond what chance makes of as many arms
    regression: bool = False  # that, and slower by more than is allowed

    @property
    def moved(self) -> bool:
        return self.verdict in ("faster", "slower")

    @property
    def lost_in_noise(self) -> bool:
        """Whether not even an unchanged time can be claimed, so large is the noise."""
        return self.arm.role == "arm" and not self.moved and self.floor > TOO_NOISY


@dataclass(frozen=True)
class ProofChange:
    """What was proven of a port on a kernel in each run; None: nothing was measured."""

    port: str
    kernel: str
    old: Proof | None
    new: Proof | None

    @property
    def newly_failed(self) -> list[str]:
        if self.old is None or self.new is None:
            return []
        return [check for check in self.new.failed if check not in self.old.failed]


@dataclass(frozen=True)
class Problem:
    """Why two files cannot be compared, in part or at all."""

    reason: str
    detail: str = ""  # what differs, or why arms are missing, where the file says so
    arms: tuple[Arm, ...] = ()  # of one port that a file lacks


@dataclass(frozen=True)
class Diff:
    """What changed between two runs."""

    old: Results
    new: Results
    #: Of each arm that both files have, in the order of the new file.
    changes: list[ArmChange]
    proofs: list[ProofChange]  # for each port and kernel in either file
    problems: list[Problem]
    fail_above: float
    anyway: bool

    @property
    def judged(self) -> list[ArmChange]:
        """The arms that get a verdict."""
        return [change for change in self.changes if change.arm.role == "arm"]

    @property
    def regressions(self) -> list[ArmChange]:
        return [change for change in self.changes if change.regression]

    @property
    def lost_proofs(self) -> list[ProofChange]:
        return [proof for proof in self.proofs if proof.newly_failed]

    @property
    def exit_code(self) -> int:
        """What the command exits with.

        It is 1 if equality was lost; else 125 if problems were not accepted; else 1 if
        there is a regression; else 0.
        """
        if self.lost_proofs:
            return 1
        if self.problems and not self.anyway:
            return 125
        return 1 if self.regressions else 0

    @property
    def moved(self) -> list[ArmChange]:
        """What moved: regressions, then the largest changes first."""

        def rank(change: ArmChange) -> tuple[bool, float]:
            size = abs(np.log(change.comparison.ratio))
            return not change.regression, -float(size)

        return sorted((change for change in self.changes if change.moved), key=rank)

    def moved_baselines(self) -> dict[str, float]:
        """By group, the ratio of those baselines whose time changed.

        It did if it is beyond what an arm may change, either way, and its interval.
        """
        limit = np.log1p(self.fail_above)
        moved = {}
        for change in self.changes:
            c = change.comparison
            is_beyond = abs(np.log(c.ratio)) > limit and not c.low <= 1 <= c.high
            if change.arm.is_baseline and is_beyond:
                moved[change.arm.group] = c.ratio
        return moved


def diff(
    old: Results, new: Results, *, fail_above: float = 0.05, anyway: bool = False
) -> Diff:
    """Compare two runs: what was proven, and arm by arm.

    A regression is an arm whose interval excludes no change, whose change is above the
    noise floor of both files, and that takes more than 1 + fail_above times as long,
    relative to the baseline. And since some of many arms seem slower by chance, it is
    one that is believed among all arms: see `beyond_chance`.

    An InputError says if `fail_above` is no share. With `anyway`, arms that are in one
    file only, files of interrupted runs, and another device or environment are
    accepted.
    """
    if not 0 <= fail_above < np.inf:
        raise InputError(
            f"fail_above is {fail_above}, expected a share of at least 0, as 0.05 for "
            "5 %."
        )
    old_groups = old.groups()
    old_ids = {b.arm.id for b in old.benchmarks}
    changes = []
    for name, group in new.groups().items():
        for b in group:
            if b.arm.id in old_ids:
                changes.append(_change(old_groups[name], group, b.arm.id))
    return Diff(
        old,
        new,
        judge_together(changes, fail_above),
        _proof_changes(old, new),
        list(_problems(old, new)),
        fail_above,
        anyway,
    )


def judge_together(changes: Sequence[ArmChange], fail_above: float) -> list[ArmChange]:
    """The changes, each with whether it is believed among all arms, in its
    direction.
    """
    arms = [change for change in changes if change.arm.role == "arm"]
    slower = beyond_chance([change.chance for change in arms])
    faster = beyond_chance([1 - change.chance for change in arms])
    believed = set()
    for change, seems_slower, seems_faster in zip(arms, slower, faster, strict=True):
        if seems_slower and change.verdict == "slower":
            believed.add(change.arm.id)
        if seems_faster and change.verdict == "faster":
            believed.add(change.arm.id)

    judged = []
    for change in changes:
        is_believed = change.arm.id in believed
        is_slower = change.verdict == "slower"
        is_allowed = change.comparison.ratio <= 1 + fail_above
        is_regression = is_believed and is_slower and not is_allowed
        judged.append(replace(change, believed=is_believed, regression=is_regression))
    return judged


def _change(
    old_group: Sequence[Benchmark], new_group: Sequence[Benchmark], arm_id: str
) -> ArmChange:
    """The change of an arm of a group, relative to the baseline; of the baseline, that
    of its own time.
    """
    old = next(b for b in old_group if b.arm.id == arm_id)
    new = next(b for b in new_group if b.arm.id == arm_id)
    comparison, chance = compare_effects(
        _effect(new, new_group), _effect(old, old_group)
    )
    floor = max(new.floor, old.floor)
    return ArmChange(
        new.arm,
        old.call_s,
        new.call_s,
        comparison,
        floor,
        verdict="-" if new.arm.is_baseline else verdict(comparison, floor),
        chance=chance,
    )


def _effect(b: Benchmark, group: Sequence[Benchmark]) -> Effect:
    log_time = np.log(b.time_s)
    if not b.arm.is_baseline:
        log_time = log_time - np.log(baseline_of(group).time_s)
    return effect_of(log_time, b.process)


def _proof_changes(old: Results, new: Results) -> list[ProofChange]:
    old_proofs, new_proofs = _proofs(old), _proofs(new)
    keys = old_proofs | new_proofs  # in the order of the old file
    return [ProofChange(*key, old_proofs.get(key), new_proofs.get(key)) for key in keys]


def _proofs(results: Results) -> dict[tuple[str, str], Proof]:
    """The proofs of a run, by port and kernel."""
    proofs = proofs_of(results.trigru.begun.equality or ())
    return {(proof.port, proof.kernel): proof for proof in proofs}


def _problems(old: Results, new: Results) -> Iterator[Problem]:
    for file, results in (("OLD", old), ("NEW", new)):
        if not results.trigru.complete:
            yield Problem(f"the run of {file} was interrupted: not all was measured")
    for detail in _differences(old, new):
        yield Problem("the machine or its environment differs", detail)
    yield from _missing("NEW", old, new)
    yield from _missing("OLD", new, old)


def _differences(old: Results, new: Results) -> list[str]:
    """How the machines differ, and the clocks that lead."""
    differences = machine_differences(
        old.trigru.machine, new.trigru.machine, versions=False
    )
    clocks = old.trigru.clock, new.trigru.clock
    if old.benchmarks and new.benchmarks and clocks[0] != clocks[1]:
        differences.append(f"calls {clocks[1]}, were {clocks[0]}")
    return differences


def _missing(file: str, has: Results, lacks: Results) -> Iterator[Problem]:
    """The arms that a file lacks and the other one has, by port and reason."""
    there = {b.arm.id for b in lacks.benchmarks}
    absent = [b.arm for b in has.benchmarks if b.arm.id not in there]
    reasons = {}
    for untimed in lacks.untimed:
        arm = untimed.arm
        key = arm.id if arm.style else (arm.group, arm.port)
        reasons[key] = untimed.reason.rstrip(".")

    def port_and_reason(arm: Arm) -> tuple[str, str]:
        of_port = reasons.get((arm.group, arm.port), "")
        return arm.port, reasons.get(arm.id, of_port)

    for (_, reason), arms in grouped(absent, port_and_reason).items():
        yield Problem(f"missing in {file}", reason, tuple(arms))
