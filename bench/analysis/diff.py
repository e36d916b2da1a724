"""What changed between two results files: an upgrade of a framework, a commit, another machine.

The two runs are not paired, but the rounds within each are. So what is compared is each arm's ratio to the baseline,
from which the machine's mood has cancelled in each run: new / old of time / pure[jit]. The baseline cannot be judged
so; its own change of time is shown, and may be the machine's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from ...common.errors import InputError
from ..reporting.sections import format_time, load_warnings
from ..reporting.times import short_group
from ..results.record import Benchmark, Results
from .statistics import Comparison, Effect, compare_effects, effect_of, verdict

__all__ = ["ALLOWED_BY", "FAIL_ABOVE", "TOO_NOISY", "Change", "Diff", "Problem", "diff"]

Kind = Literal["arms", "incomplete", "machine"]
#: An arm that is slower by no more than this is not a regression.
FAIL_ABOVE = 0.05
#: In a group with a noise floor above this, that an arm seems unchanged says nothing.
TOO_NOISY = 0.30
#: By which option a kind of problem is accepted.
ALLOWED_BY: dict[Kind, str] = {
    "arms": "--allow-missing",
    "incomplete": "--allow-missing",
    "machine": "--allow-other-machine",
}


@dataclass(frozen=True)
class Change:
    """One arm in both files.

    Args:
        role: an "arm" is judged; the "A/A" duplicate is the noise; the "baseline" is what ratios are relative to.
        old_time_s, new_time_s: median seconds per call.
        comparison: new / old of time / baseline time; of the time itself for the baseline, or where asked for.
        floor: the larger of the two groups' noise floors, as a fraction.
        verdict: "faster", "slower" or "indistinguishable", than before; "-" for the baseline, which is not judged.
        regression: slower, and by more than is allowed.
    """

    id: str
    group: str
    name: str
    role: Literal["arm", "A/A", "baseline"]
    old_time_s: float
    new_time_s: float
    comparison: Comparison
    floor: float
    verdict: str
    regression: bool

    @property
    def moved(self) -> bool:
        """Whether it is faster or slower than before, beyond the noise."""
        return self.verdict in ("faster", "slower")

    @property
    def lost_in_noise(self) -> bool:
        """Whether the noise hides what an arm did: not even that it stayed as it was can be told."""
        return self.role == "arm" and not self.moved and self.floor > TOO_NOISY


@dataclass(frozen=True)
class Problem:
    """Why two files do not compare, in a sentence.

    Args:
        kind: "arms" or "incomplete", accepted by allow_missing; "machine", accepted by allow_other_machine.
        allowed: whether it was accepted.
    """

    kind: Kind
    sentence: str
    allowed: bool


@dataclass(frozen=True)
class Diff:
    """What changed between two results files.

    Args:
        changes: of each arm that both have, in the order of the new one.
        problems: why they do not compare, or not in all.
        doubts: why the runs may be too noisy to tell, a sentence each.
        notes: what a reader should know, and no reason to fail.
        fail_above: the share by which an arm may be slower.
        absolute: whether times were compared, and not ratios to the baseline.
    """

    changes: list[Change]
    problems: list[Problem]
    doubts: list[str]
    notes: list[str]
    fail_above: float
    absolute: bool

    @property
    def regressions(self) -> list[Change]:
        """Arms that are slower by more than is allowed."""
        return [change for change in self.changes if change.regression]

    @property
    def exit_code(self) -> int:
        """2 where a problem was not accepted, else 1 where there is a regression, else 0."""
        return 2 if any(not problem.allowed for problem in self.problems) else int(bool(self.regressions))

    @property
    def summary(self) -> str:
        """The outcome in a line or two, and what casts doubt on it in a line each."""
        judged = sum(change.role == "arm" for change in self.changes)
        slow = self.regressions
        named = f": {', '.join(change.id for change in slow)}" if slow else ""
        text = f"{len(slow) or 'none'} of {judged} arms slower than before by more than {self.fail_above:.1%}{named}."
        open_kinds: list[Kind] = [problem.kind for problem in self.problems if not problem.allowed]
        if open_kinds:
            options = " ".join(dict.fromkeys(ALLOWED_BY[kind] for kind in open_kinds))
            text += f"\nThe files do not compare ({len(open_kinds)} reasons). Measure alike, or accept it: {options}."
        return "\n".join([text, *self.doubts])


def diff(
    old: Results,
    new: Results,
    *,
    fail_above: float = FAIL_ABOVE,
    absolute: bool = False,
    allow_missing: bool = False,
    allow_other_machine: bool = False,
) -> Diff:
    """Compare two results files, arm by arm.

    A regression is an arm whose interval excludes no change, whose change is above the noise floor of both files, and
    that takes more than 1 + fail_above times as long, relative to the baseline.

    Args:
        old, new: the files.
        fail_above: the share by which an arm may be slower.
        absolute: judge times, the baseline's too, instead of ratios to it; only on idle, identical machines.
        allow_missing: accept arms that only one file has, and files of runs that were interrupted.
        allow_other_machine: accept another device, environment or precision.

    Raises:
        InputError: they share no arm that could be judged, or fail_above is no share.
    """
    if not 0 <= fail_above < np.inf:
        raise InputError(f"fail_above is {fail_above}, expected a share of at least 0, as 0.05 for 5 %.")
    allowed: dict[Kind, bool] = {"arms": allow_missing, "incomplete": allow_missing, "machine": allow_other_machine}
    other_work = dict(_other_work(old, new))
    found: list[tuple[Kind, str]] = [
        *(("incomplete", sentence) for sentence in _incomplete(old, new)),
        *(("machine", sentence) for sentence in _other_machine(old, new)),
        *(("arms", sentence) for sentence in other_work.values()),
        *(("arms", sentence) for sentence in _missing(old, new)),
    ]
    changes = [
        change
        for group, benchmarks in new.groups().items()
        if group in old.groups() and group not in other_work
        for change in _changes(old, new, old.groups()[group], benchmarks, fail_above, absolute)
    ]
    if all(change.role != "arm" for change in changes):
        common = ", ".join(dict.fromkeys(change.name for change in changes))
        but = f" but {common}, whose ratio to itself says nothing" if common else ""
        why = "; ".join(other_work.values()) or f"OLD has {_groups(old)}; NEW has {_groups(new)}"
        raise InputError(f"the files have no arm in common{but}. {why}. Measure the same workloads, phases and ports.")
    return Diff(
        changes=changes,
        problems=[Problem(kind, sentence, allowed[kind]) for kind, sentence in found],
        doubts=[*_busy(old, new), *_noisy(changes)],
        notes=[*_notes_of_files(old, new), *_notes_of_changes(changes, fail_above, absolute)],
        fail_above=fail_above,
        absolute=absolute,
    )


def _changes(
    old: Results, new: Results, before: list[Benchmark], after: list[Benchmark], fail_above: float, absolute: bool
) -> Iterator[Change]:
    """Of one group."""
    was = {b.facts.id: b for b in before}
    old_baseline, new_baseline = _baseline(before), _baseline(after)
    for b in after:
        if b.facts.id not in was:
            continue
        a = was[b.facts.id]
        role = "A/A" if b.facts.copy > 1 else "baseline" if b.facts.is_baseline and not absolute else "arm"
        of_time = absolute or role == "baseline"
        comparison = compare_effects(
            _effect(b, None if of_time else new_baseline, new.trigru.seed),
            _effect(a, None if of_time else old_baseline, old.trigru.seed),
        )
        floor = max(a.facts.floor, b.facts.floor)
        word = "-" if role == "baseline" else verdict(comparison, floor)
        yield Change(
            id=b.facts.id,
            group=b.group,
            name=b.name,
            role=role,
            old_time_s=float(np.median(a.time_s)),
            new_time_s=float(np.median(b.time_s)),
            comparison=comparison,
            floor=floor,
            verdict=word,
            regression=role == "arm" and word == "slower" and comparison.ratio > 1 + fail_above,
        )


def _effect(benchmark: Benchmark, baseline: Benchmark | None, seed: int) -> Effect:
    """The logarithm of an arm's time, relative to the baseline's where there is one."""
    log_time = np.log(benchmark.time_s)
    log_ratio = log_time if baseline is None else log_time - np.log(baseline.time_s)
    return effect_of(log_ratio, benchmark.facts.process, seed)


def _incomplete(old: Results, new: Results) -> Iterator[str]:
    for name, results in (("OLD", old), ("NEW", new)):
        if not results.trigru.complete:
            yield f"{name} is of a run that was interrupted: not all was measured"


def _other_machine(old: Results, new: Results) -> Iterator[str]:
    was = old.trigru.machine
    for difference in was.differences(msgspec.structs.replace(new.trigru.machine, versions=was.versions)):
        yield f"NEW was measured on another machine or in another environment: {difference}"
    if new.trigru.matmul_precision != old.trigru.matmul_precision:
        yield (
            f"NEW was measured in another precision of matrix products: {new.trigru.matmul_precision!r}, "
            f"was {old.trigru.matmul_precision!r}"
        )


def _other_work(old: Results, new: Results) -> Iterator[tuple[str, str]]:
    """Groups that share a name and no more, with a sentence."""
    before = old.groups()
    for group, after in new.groups().items():
        was, now = (_work(benchmarks) if benchmarks else None for benchmarks in (before.get(group), after))
        if was and was != now:
            yield group, f"{group} is other work, and not compared: {now}, was {was}"


def _work(benchmarks: list[Benchmark]) -> str:
    facts = _baseline(benchmarks).facts
    return f"{facts.shape}, {facts.steps} steps, baseline {facts.port}[{facts.style}]"


def _missing(old: Results, new: Results) -> Iterator[str]:
    """What only one file has; a sentence for all arms of a group with one reason."""
    for name, has, lacks in (("NEW", old, new), ("OLD", new, old)):
        there = {b.facts.id for b in lacks.benchmarks}
        reasons = {untimed.id: untimed.reason.rstrip(".") for untimed in lacks.untimed}
        found: dict[tuple[str, str], list[str]] = {}
        for b in has.benchmarks:
            if b.facts.id not in there:
                unavailable = reasons.get(f"{b.group}/{b.facts.port}[?]", "")  # the styles were not known there
                found.setdefault((b.group, reasons.get(b.facts.id, unavailable)), []).append(b.name)
        for (group, reason), names in found.items():
            whole = len(names) == len(has.groups()[group])
            what = f"all {len(names)} arms" if whole else ", ".join(names)
            yield f"{group}: {what} missing in {name}" + (f": {reason}" if reason else "")


def _notes_of_files(old: Results, new: Results) -> Iterator[str]:
    was, now = old.trigru, new.trigru
    if new.datetime < old.datetime:
        yield f"NEW was measured before OLD ({new.datetime[:16]}, {old.datetime[:16]}): are they swapped?"
    if versions := was.machine.differences(msgspec.structs.replace(was.machine, versions=now.machine.versions)):
        yield f"Versions: {'; '.join(versions)}."
    if was.machine.commit != now.machine.commit:
        yield f"Commit of trigru: {now.machine.commit or 'unknown'}, was {was.machine.commit or 'unknown'}."
    if was.plan.sample_time_s != now.plan.sample_time_s:
        yield (
            f"Samples last at least {format_time(now.plan.sample_time_s)}, were {format_time(was.plan.sample_time_s)}."
        )
    single = [name for name, results in (("OLD", old), ("NEW", new)) if _has_one_process(results)]
    if single:
        yield (
            f"One process alone in {' and '.join(single)}: intervals do not know how processes differ, and are too "
            "narrow. Measure with --processes 5 before you believe a small change."
        )


def _busy(old: Results, new: Results) -> Iterator[str]:
    for name, results in (("OLD", old), ("NEW", new)):
        for warning in load_warnings(results.trigru):
            yield f"{name} may be too noisy to tell. {warning}"


def _noisy(changes: list[Change]) -> Iterator[str]:
    floors = {change.group: change.floor for change in changes}
    noisy = [f"{short_group(group)} (±{floor:.0%})" for group, floor in floors.items() if floor > TOO_NOISY]
    if noisy:
        yield (
            f"Too noisy to tell: {', '.join(noisy)}. These noise floors are above {TOO_NOISY:.0%}. Measure again "
            "on an idle machine."
        )


def _has_one_process(results: Results) -> bool:
    return any(len(set(b.facts.process)) == 1 for b in results.benchmarks)


def _notes_of_changes(changes: list[Change], fail_above: float, absolute: bool) -> Iterator[str]:
    baselines = {change.group: change.comparison.ratio for change in changes if change.role == "baseline"}
    beyond = {group: r for group, r in baselines.items() if abs(np.log(r)) > np.log1p(fail_above)}
    if beyond:
        where = short_group(next(iter(beyond))) if len(beyond) == 1 else f"{len(beyond)} of {len(baselines)} groups"
        yield (
            f"{where}: pure[jit] itself took {_range(list(beyond.values()))} times as long; that is jax, or the "
            "machine. Ratios to it leave out what slows all alike."
        )
    by_group: dict[str, list[Change]] = {}
    for change in changes:
        by_group.setdefault(change.group, []).append(change)
    for group, of_group in by_group.items():
        arms = [change for change in of_group if change.role == "arm"]
        for way in ("slower", "faster"):
            moved = sum(change.verdict == way for change in arms)
            if 2 * moved > len(arms):
                suspect = (
                    "Jax, or the machine," if absolute else f"pure[jit], now {baselines[group]:.3f} times its old time,"
                )
                yield f"{short_group(group)}: {moved} of {len(arms)} arms are {way}. {suspect} may be what changed."
        for change in of_group:
            if change.role == "A/A" and change.moved and not absolute:
                yield (
                    f"{short_group(group)}: {change.name} (A/A) is {change.verdict} by the same measure, and is the "
                    "same code as pure[jit]: the noise is above the floor here. Measure again on an idle machine."
                )


def _range(ratios: list[float]) -> str:
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return low if low == high else f"{low} to {high}"


def _baseline(benchmarks: list[Benchmark]) -> Benchmark:
    return next(b for b in benchmarks if b.facts.is_baseline)


def _groups(results: Results) -> str:
    return ", ".join(results.groups()) or "nothing"
