"""What changed between two runs: tables, and the sentences below them."""

from collections.abc import Iterator

from ...common.errors import InputError
from ..analysis.diff import TOO_NOISY, Change, Diff, Problem
from ..analysis.equality import Proof
from ..results.record import Results
from ..timing.machine import version_differences
from .equality import label
from .numbers import count, format_time, from_to
from .provenance import load_warnings, short_group
from .sections import Prose, Section, Words

#: The option that accepts a kind of problem.
ALLOWED_BY = {
    "interrupted": "--allow-missing",
    "work": "--allow-missing",
    "missing": "--allow-missing",
    "machine": "--allow-other-machine",
    "precision": "--allow-other-machine",
}


def check_comparable(diff: Diff) -> None:
    """Raise InputError if there is nothing to compare: no arm in common, and no proof of equality in both files."""
    if any(change.role == "arm" for change in diff.changes) or any(p.old and p.new for p in diff.proofs):
        return
    common = ", ".join(dict.fromkeys(change.arm.name for change in diff.changes))
    but = f" but {common}, whose ratio to itself says nothing" if common else ""
    other_work = [_sentence(problem) for problem in diff.problems if problem.what == "work"]
    old, new = (", ".join(results.groups()) or "nothing" for results in (diff.old, diff.new))
    why = "; ".join(other_work) or f"OLD has {old}; NEW has {new}"
    raise InputError(f"the files have no arm in common{but}. {why}. Measure the same workloads, phases and ports.")


def diff_summary(diff: Diff) -> str:
    """The outcome in a line or two, then a line for each reason to doubt it."""
    lines = [f"{label(p.port, p.kernel)} was proven equal before and is not now." for p in diff.lost_proofs]
    judged = sum(change.role == "arm" for change in diff.changes)
    slow = diff.regressions
    named = f": {', '.join(change.arm.id for change in slow)}" if slow else ""
    lines.append(
        f"{len(slow) or 'none'} of {judged} arms slower than before by more than {diff.fail_above:.1%}{named}."
    )
    refused = [problem for problem in diff.problems if not problem.allowed]
    if refused:
        options = " ".join(dict.fromkeys(ALLOWED_BY[problem.what] for problem in refused))
        lines.append(
            f"The files do not compare ({count(len(refused), 'reason')}). Measure alike, or accept it: {options}."
        )
    return "\n".join([*lines, *_doubts(diff)])


def diff_tables(diff: Diff) -> list[Section]:
    """Problems, then what was proven, what changed, and the baseline itself; as details, every arm of every group."""
    baselines = [change for change in diff.changes if change.role == "baseline"]
    sections = [_problems(diff)] if diff.problems else []
    sections += [_equality(diff)] if diff.proofs else []
    sections += [_moved(diff)]
    sections += [_baselines(baselines)] if baselines else []
    return sections + [_group(diff, changes) for changes in diff.by_group().values()]


def _problems(diff: Diff) -> Section:
    rows = [
        (f"{_sentence(problem)}.", f"accepted by {ALLOWED_BY[problem.what]}" if problem.allowed else "FAILED")
        for problem in diff.problems
    ]
    return Section("Where the files do not compare", (Prose("reason"), Words("status")), rows)


def _sentence(problem: Problem) -> str:
    if problem.what == "interrupted":
        return f"{problem.file} is of a run that was interrupted: not all was measured"
    if problem.what == "machine":
        return f"NEW was measured on another machine or in another environment: {problem.now}"
    if problem.what == "precision":
        return f"NEW was measured in another precision of matrix products: {problem.now!r}, was {problem.was!r}"
    if problem.what == "work":
        return f"{problem.group} is other work, and not compared: {problem.now}, was {problem.was}"
    what = ", ".join(problem.names) or f"all {problem.count} arms"
    return f"{problem.group}: {what} missing in {problem.file}" + (f": {problem.reason}" if problem.reason else "")


def _equality(diff: Diff) -> Section:
    rows = []
    for change in diff.proofs:
        if change.is_lost:
            said = "FAILED"
        elif change.old is None or change.new is None:
            said = "asked in one file alone"
        elif change.old.is_equal:
            said = "equal, as before"
        else:
            said = "equal now" if change.new.is_equal else "not equal, as before"
        rows.append((label(change.port, change.kernel), _proof(change.old), _proof(change.new), said))
    return Section(
        "Equality with the NumPy oracle",
        ("port", Prose("old"), Prose("new"), Words("status")),
        rows,
        ("Error: the largest in float64; 1e-12 is allowed. %: the largest share of the allowed error in others.",),
    )


def _proof(proof: Proof | None) -> str:
    if proof is None:
        return "not asked"
    if not proof.is_equal:
        return f"{proof.failures} of {count(proof.measurements, 'measurement')} failed: {', '.join(proof.failed)}"
    error = [f"error {proof.worst_error:.0e}"] if proof.worst_error is not None else []
    share = [f"{proof.worst_share:.0%}"] if proof.worst_share is not None else []
    return ", ".join([count(proof.measurements, "measurement"), *error, *share])


def _moved(diff: Diff) -> Section:
    moved = sorted(
        (change for change in diff.changes if change.moved),
        key=lambda change: (not change.regression, -change.comparison.ratio),
    )
    rows = [
        (short_group(change.arm), change.arm.name, _interval(change), f"±{change.floor:.1%}", _verdict(change))
        for change in moved
    ]
    arms = [change for change in diff.changes if change.role == "arm" and not change.moved]
    lost = sum(change.lost_in_noise for change in arms)
    others = len(arms) - lost
    above = " that shows above the noise" if lost else ""
    return Section(
        f"Changes of {_measure(diff)}" if rows else f"No change of {_measure(diff)}{above}",
        ("workload", Prose("arm"), "new / old", "floor", Words("verdict")),
        rows,
        (
            *([f"Indistinguishable from before: {others} arms; --details lists them."] if others else []),
            *([f"Too noisy to tell: {lost} arms; --details lists them."] if lost else []),
            "Below 1 is faster. A verdict needs a 95 % interval that excludes 1 and a change above the floor, which is "
            "the larger of the two runs' noise floors. A row says FAILED where an arm is slower by more than "
            f"{diff.fail_above:.1%}.",
            *_doubts(diff),
            *_notes(diff),
        ),
    )


def _baselines(changes: list[Change]) -> Section:
    rows = [
        (short_group(change.arm), format_time(change.old_time_s), format_time(change.new_time_s), _interval(change))
        for change in changes
    ]
    note = (
        "Median times per call, and new / old with its 95 % interval. There is no verdict: the machine itself may have "
        "become faster or slower between the two runs."
    )
    return Section("pure[jit] itself", ("workload", "old", "new", "new / old"), rows, (note,))


def _group(diff: Diff, changes: list[Change]) -> Section:
    arm = changes[0].arm
    rows = [
        (
            change.arm.name,
            format_time(change.old_time_s),
            format_time(change.new_time_s),
            "1 (baseline)" if change.role == "baseline" else _interval(change),
            f"±{change.floor:.1%}",
            _verdict(change),
        )
        for change in changes
    ]
    return Section(
        f"{short_group(arm)}: {arm.dtype}, kernel {arm.division}, change of {_measure(diff)}",
        (Prose("arm"), "old", "new", "new / old", "floor", Words("verdict")),
        rows,
        ("old and new are median times per call. The change need not equal their quotient.",),
        detail=True,
    )


def _doubts(diff: Diff) -> Iterator[str]:
    """Reasons why the runs may be too noisy to tell."""
    for name, results in (("OLD", diff.old), ("NEW", diff.new)):
        for warning in load_warnings(results.trigru):
            yield f"{name} may be too noisy to tell. {warning}"
    groups = _shown(diff)
    noisy = [f"{groups[group]} (±{floor:.0%})" for group, floor in diff.noisy_groups().items()]
    if noisy:
        yield (
            f"Too noisy to tell: {', '.join(noisy)}. These noise floors are above {TOO_NOISY:.0%}. Measure again on an "
            "idle machine."
        )


def _notes(diff: Diff) -> Iterator[str]:
    """Facts that a reader should know, but that are no reason to fail."""
    old, new = diff.old, diff.new
    was, now = old.trigru, new.trigru
    if new.datetime < old.datetime:
        yield f"NEW was measured before OLD ({new.datetime[:16]}, {old.datetime[:16]}): are they swapped?"
    if versions := version_differences(was.machine.versions, now.machine.versions):
        yield f"Versions: {'; '.join(versions)}."
    if was.machine.commit != now.machine.commit:
        yield f"Commit of trigru: {now.machine.commit or 'unknown'}, was {was.machine.commit or 'unknown'}."
    samples = [format_time(facts.plan.sample_time_s) for facts in (now, was)]
    if samples[0] != samples[1]:
        yield f"Samples last at least {samples[0]}, were {samples[1]}."
    single = [name for name, results in (("OLD", old), ("NEW", new)) if _has_one_process(results)]
    if single:
        yield (
            f"One process alone in {' and '.join(single)}: the intervals do not contain the difference between "
            "processes, so they are too narrow. Measure with --processes 5 before you believe a small change."
        )
    unasked = [name for name, results in (("OLD", old), ("NEW", new)) if results.trigru.equality is None]
    if unasked:
        yield (
            f"{' and '.join(unasked)}: no proof of equality. Only each arm's first results were compared with the "
            "oracle. `trigru compare` proves equality before it times."
        )
    yield from _suspicions(diff)


def _suspicions(diff: Diff) -> Iterator[str]:
    """Signs that the baseline, or the noise, is what changed."""
    groups, ratios, beyond = _shown(diff), diff.baseline_ratios(), diff.moved_baselines()
    if beyond:
        where = groups[next(iter(beyond))] if len(beyond) == 1 else f"{len(beyond)} of {len(ratios)} groups"
        times = from_to(f"{min(beyond.values()):.2f}", f"{max(beyond.values()):.2f}")
        yield (
            f"{where}: pure[jit] itself took {times} times as long; that is jax, or the machine. Ratios to it do "
            "not show what slows all arms alike."
        )
    for group, way, moved, arms in diff.majorities():
        baseline = (
            "Jax, or the machine," if diff.absolute else f"pure[jit], now {ratios[group]:.3f} times its old time,"
        )
        yield f"{groups[group]}: {moved} of {arms} arms are {way}. {baseline} may be what changed."
    for change in diff.changes:
        if change.role == "A/A" and change.moved and not diff.absolute:
            yield (
                f"{short_group(change.arm)}: {change.arm.name} (A/A) is {change.verdict} by the same measure, and is "
                "the same code as pure[jit]: the noise is above the floor here. Measure again on an idle machine."
            )


def _shown(diff: Diff) -> dict[str, str]:
    return {change.arm.group: short_group(change.arm) for change in diff.changes}


def _has_one_process(results: Results) -> bool:
    return any(len(set(b.facts.process)) == 1 for b in results.benchmarks)


def _measure(diff: Diff) -> str:
    return "time" if diff.absolute else "time / pure[jit]"


def _interval(change: Change) -> str:
    found = change.comparison
    return f"{_number(found.ratio)} [{_number(found.low)}, {_number(found.high)}]"


def _number(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 1000 else f"{ratio:.0e}"


def _verdict(change: Change) -> str:
    if change.regression:
        return "FAILED"
    if change.role == "A/A":
        return "A/A"
    return "too noisy to tell" if change.lost_in_noise else change.verdict
