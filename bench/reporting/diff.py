"""Tables of what changed between two results files."""

from ..analysis.diff import ALLOWED_BY, Change, Diff
from .sections import Section, format_time
from .times import short_group

__all__ = ["diff_tables"]


def diff_tables(diff: Diff) -> list[Section]:
    """Problems, then what moved, then the baseline itself; every arm of every group as details."""
    groups: dict[str, list[Change]] = {}
    for change in diff.changes:
        groups.setdefault(change.group, []).append(change)
    baselines = [change for change in diff.changes if change.role == "baseline"]
    return [
        *([_problems(diff)] if diff.problems else []),
        _moved(diff),
        *([_baselines(baselines)] if baselines else []),
        *(_group(diff, group, changes) for group, changes in groups.items()),
    ]


def _problems(diff: Diff) -> Section:
    rows = [
        (
            f"{problem.sentence}.",
            f"accepted by {ALLOWED_BY[problem.kind]}" if problem.allowed else "FAILED",
        )
        for problem in diff.problems
    ]
    return Section("Where the files do not compare", ("reason", "status"), rows)


def _moved(diff: Diff) -> Section:
    moved = sorted(
        (change for change in diff.changes if change.moved),
        key=lambda change: (not change.regression, -change.comparison.ratio),
    )
    rows = [
        (short_group(change.group), change.name, _interval(change), f"±{change.floor:.1%}", _verdict(change))
        for change in moved
    ]
    arms = [change for change in diff.changes if change.role == "arm" and not change.moved]
    lost = sum(change.lost_in_noise for change in arms)
    others = len(arms) - lost
    title = f"Changes of {_measure(diff)}" if rows else f"No change of {_measure(diff)}"
    title += " that shows above the noise" if lost and not rows else ""
    return Section(
        title,
        ("workload", "arm", "new / old", "floor", "verdict"),
        rows,
        (
            *([f"Indistinguishable from before: {others} arms; --details lists them."] if others else []),
            *([f"Too noisy to tell: {lost} arms; --details lists them."] if lost else []),
            "Below 1 is faster. A verdict needs a 95 % interval without 1 and a change above the floor, the larger of "
            f"the two runs'. A row says FAILED where an arm is slower by more than {diff.fail_above:.1%}.",
            *diff.doubts,
            *diff.notes,
        ),
    )


def _baselines(changes: list[Change]) -> Section:
    rows = [
        (
            short_group(change.group),
            format_time(change.old_time_s),
            format_time(change.new_time_s),
            _interval(change),
        )
        for change in changes
    ]
    note = "Median times a call, and their 95 % interval. Not judged: the two runs had each its own machine's mood."
    return Section("pure[jit] itself", ("workload", "old", "new", "new / old"), rows, (note,))


def _group(diff: Diff, group: str, changes: list[Change]) -> Section:
    _, _, dtype, kernel = group.split("/")
    rows = [
        (
            change.name,
            format_time(change.old_time_s),
            format_time(change.new_time_s),
            "1 (baseline)" if change.role == "baseline" else _interval(change),
            f"±{change.floor:.1%}",
            _verdict(change),
        )
        for change in changes
    ]
    return Section(
        f"{short_group(group)}: {dtype}, kernel {kernel}, change of {_measure(diff)}",
        ("arm", "old", "new", "new / old", "floor", "verdict"),
        rows,
        ("old and new are median times a call; the change need not be their quotient.",),
        detail=True,
    )


def _measure(diff: Diff) -> str:
    return "time" if diff.absolute else "time / pure[jit]"


def _interval(change: Change) -> str:
    ratio, low, high = (_number(x) for x in (change.comparison.ratio, change.comparison.low, change.comparison.high))
    return f"{ratio} [{low}, {high}]"


def _number(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 1000 else f"{ratio:.0e}"


def _verdict(change: Change) -> str:
    if change.regression:
        return "FAILED"
    if change.role == "A/A":
        return "A/A"
    return "too noisy to tell" if change.lost_in_noise else change.verdict
