"""What two runs say together, in sentences: whether anything changed, then the reasons to doubt it."""

from collections.abc import Iterable, Iterator

from ..analysis.diff import TOO_NOISY, Change, Diff, ProofChange
from ..results.grouping import grouped
from ..results.record import Results
from ..timing.machine import version_differences
from .equality import label
from .numbers import count, format_time, from_to
from .provenance import load_warnings, short_group

#: The option that accepts what keeps files from being compared.
ALLOWED_BY = dict.fromkeys(("interrupted", "work", "missing", "machine", "precision"), "--anyway")
#: What it is, in short; {} is the file.
IN_SHORT = {
    "interrupted": "the run of {} was interrupted",
    "work": "groups of one name are other work",
    "machine": "the machine or its environment differs",
    "precision": "the precision of matrix products differs",
}
#: More groups than this are counted, not named.
NAMED = 3


def outcome(diff: Diff) -> list[str]:
    """Whether anything changed, in a sentence or two; then what was upgraded, what fails, and reasons to doubt it."""
    return [*_answer(diff), *_upgrade(diff), *_failures(diff), *_accepted(diff), *_doubts(diff)]


def notes(diff: Diff) -> list[str]:
    """Facts that a reader of the changes should know, but that are no reason to fail."""
    return [*_notes(diff), *_suspicions(diff)]


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
    said = [
        f"{len(found)} {'are' if len(found) != 1 else 'is'} {way} ({_by_port(found, judged)})"
        for way, found in ways.items()
        if found
    ]
    than = "than before" if diff.absolute else "than before, relative to pure[jit]"
    text = " and ".join(said) if said else f"none is faster or slower {than}, beyond chance (intervals of {reach})"
    if doubted:
        text += f"; {len(doubted)} {_seem(doubted)} to be ({_by_port(doubted, judged)}), which may be chance"
    return f"of {count(len(judged), 'arm')}, {text}" + (f"; {lost} are too noisy to tell" if lost else "")


def _seem(changes: list[Change]) -> str:
    return "seems" if len(changes) == 1 else "seem"


def _by_port(changes: Iterable[Change], judged: Iterable[Change]) -> str:
    """How many of each port's arms."""
    all_of = grouped(judged, _port)
    return ", ".join(f"{port} {len(found)} of {len(all_of[port])}" for port, found in grouped(changes, _port).items())


def _port(change: Change) -> str:
    arm = change.arm
    return label(arm.port, arm.kernel)


def _upgrade(diff: Diff) -> Iterator[str]:
    versions = version_differences(diff.old.trigru.machine.versions, diff.new.trigru.machine.versions)
    yield f"Versions: {'; '.join(versions)}." if versions else "Versions: the same in both files."


def _failures(diff: Diff) -> Iterator[str]:
    """Why the exit code is not 0: all that fails, first what decides it."""
    if diff.lost_proofs:
        ports = ", ".join(map(_label, diff.lost_proofs))
        yield f"FAILED: checks that passed before fail now, of {ports}."
    refused = _reasons(diff, allowed=False)
    if refused:
        why = "; ".join(reason for reasons in refused.values() for reason in reasons)
        yield f"FAILED: the files do not compare: {why}. Measure alike, or accept it: {' '.join(refused)}."
    limit, slower = f"{diff.fail_above:.1%}", any(change.verdict == "slower" for change in diff.judged)
    if slow := diff.regressions:
        arms = f"{count(len(slow), 'arm')} {'is' if len(slow) == 1 else 'are'}"
        yield f"FAILED: {arms} slower by more than {limit} ({_by_port(slow, diff.judged)}). --fail-above accepts more."
    if suspects := diff.suspects:
        arms = f"{count(len(suspects), 'arm')} {_seem(suspects)}"
        yield (
            f"{arms} slower by more than {limit} ({_by_port(suspects, diff.judged)}), but not beyond chance among "
            f"{len(diff.judged)} arms: that alone is no reason to fail. Measure both in more processes, or fewer arms."
        )
    if slower and not (slow or suspects):
        yield f"No arm is slower by more than the {limit} of --fail-above."


def _accepted(diff: Diff) -> Iterator[str]:
    for option, reasons in _reasons(diff, allowed=True).items():
        yield f"Accepted by {option}: {'; '.join(reasons)}."


def _reasons(diff: Diff, *, allowed: bool) -> dict[str, list[str]]:
    """Why the files do not compare, in short, by the option that accepts it."""
    found: dict[str, dict[str, None]] = {}
    for problem in diff.problems:
        if problem.allowed == allowed:
            found.setdefault(ALLOWED_BY[problem.what], {})[IN_SHORT[problem.what].format(problem.file)] = None
    if diff.missing and diff.allow_missing == allowed:
        missing = grouped(diff.missing, lambda missing: missing.file)
        counts = [
            f"{count(sum(len(m.arms) for m in of_file), 'arm')} missing in {file}" for file, of_file in missing.items()
        ]
        found.setdefault(ALLOWED_BY["missing"], {})[" and ".join(counts)] = None
    return {option: list(reasons) for option, reasons in found.items()}


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
    old, new = diff.old, diff.new
    was, now = old.trigru, new.trigru
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


def _suspicions(diff: Diff) -> Iterator[str]:
    """Signs that the baseline, or the noise, is what changed."""
    ratios = diff.baseline_ratios()
    for way, found in grouped(diff.majorities(), lambda row: row[1]).items():
        here = [group for group, *_ in found]
        times = [] if diff.absolute else [ratios[group] for group in here]
        baseline = (
            f"pure[jit], now {from_to(f'{min(times):.3f}', f'{max(times):.3f}')} times its old time,"
            if times
            else "Jax, or the machine,"
        )
        moved, arms = (sum(counts) for counts in zip(*(row[2:] for row in found), strict=True))
        yield f"In {_groups(diff, here)}, {moved} of {arms} arms are {way}. {baseline} may be what changed."
    twins = [change for change in diff.changes if change.role == "A/A" and change.moved and not diff.absolute]
    if twins:
        ways = " or ".join(dict.fromkeys(change.verdict for change in twins))
        yield (
            f"In {_groups(diff, [change.arm.group for change in twins])}, {twins[0].arm.name} (A/A) is {ways} by the "
            "same measure, and is the same code as pure[jit]: the noise is above the floor there. Measure again on an "
            "idle machine."
        )


def _groups(diff: Diff, groups: Iterable[str]) -> str:
    """Groups by their names, or how many of all, if they are many."""
    names = {change.arm.group: short_group(change.arm) for change in diff.changes}
    found = list(dict.fromkeys(groups))
    if len(found) <= NAMED:
        return ", ".join(names[group] for group in found)
    return f"all {len(found)} groups" if len(found) == len(names) else f"{len(found)} of {len(names)} groups"


def _label(proof: ProofChange) -> str:
    return label(proof.port, proof.kernel)


def _all(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are" if others else f"{last} is"


def _has_one_process(results: Results) -> bool:
    return any(len(set(b.facts.process)) == 1 for b in results.benchmarks)
