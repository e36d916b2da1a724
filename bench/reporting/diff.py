"""What changed between two runs: tables. What they say together stands in `outcome`."""

from ...common.errors import InputError
from ...common.gru.kernels import STOCK
from ..analysis.diff import Change, Diff, Move
from ..analysis.equality import Proof
from ..analysis.missing import Missing
from ..analysis.problems import Problem
from .equality import label
from .numbers import count, format_time, from_to
from .outcome import ALLOWED_BY, notes
from .provenance import short_group
from .sections import Prose, Section, Words

#: Rows of what moved; more are put together.
MOST_ROWS = 15
_VERDICT = (
    "Below 1 is faster. A verdict needs a 95 % interval that excludes 1 and a change above the floor, which is the "
    "larger of the two runs' noise floors. A row says FAILED where an arm is slower by more than {:.1%}, and that is "
    "beyond chance among all arms together."
)
TOGETHER = (
    "A row that counts arms puts those of one name, or of one port, together: new / old is the range of their changes. "
    "--details lists each, with its interval."
)


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


def diff_tables(diff: Diff) -> list[Section]:
    """Problems, then what was proven and what changed; as details, the baseline and every arm of every group."""
    baselines = [change for change in diff.changes if change.role == "baseline"]
    sections = [_problems(diff)] if diff.problems else []
    sections += [_missing(diff), _missing_arms(diff)] if diff.missing else []
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
    return f"{problem.group} is other work, and not compared: {problem.now}, was {problem.was}"


def _missing(diff: Diff) -> Section:
    """What one file lacks, in a row for each port or workload."""
    rows = [(m.file, _what(m), _where(m), str(len(m.arms)), m.reason) for m in diff.missing]
    reasons = any(m.reason for m in diff.missing)
    return Section(
        "Arms that are missing in one file",
        ("missing in", Prose("arms"), Prose("where"), "number", *([Prose("reason")] if reasons else [])),
        rows if reasons else [row[:-1] for row in rows],
        (
            f"{ALLOWED_BY['missing']} accepts them."
            if diff.allow_missing
            else f"The files do not compare in full: exit code 2. {ALLOWED_BY['missing']} accepts it.",
        ),
    )


def _what(missing: Missing) -> str:
    if missing.whole:
        return f"all of {missing.arms[0].workload}"
    return f"all of {missing.arms[0].port}" if missing.all_styles else ", ".join(missing.names)


def _where(missing: Missing) -> str:
    if missing.whole:
        return ", ".join(
            " ".join((arm.phase, *([arm.division] if arm.division != STOCK else []))) for arm in missing.groups
        )
    return "everywhere" if missing.everywhere else ", ".join(short_group(arm) for arm in missing.groups)


def _missing_arms(diff: Diff) -> Section:
    rows = [(missing.file, arm.id) for missing in diff.missing for arm in missing.arms]
    return Section("Each missing arm", ("missing in", Words("arm")), rows, detail=True)


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
        (
            "Error: the largest in float64; 1e-12 is allowed. %: the largest share of the allowed error in other "
            "dtypes.",
        ),
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
    moves = diff.moves(MOST_ROWS)
    rows = [_move(move) for move in moves]
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
            *([TOGETHER] if any(len(move.changes) > 1 for move in moves) else []),
            *([_VERDICT.format(diff.fail_above)] if rows else []),
            *notes(diff),
        ),
    )


def _move(move: Move) -> tuple[str, ...]:
    first, *others = move.changes
    if not others:
        return short_group(first.arm), first.arm.name, _interval(first), f"±{first.floor:.1%}", _verdict(first)
    ratios, floors = [c.comparison.ratio for c in move.changes], [c.floor for c in move.changes]
    return (
        f"{len(move.changes)} of {move.of}",
        move.what,
        from_to(_number(min(ratios)), _number(max(ratios))),
        from_to(f"±{min(floors):.1%}", f"±{max(floors):.1%}"),
        _verdict(first),
    )


def _baselines(changes: list[Change]) -> Section:
    rows = [
        (short_group(change.arm), format_time(change.old_time_s), format_time(change.new_time_s), _interval(change))
        for change in changes
    ]
    note = (
        "Median times per call, and new / old with its 95 % interval, which need not be their quotient. There is no "
        "verdict: the machine itself may have become faster or slower between the two runs."
    )
    columns = ("workload", "old", "new", "new / old")
    return Section("pure[jit] itself", columns, rows, (note,), detail=True)


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
        f"{short_group(arm)}: {arm.arithmetic}, kernel {arm.division}, change of {_measure(diff)}",
        (Prose("arm"), "old", "new", "new / old", "floor", Words("verdict")),
        rows,
        ("old and new are median times per call. The change need not equal their quotient.",),
        detail=True,
    )


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
