"""What changed between two runs: sentences on what they say together, then tables."""

from collections.abc import Iterable, Iterator

from ...common.errors import InputError
from ..analysis.diff import TOO_NOISY, Change, Diff, Problem, ProofChange
from ..analysis.equality import Proof
from ..results.grouping import grouped
from ..timing.machine import version_differences
from .equality import label
from .numbers import count, format_interval, format_time, from_to
from .provenance import load_warnings, short_group
from .sections import Prose, Section, Words

#: Rows of what moved, or of arms that are missing; more are in the details.
MOST_ROWS = 15
#: More groups than this are counted, not named.
NAMED = 3
_MEASURE = "time / pure[jit]"
_VERDICT = (
    "Below 1 is faster. A verdict needs a 95 % interval that excludes 1 and a change above the floor, which is the "
    "larger of the two runs' noise floors. A row says FAILED where an arm is slower by more than {:.1%}, and that is "
    "beyond chance among all arms together."
)


def check_comparable(diff: Diff) -> None:
    """Raise InputError if there is nothing to compare: no arm in common, and no proof of equality in both files."""
    if any(change.role == "arm" for change in diff.changes) or any(p.old and p.new for p in diff.proofs):
        return
    common = ", ".join(dict.fromkeys(change.arm.name for change in diff.changes))
    but = f" but {common}, whose ratio to itself says nothing" if common else ""
    other_work = [problem.detail for problem in diff.problems if problem.group]
    old, new = (", ".join(results.groups()) or "nothing" for results in (diff.old, diff.new))
    why = "; ".join(other_work) or f"OLD has {old}; NEW has {new}"
    raise InputError(f"the files have no arm in common{but}. {why}. Measure the same workloads, phases and ports.")


def outcome(diff: Diff) -> list[str]:
    """Whether anything changed, in a sentence or two; then what was upgraded, what fails, and reasons to doubt it."""
    return [*_answer(diff), *_upgrade(diff), *_failures(diff), *_doubts(diff)]


def diff_tables(diff: Diff) -> list[Section]:
    """Problems, then what was proven and what changed; as details, the baseline and every arm of every group."""
    groups = grouped(diff.changes, lambda change: change.arm.group)
    return [
        *([_problems(diff)] if diff.problems else []),
        *([_missing_arms(diff)] if any(problem.arms for problem in diff.problems) else []),
        *([_proofs(diff)] if diff.proofs else []),
        _moved(diff),
        *map(_group, groups.values()),
    ]


def _answer(diff: Diff) -> Iterator[str]:
    equality, speed = _equality(diff.proofs), _speed(diff)
    moved = any(change.believed for change in diff.judged)
    proven = any(proof.is_lost or proof.is_gained for proof in diff.proofs)
    if moved and proven:
        yield f"Equality and speed changed: {equality}; {speed}."
    elif moved or proven:
        yield f"Speed changed: {speed}; {equality}." if moved else f"Equality changed: {equality}; {speed}."
    elif diff.judged and all(change.lost_in_noise for change in diff.judged):
        yield f"Too noisy to tell whether speed changed: {speed}; {equality}."
    else:
        yield f"No change of equality or speed found: {equality}; {speed}."
    if beyond := diff.moved_baselines():
        times = from_to(f"{min(beyond.values()):.2f}", f"{max(beyond.values()):.2f}")
        yield (
            f"pure[jit] itself, which the others are compared with, took {times} times as long in "
            f"{_groups(diff, beyond)}; that is jax, or the machine."
        )


def _equality(proofs: list[ProofChange]) -> str:
    """What became of the proofs."""
    lost = [f"{_label(p)} fails {', '.join(p.newly_failed)} now, and did not before" for p in proofs if p.is_lost]
    gained = [f"{_label(p)} is proven equal now, and was not before" for p in proofs if p.is_gained]
    both = [p for p in proofs if p.old and p.new and not p.is_lost and not p.is_gained]
    equal = [_label(p) for p in both if p.new and p.new.is_equal]
    unequal = [_label(p) for p in both if p.new and not p.new.is_equal]
    same = [f"{_all(equal)} proven equal, as before"] if equal else []
    same += [f"{_all(unequal)} not equal, as before"] if unequal else []
    return "; ".join([*lost, *gained, *same]) or "no port has a proof of equality in both files"


def _speed(diff: Diff) -> str:
    """How many arms moved, and of which ports."""
    judged = diff.judged
    if not judged:
        return "no arm is timed in both files"
    ways = {way: [c for c in judged if c.verdict == way and c.believed] for way in ("slower", "faster")}
    doubted = [change for change in judged if change.moved and not change.believed]
    lost = sum(change.lost_in_noise for change in judged)
    reaches = [change.comparison.reach for change in judged]
    reach = from_to(f"±{min(reaches):.1%}", f"±{max(reaches):.1%}")
    parts = [
        f"{len(some)} {'are' if len(some) != 1 else 'is'} {way} ({_by_port(some, judged)})"
        for way, some in ways.items()
        if some
    ]
    than = "than before, relative to pure[jit]"
    text = " and ".join(parts) if parts else f"none is faster or slower {than}, beyond chance (intervals of {reach})"
    if doubted:
        seem = "seems" if len(doubted) == 1 else "seem"
        text += f"; {len(doubted)} {seem} to be ({_by_port(doubted, judged)}), which may be chance"
    return f"of {count(len(judged), 'arm')}, {text}" + (f"; {lost} are too noisy to tell" if lost else "")


def _by_port(changes: Iterable[Change], judged: Iterable[Change]) -> str:
    """How many of each port's arms."""
    all_of = grouped(judged, _port)
    return ", ".join(f"{port} {len(some)} of {len(all_of[port])}" for port, some in grouped(changes, _port).items())


def _port(change: Change) -> str:
    return label(change.arm.port, change.arm.kernel)


def _upgrade(diff: Diff) -> Iterator[str]:
    versions = version_differences(diff.old.trigru.machine.versions, diff.new.trigru.machine.versions)
    yield f"Versions: {'; '.join(versions)}." if versions else "Versions: the same in both files."


def _failures(diff: Diff) -> Iterator[str]:
    """Why the exit code is not 0: all that fails, first what decides it; and what was accepted."""
    if diff.lost_proofs:
        ports = ", ".join(map(_label, diff.lost_proofs))
        yield f"FAILED: checks that passed before fail now, of {ports}."
    if why := "; ".join(_reasons(diff.problems)):
        refused = f"FAILED: the files do not compare: {why}. Measure alike, or accept it: --anyway."
        yield f"Accepted by --anyway: {why}." if diff.anyway else refused
    limit = f"{diff.fail_above:.1%}"
    if slow := diff.regressions:
        arms = f"{count(len(slow), 'arm')} {'is' if len(slow) == 1 else 'are'}"
        yield f"FAILED: {arms} slower by more than {limit} ({_by_port(slow, diff.judged)}). --fail-above accepts more."
    if suspects := diff.suspects:
        arms = f"{count(len(suspects), 'arm')} {'seems' if len(suspects) == 1 else 'seem'}"
        yield (
            f"{arms} slower by more than {limit} ({_by_port(suspects, diff.judged)}), but not beyond chance among "
            f"{len(diff.judged)} arms: that alone is no reason to fail. Measure both in more processes, or fewer arms."
        )


def _reasons(problems: Iterable[Problem]) -> Iterator[str]:
    """Why the files do not compare, in short, each reason once."""
    for reason, alike in grouped(problems, lambda problem: problem.reason).items():
        arms = sum(len(problem.arms) for problem in alike)
        yield f"{count(arms, 'arm')} {reason}" if arms else reason


def _doubts(diff: Diff) -> Iterator[str]:
    """Reasons why the runs may be too noisy to tell, or are not what the reader thinks."""
    old, new = diff.old, diff.new
    if new.datetime < old.datetime:
        yield f"NEW was measured before OLD ({new.datetime[:16]}, {old.datetime[:16]}): are they swapped?"
    for name, results in (("OLD", old), ("NEW", new)):
        for warning in load_warnings(results.trigru):
            yield f"{name} may be too noisy to tell. {warning}"
    if noisy := diff.noisy_groups():
        floors = from_to(f"±{min(noisy.values()):.0%}", f"±{max(noisy.values()):.0%}")
        yield (
            f"Too noisy to tell in {_groups(diff, noisy)}: noise floors of {floors}, above {TOO_NOISY:.0%}. Measure "
            "again on an idle machine."
        )


def _notes(diff: Diff) -> Iterator[str]:
    """Facts that a reader of the changes should know, but that are no reason to fail."""
    files = (("OLD", diff.old), ("NEW", diff.new))
    commits, samples = (
        [of(results) for _, results in files]
        for of in (
            lambda results: results.trigru.machine.commit or "unknown",
            lambda results: format_time(results.trigru.plan.sample_time_s),
        )
    )
    if commits[0] != commits[1]:
        yield f"Commit of trigru: {commits[1]}, was {commits[0]}."
    if samples[0] != samples[1]:
        yield f"Samples last at least {samples[1]}, were {samples[0]}."
    if single := [name for name, run in files if any(len({*b.process}) == 1 for b in run.benchmarks)]:
        yield (
            f"One process alone in {' and '.join(single)}: the intervals do not contain the difference between "
            "processes, so they are too narrow. Measure with --processes 5 before you believe a small change."
        )
    if unproven := [name for name, results in files if results.trigru.equality is None]:
        yield (
            f"{' and '.join(unproven)}: no proof of equality. Only each arm's first results were compared with the "
            "oracle. `trigru compare` proves equality before it times."
        )


def _groups(diff: Diff, groups: Iterable[str]) -> str:
    """Groups by their names, or how many of all, if they are many."""
    names = {change.arm.group: short_group(change.arm) for change in diff.changes}
    some = list(dict.fromkeys(groups))
    if len(some) <= NAMED:
        return ", ".join(names[group] for group in some)
    return f"all {len(some)} groups" if len(some) == len(names) else f"{len(some)} of {len(names)} groups"


def _label(proof: ProofChange) -> str:
    return label(proof.port, proof.kernel)


def _all(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are" if others else f"{last} is"


def _problems(diff: Diff) -> Section:
    accepts = "--anyway accepts them."
    return Section(
        "Where the files do not compare",
        (Prose("reason"), Prose("what")),
        [_problem(problem) for problem in diff.problems],
        (accepts if diff.anyway else f"The files do not compare in full: exit code 2. {accepts}",),
    )


def _problem(problem: Problem) -> tuple[str, str]:
    """In a row; of missing arms, how many of which port, and where."""
    if not problem.arms:
        return problem.reason, problem.detail
    groups = list(dict.fromkeys(map(short_group, problem.arms)))
    where = ", ".join(groups) if len(groups) <= NAMED else f"{len(groups)} groups"
    arms = f"{count(len(problem.arms), 'arm')} of {problem.arms[0].port}"
    return f"{arms} {problem.reason}", ": ".join(part for part in (where, problem.detail) if part)


def _missing_arms(diff: Diff) -> Section:
    rows = [(problem.reason, arm.id) for problem in diff.problems for arm in problem.arms]
    return Section("Each missing arm", ("reason", Words("arm")), rows, detail=True)


def _proofs(diff: Diff) -> Section:
    rows = []
    for change in diff.proofs:
        if change.is_lost:
            status = "FAILED"
        elif change.old is None or change.new is None:
            status = "checked in one file alone"
        elif change.old.is_equal:
            status = "equal, as before"
        else:
            status = "equal now" if change.new.is_equal else "not equal, as before"
        rows.append((_label(change), _proof(change.old), _proof(change.new), status))
    return Section(
        "Equality with the NumPy oracle",
        ("port", Prose("old"), Prose("new"), Words("status")),
        rows,
        ("Error: the largest in float64; 1e-12 is allowed. %: the largest share that other dtypes used of theirs.",),
    )


def _proof(proof: Proof | None) -> str:
    if proof is None:
        return "not checked"
    if not proof.is_equal:
        return f"{proof.failures} of {count(proof.measurements, 'measurement')} failed: {', '.join(proof.failed)}"
    error = [f"error {proof.worst_error:.0e}"] if proof.worst_error is not None else []
    share = [f"{proof.worst_share:.0%}"] if proof.worst_share is not None else []
    return ", ".join([count(proof.measurements, "measurement"), *error, *share])


def _moved(diff: Diff) -> Section:
    moved = diff.moved
    rows = [
        (short_group(c.arm), c.arm.name, format_interval(c.comparison), f"±{c.floor:.1%}", _verdict(c)) for c in moved
    ]
    still = [change for change in diff.judged if not change.moved]
    lost = sum(change.lost_in_noise for change in still)
    rest = {
        "Moved, too": len(rows) - MOST_ROWS,
        "Indistinguishable from before": len(still) - lost,
        "Too noisy to tell": lost,
    }
    above = " that shows above the noise" if lost else ""
    return Section(
        f"Changes of {_MEASURE}" if rows else f"No change of {_MEASURE}{above}",
        ("workload", Prose("arm"), "new / old", "floor", Words("verdict")),
        rows[:MOST_ROWS],
        (
            *(f"{what}: {number} arms; --details lists them." for what, number in rest.items() if number > 0),
            *([_VERDICT.format(diff.fail_above)] if rows else []),
            *_notes(diff),
        ),
    )


def _group(changes: list[Change]) -> Section:
    arm = changes[0].arm
    rows = [
        (
            change.arm.name,
            format_time(change.old_time_s),
            format_time(change.new_time_s),
            format_interval(change.comparison),
            f"±{change.floor:.1%}",
            _verdict(change),
        )
        for change in changes
    ]
    return Section(
        f"{short_group(arm)}: {arm.arithmetic}, kernel {arm.division}, change of {_MEASURE}",
        (Prose("arm"), "old", "new", "new / old", "floor", Words("verdict")),
        rows,
        (
            "old and new are median times per call. The change need not equal their quotient. That of pure[jit] is of "
            "its time, and gets no verdict: the machine itself may have become faster or slower.",
        ),
        detail=True,
    )


def _verdict(change: Change) -> str:
    if change.regression:
        return "FAILED"
    if change.role == "A/A":
        return "A/A"
    return "too noisy to tell" if change.lost_in_noise else change.verdict
