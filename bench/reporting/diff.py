"""The changes between two runs: sentences on what they say together, then tables."""

from collections import Counter
from collections.abc import Iterable, Sequence

from ...common.errors import UnjudgedError, listed
from ..analysis.diff import TOO_NOISY, ArmChange, Diff, Problem
from ..results.machine import version_differences
from .console import Prose, Section, Words
from .equality import label
from .naming import load_warnings, short_group
from .numbers import count, format_interval, format_time, from_to

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
    lines = [_equality(diff), _speed(diff)]
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
    lost = []
    for proof in diff.lost_proofs:
        lost.append(f"{label(proof.port, proof.kernel)}: {listed(proof.newly_failed)}")
    if lost:
        return f"Equality: FAILED now: {'; '.join(lost)}."
    checked = [proof for proof in diff.proofs if proof.old and proof.new]
    if not checked:
        return "Equality: no port was checked in both runs."
    names = listed(label(proof.port, proof.kernel) for proof in checked)
    return f"Equality: no check of {names} fails that passed before."


def _speed(diff: Diff) -> str:
    words = Counter(map(_verdict, diff.judged))
    parts = [f"{number} {word}" for word, number in sorted(words.items())]
    arms = count(len(diff.judged), "arm")
    return f"Speed of {arms}: {', '.join(parts) or 'none is in both files'}."


def _failures(diff: Diff) -> list[str]:
    """Why the exit code is not 0, beside equality; or what was accepted."""
    lines = []
    why = "; ".join(dict.fromkeys(problem.reason for problem in diff.problems))
    if why and diff.anyway:
        lines.append(f"Accepted by --anyway: {why}.")
    elif why:
        lines.append(
            f"FAILED: the files do not compare: {why}. Measure alike, or accept it: "
            "--anyway."
        )
    if diff.regressions:
        arms = count(len(diff.regressions), "arm")
        names = listed(dict.fromkeys(change.arm.name for change in diff.regressions))
        lines.append(
            f"FAILED: {arms} slower by more than {diff.fail_above:.1%} ({names}). "
            "--fail-above accepts more."
        )
    return lines


def _doubts(diff: Diff) -> list[str]:
    """Why the sentences may be wrong: swapped files, a busy machine, few processes."""
    lines = []
    if diff.new.datetime < diff.old.datetime:
        days = f"{diff.new.datetime[:16]}, {diff.old.datetime[:16]}"
        lines.append(f"NEW was measured before OLD ({days}): are they swapped?")
    for name, run in (("OLD", diff.old), ("NEW", diff.new)):
        for warning in load_warnings(run.trigru):
            lines.append(f"{name} may be too noisy to tell. {warning}")
        if any(len(b.processes) == 1 for b in run.benchmarks):
            lines.append(
                f"{name} has one process alone: the intervals do not contain the "
                "difference between processes, so they are too narrow. Measure with "
                "--processes 5 before you believe a small change."
            )
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


def _groups(diff: Diff, groups: Iterable[str]) -> str:
    names = {change.arm.group: short_group(change.arm) for change in diff.changes}
    return _named([names[group] for group in groups])


def _named(groups: Sequence[str]) -> str:
    """Names of groups, or how many they are, if they are many."""
    if len(groups) > MOST_NAMED:
        return count(len(groups), "group")
    return ", ".join(groups)


def diff_tables(diff: Diff) -> list[Section]:
    """Problems, then what changed; as a detail, every arm with the baseline."""
    tables = []
    if diff.problems:
        columns = (Prose("reason"), Prose("what"))
        rows = [_problem_row(problem) for problem in diff.problems]
        tables.append(Section("Where the files do not compare", columns, rows))
    if diff.moved:
        tables.append(_moved_table(diff))
    if diff.changes:
        tables.append(_arm_table(diff))
    return tables


def _problem_row(problem: Problem) -> tuple[str, str]:
    if not problem.arms:
        return problem.reason, problem.detail
    arms = f"{count(len(problem.arms), 'arm')} of {problem.arms[0].port}"
    where = _named(list(dict.fromkeys(map(short_group, problem.arms))))
    what = f"{where}: {problem.detail}" if problem.detail else where
    return f"{arms} {problem.reason}", what


def _moved_table(diff: Diff) -> Section:
    rows = []
    for change in diff.moved:
        rows.append((short_group(change.arm), change.arm.name, *_change_cells(change)))
    columns = ("workload", Prose("arm"), "new / old", "floor", Words("verdict"))
    note = _VERDICT.format(diff.fail_above)
    return Section(f"Changes of {_MEASURE}", columns, rows, (note,))


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
    if change.moved and not change.believed:
        return f"{change.verdict}, maybe by chance"
    if change.lost_in_noise:
        return "too noisy to tell"
    return change.verdict
