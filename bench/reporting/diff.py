"""The changes between two runs: sentences on what they say together, then tables."""

from collections.abc import Iterable
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
MOST_NAMED = 3
_MEASURE = "time / pure[jit]"
_VERDICT = (
    "Below 1 is faster. A verdict needs a 95 % interval that excludes 1 and a change "
    "above the floor, which is the larger of the two runs' noise floors. A row says "
    "FAILED where an arm is slower by more than {:.1%}, and that is beyond chance "
    "among all arms together."
)
_EVERY_ARM = (
    "old and new are times of a call. A change is of the ratio to pure[jit], and not "
    "their quotient. That of pure[jit] is of its time, and gets no verdict: the "
    "machine itself may have become faster or slower."
)
_OF_PROOFS = (
    "Error: the largest in float64; 1e-12 is allowed. %: the largest share that other "
    "dtypes used of theirs."
)


def check_comparable(diff: Diff) -> None:
    """Raise an UnjudgedError if the files have no arm and no proof in common."""
    has_proof = any(proof.old and proof.new for proof in diff.proofs)
    if diff.judged or has_proof:
        return
    old = ", ".join(diff.old.groups()) or "nothing"
    new = ", ".join(diff.new.groups()) or "nothing"
    raise UnjudgedError(
        f"the files have no arm in common to judge. OLD has {old}; NEW has {new}. "
        "Measure the same workloads, phases and ports."
    )


def outcome(diff: Diff) -> list[str]:
    """What became of equality, speed, the baseline and the versions.

    Then what fails, and reasons to doubt the rest.
    """
    lines = [f"Equality: {_equality(diff)}.", f"Speed: {_speed(diff.judged)}."]
    baselines = diff.moved_baselines()
    if baselines:
        times = from_to(baselines.values(), "{:.2f}".format)
        lines.append(
            f"pure[jit] itself, which the others are compared with, took {times} times "
            f"as long in {_groups(diff, baselines)}; that is jax, or the machine."
        )
    versions = version_differences(
        diff.old.trigru.machine.versions, diff.new.trigru.machine.versions
    )
    lines.append(f"Versions: {'; '.join(versions) or 'the same in both files'}.")
    return [*lines, *_failures(diff), *_doubts(diff)]


def _equality(diff: Diff) -> str:
    parts = []
    for status, proofs in grouped(diff.proofs, _status).items():
        ports = listed(label(proof.port, proof.kernel) for proof in proofs)
        parts.append(f"{ports}: {status}")
    return "; ".join(parts) or "no port has a proof in either file"


def _status(change: ProofChange) -> str:
    if change.newly_failed:
        return f"FAILED now: {', '.join(change.newly_failed)}"
    if change.old is None or change.new is None:
        return "checked in one file alone"
    if not change.new.is_equal:
        return "not equal, as before"
    return "equal, as before" if change.old.is_equal else "equal now, not before"


def _speed(judged: list[ArmChange]) -> str:
    if not judged:
        return "no arm is timed in both files"
    believed = [change for change in judged if change.believed]
    doubted = [change for change in judged if not change.believed]
    parts = []
    if not believed:
        parts.append(
            "none is faster or slower than before, relative to pure[jit] (intervals of "
            f"{_reach(judged)})"
        )
    for verdict in ("slower", "faster"):
        parts += _moved_arms(believed, verdict, judged)
    for verdict in ("slower", "faster"):
        parts += _seemingly_moved_arms(doubted, verdict, judged)
    lost = sum(change.lost_in_noise for change in judged)
    if lost:
        parts.append(f"{lost} {_are(lost)} too noisy to tell")
    return f"of {count(len(judged), 'arm')}, {'; '.join(parts)}"


def _moved_arms(
    changes: list[ArmChange], verdict: str, judged: list[ArmChange]
) -> list[str]:
    moved = [change for change in changes if change.verdict == verdict]
    if not moved:
        return []
    return [f"{len(moved)} {_are(len(moved))} {verdict} ({_by_port(moved, judged)})"]


def _seemingly_moved_arms(
    changes: list[ArmChange], verdict: str, judged: list[ArmChange]
) -> list[str]:
    moved = [change for change in changes if change.verdict == verdict]
    if not moved:
        return []
    seem = "seems" if len(moved) == 1 else "seem"
    ports = _by_port(moved, judged)
    return [f"{len(moved)} {seem} {verdict}, maybe by chance ({ports})"]


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _reach(changes: list[ArmChange]) -> str:
    """How far the intervals reach above their ratios."""
    reaches = []
    for change in changes:
        ratio = change.comparison.ratio
        # a ratio may be too large or too small for a number
        is_finite = 0 < ratio < inf
        reaches.append(change.comparison.high / ratio - 1 if is_finite else inf)
    return from_to(reaches, "±{:.1%}".format)


def _failures(diff: Diff) -> list[str]:
    """Why the exit code is not 0, beside equality; or what was accepted."""
    lines = []
    reasons = []
    by_reason = grouped(diff.problems, lambda problem: problem.reason)
    for reason, problems in by_reason.items():
        arms = sum(len(problem.arms) for problem in problems)
        reasons.append(f"{count(arms, 'arm')} {reason}" if arms else reason)
    why = "; ".join(reasons)
    if why and diff.anyway:
        lines.append(f"Accepted by --anyway: {why}.")
    elif why:
        lines.append(
            f"FAILED: the files do not compare: {why}. Measure alike, or accept it: "
            "--anyway."
        )
    if diff.regressions:
        arms = count(len(diff.regressions), "arm")
        ports = _by_port(diff.regressions, diff.judged)
        lines.append(
            f"FAILED: {arms} slower by more than {diff.fail_above:.1%} ({ports}). "
            "--fail-above accepts more."
        )
    return lines


def _doubts(diff: Diff) -> list[str]:
    """Why the sentences may be wrong: swapped files, or a busy machine."""
    lines = []
    if diff.new.datetime < diff.old.datetime:
        days = f"{diff.new.datetime[:16]}, {diff.old.datetime[:16]}"
        lines.append(f"NEW was measured before OLD ({days}): are they swapped?")
    for name, results in (("OLD", diff.old), ("NEW", diff.new)):
        for warning in load_warnings(results.trigru):
            lines.append(f"{name} may be too noisy to tell. {warning}")
    floors = {}
    for change in diff.changes:
        if change.floor > TOO_NOISY:
            floors[change.arm.group] = change.floor
    if floors:
        shown = from_to(floors.values(), "±{:.0%}".format)
        lines.append(
            f"Too noisy to tell in {_groups(diff, floors)}: noise floors of {shown}, "
            f"above {TOO_NOISY:.0%}. Measure again on an idle machine."
        )
    return lines


def _by_port(changes: Iterable[ArmChange], judged: Iterable[ArmChange]) -> str:
    """How many of the judged arms of each port, as "linen 1 of 4, nnx 2 of 4"."""
    judged_of = grouped(judged, _port_label)
    parts = []
    for port, of_port in grouped(changes, _port_label).items():
        parts.append(f"{port} {len(of_port)} of {len(judged_of[port])}")
    return ", ".join(parts)


def _port_label(change: ArmChange) -> str:
    return label(change.arm.port, change.arm.kernel)


def _groups(diff: Diff, groups: Iterable[str]) -> str:
    """Groups by their names, or how many of all, if they are many."""
    groups = list(dict.fromkeys(groups))
    names = {change.arm.group: short_group(change.arm) for change in diff.changes}
    if len(groups) <= MOST_NAMED:
        return ", ".join(names[group] for group in groups)
    if len(groups) == len(names):
        return f"all {len(groups)} groups"
    return f"{len(groups)} of {len(names)} groups"


def diff_tables(diff: Diff) -> list[Section]:
    """Problems, then what was proven and what changed.

    As a detail, the baseline and every arm of every group.
    """
    tables = []
    if diff.problems:
        tables.append(_problem_table(diff))
    if diff.proofs:
        tables.append(_proof_table(diff))
    tables.append(_moved_table(diff))
    if diff.changes:
        tables.append(_arm_table(diff))
    return tables


def _problem_table(diff: Diff) -> Section:
    note = "--anyway accepts them."
    if not diff.anyway:
        note = f"The files do not compare in full: exit code 125. {note}"
    rows = [_problem_row(problem) for problem in diff.problems]
    columns = (Prose("reason"), Prose("what"))
    return Section("Where the files do not compare", columns, rows, (note,))


def _problem_row(problem: Problem) -> tuple[str, str]:
    if not problem.arms:
        return problem.reason, problem.detail
    places = []
    for group, arms in grouped(problem.arms, short_group).items():
        places.append(f"{group} {', '.join(arm.name for arm in arms)}")
    where = "; ".join(places)
    if len(places) > MOST_NAMED:
        where = f"{len(places)} groups"
    if problem.detail:
        where = f"{where}: {problem.detail}"
    arms = f"{count(len(problem.arms), 'arm')} of {problem.arms[0].port}"
    return f"{arms} {problem.reason}", where


def _proof_table(diff: Diff) -> Section:
    rows = []
    for change in diff.proofs:
        port = label(change.port, change.kernel)
        old = _proof_cell(change.old)
        rows.append((port, old, _proof_cell(change.new), _status(change)))
    columns = ("port", Prose("old"), Prose("new"), Words("status"))
    return Section("Equality with the NumPy oracle", columns, rows, (_OF_PROOFS,))


def _proof_cell(proof: Proof | None) -> str:
    if proof is None:
        return "not checked"
    measured = count(proof.measurements, "measurement")
    if not proof.is_equal:
        return f"{proof.failures} of {measured} failed: {', '.join(proof.failed)}"
    parts = [measured]
    if proof.worst_error is not None:
        parts.append(f"error {proof.worst_error:.0e}")
    if proof.worst_share is not None:
        parts.append(f"{proof.worst_share:.0%}")
    return ", ".join(parts)


def _moved_table(diff: Diff) -> Section:
    rows = []
    for change in diff.moved:
        rows.append((short_group(change.arm), change.arm.name, *_change_cells(change)))
    title = f"No change of {_MEASURE} above the noise"
    if rows:
        title = f"Changes of {_MEASURE}"
    columns = ("workload", Prose("arm"), "new / old", "floor", Words("verdict"))
    return Section(title, columns, rows[:MOST_ROWS], tuple(_moved_notes(diff)))


def _moved_notes(diff: Diff) -> list[str]:
    lost = sum(change.lost_in_noise for change in diff.judged)
    counts = {
        "Moved, too": len(diff.moved) - MOST_ROWS,
        "Not moved": sum(not change.moved for change in diff.judged) - lost,
        "Too noisy to tell": lost,
    }
    notes = []
    for what, number in counts.items():
        if number > 0:
            notes.append(f"{what}: {number} arms; --details lists them.")
    if diff.moved:
        notes.append(_VERDICT.format(diff.fail_above))

    old_commit = diff.old.trigru.machine.commit or "unknown"
    new_commit = diff.new.trigru.machine.commit or "unknown"
    if old_commit != new_commit:
        notes.append(f"Commit of trigru: {new_commit}, was {old_commit}.")

    single = []
    unproven = []
    for name, run in (("OLD", diff.old), ("NEW", diff.new)):
        if any(len(set(b.process)) == 1 for b in run.benchmarks):
            single.append(name)
        if run.trigru.begun.equality is None:
            unproven.append(name)
    if single:
        notes.append(
            f"One process alone in {' and '.join(single)}: the intervals do not "
            "contain the difference between processes, so they are too narrow. Measure "
            "with --processes 5 before you believe a small change."
        )
    if unproven:
        notes.append(
            f"{' and '.join(unproven)}: no proof of equality. Only each arm's first "
            "results were compared with the oracle. `trigru compare` proves equality "
            "before it times."
        )
    return notes


def _arm_table(diff: Diff) -> Section:
    rows = []
    for change in diff.changes:
        times = (format_time(change.old_time_s), format_time(change.new_time_s))
        cells = _change_cells(change)
        rows.append((short_group(change.arm), change.arm.name, *times, *cells))
    columns = (
        Prose("workload"),
        Words("arm"),
        "old",
        "new",
        "new / old",
        "floor",
        Words("verdict"),
    )
    title = f"Every arm: change of {_MEASURE}"
    return Section(title, columns, rows, (_EVERY_ARM,), detail=True)


def _change_cells(change: ArmChange) -> tuple[str, str, str]:
    ratio = format_interval(change.comparison)
    return ratio, f"±{change.floor:.1%}", _verdict(change)


def _verdict(change: ArmChange) -> str:
    if change.regression:
        return "FAILED"
    if change.arm.role == "duplicate":
        return "A/A"
    if change.lost_in_noise:
        return "too noisy to tell"
    return change.verdict
