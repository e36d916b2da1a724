"""What changed between two runs: an upgrade of a framework, a commit, another machine.

The two runs are not paired, but the rounds within each run are. So each arm's ratio to the baseline is compared: new /
old of time / pure[jit]. What slows all arms of a run alike cancels in this ratio. The baseline itself cannot be judged
in this way. The change of its time is shown; the machine may be its cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...common.errors import InputError
from ..results.arm import Arm
from ..results.grouping import grouped
from ..results.machine import machine_differences
from ..results.proof import Proof, proofs_of
from ..results.run import Benchmark, Results, TimeComparison
from .merge import baseline_of
from .statistics import beyond_chance, compare_effects, effect_of, verdict

#: In a group whose noise floor is above this, an arm that seems unchanged may well have changed.
TOO_NOISY = 0.30


@dataclass(frozen=True)
class ArmChange:
    """One arm in both files."""

    arm: Arm
    old_time_s: float  # median seconds per call
    new_time_s: float
    comparison: TimeComparison  # new / old of time / baseline time; of the time itself for the baseline
    floor: float  # the larger of the two groups' noise floors, as a fraction
    verdict: str  # "faster", "slower" or "indistinguishable" than before; "-" for the baseline
    chance: float  # how often an arm that did not change seems slower by as much
    believed: bool = False  # faster or slower beyond what chance makes of as many arms
    regression: bool = False  # that, and slower by more than is allowed

    @property
    def moved(self) -> bool:
        return self.verdict in ("faster", "slower")

    @property
    def lost_in_noise(self) -> bool:
        """Whether the noise is so large that not even an unchanged time can be claimed."""
        return self.arm.role == "arm" and not self.moved and self.floor > TOO_NOISY


@dataclass(frozen=True)
class ProofChange:
    """What was proven of a port on a kernel in each run; None where nothing was measured."""

    port: str
    kernel: str
    old: Proof | None
    new: Proof | None

    @property
    def newly_failed(self) -> list[str]:
        return (
            [check for check in self.new.failed if check not in self.old.failed]
            if self.old and self.new
            else []
        )


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
    changes: list[
        ArmChange
    ]  # of each arm that both files have, in the order of the new file
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
        """1 if equality was lost; else 125 if problems were not accepted; else 1 if there is a regression; else 0."""
        if self.lost_proofs:
            return 1
        return 125 if self.problems and not self.anyway else int(bool(self.regressions))

    @property
    def moved(self) -> list[ArmChange]:
        """What moved: regressions, then the largest changes first."""
        moved = [change for change in self.changes if change.moved]
        return sorted(
            moved,
            key=lambda change: (
                not change.regression,
                -abs(np.log(change.comparison.ratio)),
            ),
        )

    def moved_baselines(self) -> dict[str, float]:
        """By group, those whose time changed, either way, by more than an arm's may and more than its interval."""
        found, limit = (
            {c.arm.group: c.comparison for c in self.changes if c.arm.is_baseline},
            np.log1p(self.fail_above),
        )
        return {
            name: c.ratio
            for name, c in found.items()
            if abs(np.log(c.ratio)) > limit and not c.low <= 1 <= c.high
        }


def diff(
    old: Results, new: Results, *, fail_above: float = 0.05, anyway: bool = False
) -> Diff:
    """Compare two runs: what was proven, and arm by arm.

    A regression is an arm whose interval excludes no change, whose change is above the noise floor of both files, and
    that takes more than 1 + fail_above times as long, relative to the baseline. And since some of many arms seem slower
    by chance, it is one that is believed among all arms: see `beyond_chance`.

    An InputError says if `fail_above` is no share. With `anyway`, arms that are in one file only, files of interrupted
    runs, and another device or environment are accepted.
    """
    if not 0 <= fail_above < np.inf:
        raise InputError(
            f"fail_above is {fail_above}, expected a share of at least 0, as 0.05 for 5 %."
        )
    before, problems = old.groups(), list(_problems(old, new))
    in_old = {b.arm.id for b in old.benchmarks}
    changes = [
        _change(before[b.group], of, b.arm.id)
        for of in new.groups().values()
        for b in of
        if b.arm.id in in_old
    ]
    was, now = (
        {(p.port, p.kernel): p for p in proofs_of(run.trigru.begun.equality or ())}
        for run in (old, new)
    )
    proofs = [ProofChange(*key, was.get(key), now.get(key)) for key in was | now]
    return Diff(
        old,
        new,
        judge_together(changes, fail_above),
        proofs,
        problems,
        fail_above,
        anyway,
    )


def judge_together(changes: list[ArmChange], fail_above: float) -> list[ArmChange]:
    """The changes, each arm's with whether it is believed among all arms, in its direction."""
    arms, sure = [change for change in changes if change.arm.role == "arm"], set[str]()
    for way, chances in (
        ("slower", [c.chance for c in arms]),
        ("faster", [1 - c.chance for c in arms]),
    ):
        judged = zip(arms, beyond_chance(chances), strict=True)
        sure |= {c.arm.id for c, is_sure in judged if is_sure and c.verdict == way}
    slow = {
        c.arm.id
        for c in arms
        if c.verdict == "slower" and c.comparison.ratio > 1 + fail_above
    }
    return [
        replace(c, believed=c.arm.id in sure, regression=c.arm.id in sure & slow)
        for c in changes
    ]


def _change(before: list[Benchmark], after: list[Benchmark], arm: str) -> ArmChange:
    """The change of one arm of a group, relative to the baseline; of the baseline, that of its own time."""
    new, old = (
        next(b for b in benchmarks if b.arm.id == arm) for benchmarks in (after, before)
    )
    alone = 0.0 if new.arm.is_baseline else 1.0
    effects = [
        effect_of(
            np.log(b.time_s) - alone * np.log(baseline_of(benchmarks).time_s), b.process
        )
        for b, benchmarks in ((new, after), (old, before))
    ]
    (comparison, chance), floor = compare_effects(*effects), max(new.floor, old.floor)
    word = "-" if new.arm.is_baseline else verdict(comparison, floor)
    return ArmChange(
        new.arm, old.median_s, new.median_s, comparison, floor, word, chance
    )


def _problems(old: Results, new: Results) -> Iterator[Problem]:
    for file, results in (("OLD", old), ("NEW", new)):
        if not results.trigru.complete:
            yield Problem(f"the run of {file} was interrupted: not all was measured")
    differences = list(
        machine_differences(old.trigru.machine, new.trigru.machine, versions=False)
    )
    clocks = [
        results.benchmarks[0].facts.clock
        for results in (new, old)
        if results.benchmarks
    ]
    if len({*clocks}) == 2:
        differences.append(f"calls {clocks[0]}, were {clocks[1]}")
    for detail in differences:
        yield Problem("the machine or its environment differs", detail)
    for file, has, lacks in (("NEW", old, new), ("OLD", new, old)):
        there = {b.arm.id for b in lacks.benchmarks}
        reasons = {
            u.arm.id if u.arm.style else (u.arm.group, u.arm.port): u.reason.rstrip(".")
            for u in lacks.untimed
        }
        absent = [b.arm for b in has.benchmarks if b.arm.id not in there]
        why = {
            arm.id: reasons.get(arm.id, reasons.get((arm.group, arm.port), ""))
            for arm in absent
        }
        for (_, reason), arms in grouped(
            absent, lambda arm, why=why: (arm.port, why[arm.id])
        ).items():
            yield Problem(f"missing in {file}", reason, tuple(arms))
