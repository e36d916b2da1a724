"""The changes between two runs: sentences on what they say together, then tables."""

from collections.abc import Iterable, Iterator
from math import inf

from ...common.errors import UnjudgedError, listed
from ..analysis.diff import TOO_NOISY, ArmChange, Diff, Problem, ProofChange
from ..results.grouping import grouped
from ..results.machine import version_differences
from ..results.proof import Proof
from .console import Prose, Section, Words
from .equality import label
from .naming import load_warnings, short_group
from .numbers import count, format_interval, format_time, from_to

#: Rows of what moved; more are in the details.
MOST_ROWS = 15
#: More groups than this are counted, not named.
NAMED = 3
_MEASURE = "time / pure[jit]"
_VERDICT = (
    "Below 1 is faster. A verdict needs a 95 % interval that excludes 1 and a change above the floor, which is the "
    "larger of the two runs' noise floors. A row says FAILED where an arm is slower by more than {:.1%}, and that is "
    "beyond chance among all arms together."
)
_EVERY_ARM = (
    "old and new are median times per call. The change need not equal their quotient. That of pure[jit] is of its "
    "time, and gets no verdict: the machine itself may have become faster or slower."
)


def check_comparable(diff: Diff) -> None:
    """Raise UnjudgedError if there is nothing to compare: no arm in common, and no proof of equality in both files."""
    if diff.judged or any(p.old and p.new for p in diff.proofs):
        return
    old, new = (
        ", ".join(results.groups()) or "nothing" for results in (diff.old, diff.new)
    )
    raise UnjudgedError(
        f"the files have no arm in common to judge. OLD has {old}; NEW has {new}. Measure the same workloads, phases "
        "and ports."
    )


def outcome(diff: Diff) -> list[str]:
    """What became of equality, speed and the baseline; then what was upgraded, what fails, and reasons to doubt it."""
    versions = version_differences(
        diff.old.trigru.machine.versions, diff.new.trigru.machine.versions
    )
    by_status = grouped(diff.proofs, _status).items()
    proofs = "; ".join(
        f"{listed(label(p.port, p.kernel) for p in of)}: {status}"
        for status, of in by_status
    )
    lines = [
        f"Equality: {proofs or 'no port has a proof in either file'}.",
        f"Speed: {_speed(diff.judged)}.",
    ]
    if beyond := diff.moved_baselines():
        times = from_to(beyond.values(), "{:.2f}".format)
        lines.append(
            f"pure[jit] itself, which the others are compared with, took {times} times as long in "
            f"{_groups(diff, beyond)}; that is jax, or the machine."
        )
    lines.append(f"Versions: {'; '.join(versions) or 'the same in both files'}.")
    return [*lines, *_doubts(diff)]


def _status(change: ProofChange) -> str:
    if change.newly_failed:
        return f"FAILED now: {', '.join(change.newly_failed)}"
    if change.old is None or change.new is None:
        return "checked in one file alone"
    if change.new.is_equal and not change.old.is_equal:
        return "equal now, not before"
    return f"{'' if change.new.is_equal else 'not '}equal, as before"


def _speed(judged: list[ArmChange]) -> str:
    if not judged:
        return "no arm is timed in both files"
    parts = []
    for believed, verbs, doubt in (
        (True, ("is", "are"), ""),
        (False, ("seems", "seem"), ", maybe by chance"),
    ):
        for way in ("slower", "faster"):
            if some := [
                c for c in judged if c.verdict == way and c.believed == believed
            ]:
                parts.append(
                    f"{len(some)} {verbs[len(some) > 1]} {way}{doubt} ({_by_port(some, judged)})"
                )
    if not any(change.believed for change in judged):
        ratios = [change.comparison for change in judged]
        # infinite where no number holds the ratio
        reach = from_to(
            (c.high / c.ratio - 1 if 0 < c.ratio < inf else inf for c in ratios),
            "±{:.1%}".format,
        )
        parts.insert(
            0,
            f"none is faster or slower than before, relative to pure[jit] (intervals of {reach})",
        )
    if lost := sum(change.lost_in_noise for change in judged):
        parts.append(f"{lost} {'is' if lost == 1 else 'are'} too noisy to tell")
    return f"of {count(len(judged), 'arm')}, {'; '.join(parts)}"


def _doubts(diff: Diff) -> Iterator[str]:
    """Why the exit code is not 0, beside equality, and what was accepted; then reasons to doubt the rest."""
    why = "; ".join(
        f"{count(arms, 'arm')} {reason}"
        if (arms := sum(len(problem.arms) for problem in alike))
        else reason
        for reason, alike in grouped(
            diff.problems, lambda problem: problem.reason
        ).items()
    )
    if why and diff.anyway:
        yield f"Accepted by --anyway: {why}."
    elif why:
        yield f"FAILED: the files do not compare: {why}. Measure alike, or accept it: --anyway."
    if slow := diff.regressions:
        arms = f"{count(len(slow), 'arm')} slower by more than {diff.fail_above:.1%}"
        yield f"FAILED: {arms} ({_by_port(slow, diff.judged)}). --fail-above accepts more."
    if diff.new.datetime < diff.old.datetime:
        days = f"{diff.new.datetime[:16]}, {diff.old.datetime[:16]}"
        yield f"NEW was measured before OLD ({days}): are they swapped?"
    for name, results in (("OLD", diff.old), ("NEW", diff.new)):
        yield from (
            f"{name} may be too noisy to tell. {warning}"
            for warning in load_warnings(results.trigru)
        )
    if noisy := {
        change.arm.group: change.floor
        for change in diff.changes
        if change.floor > TOO_NOISY
    }:
        floors = f"noise floors of {from_to(noisy.values(), '±{:.0%}'.format)}, above {TOO_NOISY:.0%}"
        yield f"Too noisy to tell in {_groups(diff, noisy)}: {floors}. Measure again on an idle machine."


def _by_port(changes: Iterable[ArmChange], judged: Iterable[ArmChange]) -> str:
    some, all_of = (
        grouped(of, lambda c: label(c.arm.port, c.arm.kernel))
        for of in (changes, judged)
    )
    return ", ".join(
        f"{port} {len(found)} of {len(all_of[port])}" for port, found in some.items()
    )


def _groups(diff: Diff, groups: Iterable[str]) -> str:
    """Groups by their names, or how many of all, if they are many."""
    names = {change.arm.group: short_group(change.arm) for change in diff.changes}
    some = list(dict.fromkeys(groups))
    if len(some) <= NAMED:
        return ", ".join(names[group] for group in some)
    return (
        f"all {len(some)} groups"
        if len(some) == len(names)
        else f"{len(some)} of {len(names)} groups"
    )


def diff_tables(diff: Diff) -> list[Section]:
    """Problems, then what was proven and what changed; as a detail, the baseline and every arm of every group."""
    tables = []
    if diff.problems:
        note = (
            "" if diff.anyway else "The files do not compare in full: exit code 125. "
        )
        title, columns = (
            "Where the files do not compare",
            (Prose("reason"), Prose("what")),
        )
        tables.append(
            Section(
                title,
                columns,
                list(map(_problem, diff.problems)),
                (f"{note}--anyway accepts them.",),
            )
        )
    if diff.proofs:
        rows = [
            (label(p.port, p.kernel), _proof(p.old), _proof(p.new), _status(p))
            for p in diff.proofs
        ]
        columns = ("port", Prose("old"), Prose("new"), Words("status"))
        note = "Error: the largest in float64; 1e-12 is allowed. %: the largest share that other dtypes used of theirs."
        tables.append(Section("Equality with the NumPy oracle", columns, rows, (note,)))
    tables.append(_moved(diff))
    if diff.changes:
        rows = [
            (
                short_group(c.arm),
                c.arm.name,
                format_time(c.old_time_s),
                format_time(c.new_time_s),
                *_cells(c),
            )
            for c in diff.changes
        ]
        columns = (
            Prose("workload"),
            Words("arm"),
            "old",
            "new",
            "new / old",
            "floor",
            Words("verdict"),
        )
        tables.append(
            Section(
                f"Every arm: change of {_MEASURE}",
                columns,
                rows,
                (_EVERY_ARM,),
                detail=True,
            )
        )
    return tables


def _problem(problem: Problem) -> tuple[str, str]:
    if not problem.arms:
        return problem.reason, problem.detail
    places = grouped(problem.arms, short_group).items()
    where = [f"{group} {', '.join(arm.name for arm in arms)}" for group, arms in places]
    shown = "; ".join(where) if len(where) <= NAMED else f"{len(where)} groups"
    arms = f"{count(len(problem.arms), 'arm')} of {problem.arms[0].port}"
    return f"{arms} {problem.reason}", ": ".join(
        part for part in (shown, problem.detail) if part
    )


def _proof(proof: Proof | None) -> str:
    if proof is None:
        return "not checked"
    if not proof.is_equal:
        return f"{proof.failures} of {count(proof.measurements, 'measurement')} failed: {', '.join(proof.failed)}"
    error = "" if proof.worst_error is None else f", error {proof.worst_error:.0e}"
    share = "" if proof.worst_share is None else f", {proof.worst_share:.0%}"
    return f"{count(proof.measurements, 'measurement')}{error}{share}"


def _moved(diff: Diff) -> Section:
    moved = [
        (short_group(change.arm), change.arm.name, *_cells(change))
        for change in diff.moved
    ]
    lost = sum(change.lost_in_noise for change in diff.judged)
    unmoved = sum(not change.moved for change in diff.judged) - lost
    rest = {
        "Moved, too": len(moved) - MOST_ROWS,
        "Not moved": unmoved,
        "Too noisy to tell": lost,
    }
    notes = [
        f"{what}: {number} arms; --details lists them."
        for what, number in rest.items()
        if number > 0
    ]
    notes += [_VERDICT.format(diff.fail_above)] if moved else []
    was, now = (
        results.trigru.machine.commit or "unknown" for results in (diff.old, diff.new)
    )
    notes += [f"Commit of trigru: {now}, was {was}."] * (was != now)
    files = {"OLD": diff.old, "NEW": diff.new}
    if single := [
        name
        for name, run in files.items()
        if any(len({*b.process}) == 1 for b in run.benchmarks)
    ]:
        notes.append(
            f"One process alone in {' and '.join(single)}: the intervals do not contain the difference between "
            "processes, so they are too narrow. Measure with --processes 5 before you believe a small change."
        )
    if unproven := [
        name for name, run in files.items() if run.trigru.begun.equality is None
    ]:
        notes.append(
            f"{' and '.join(unproven)}: no proof of equality. Only each arm's first results were compared with the "
            "oracle. `trigru compare` proves equality before it times."
        )
    title = (
        f"Changes of {_MEASURE}"
        if moved
        else f"No change of {_MEASURE} above the noise"
    )
    columns = ("workload", Prose("arm"), "new / old", "floor", Words("verdict"))
    return Section(title, columns, moved[:MOST_ROWS], tuple(notes))


def _cells(change: ArmChange) -> tuple[str, str, str]:
    word = "too noisy to tell" if change.lost_in_noise else change.verdict
    word = (
        "FAILED"
        if change.regression
        else "A/A"
        if change.arm.role == "duplicate"
        else word
    )
    return format_interval(change.comparison), f"±{change.floor:.1%}", word
