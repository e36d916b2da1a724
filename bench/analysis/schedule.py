"""Samples against the way in which a run takes them: in which order, one after the other, how many, and for how long.

Each function yields a sentence for each contradiction; `trigru.bench.analysis.evidence` calls them.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations
from math import ceil
from statistics import median

import numpy as np

from ..results.grouping import grouped
from ..results.run import GroupTimed, Run, Timed
from ..timing.sampling import WarmUp, balanced_orders, calls_in_a_sample, pace_of
from ..timing.worker import rounds_in

#: How far two readings of a machine's clock may be apart, in seconds, and as a share of what is between them.
_APART_S, _APART = 2e-3, 0.01
#: In such a share of the samples a machine's clock may be set back while it measures, and at least once.
_SET_BACK = 0.01
#: How much later than its first sample a run may begin by a clock that was set back, and how long before its samples
#: it may begin if it was not interrupted, and how long after them end; in seconds.
_BEFORE_S, _BEGIN_S, _END_S = 600.0, 7 * 86400.0, 7 * 86400.0
#: What lies between two samples of one round: at most so many times what lies between others, and such a share of the
#: sample; with what the rounding of starts does to one gap, and in seconds.
_BETWEEN, _OF_SAMPLE, _ROUNDING_S, _BETWEEN_S = 4.0, 0.25, 1.5e-3, 1.5e-3
#: By how much calls may differ from those of the warm-up, as a factor: another program may have run beside either.
_PACE = 25.0
#: Of so many samples, half are not equal to others; and two arms do not vary alike, to such a share of what they vary.
_MANY, _ALIKE = 6, 0.01


def _in_order(run: Run) -> list[tuple[GroupTimed, list[Timed]]]:
    """The groups as they were timed: process by process, with groups and arms in the order of the plan."""
    arms = {arm.id: number for number, arm in enumerate(run.begun.arms)}
    lines = [(line, sorted(line.timed, key=lambda t: arms[t.arm])) for line in run.groups_timed if line.timed]
    return sorted(lines, key=lambda line: (line[0].process, arms[line[1][0].arm]))


def _in_turn(timed: list[Timed]) -> tuple[np.ndarray, ...]:
    """The samples in the order of each round, (arms, rounds): the arm's number, its place, its start and duration."""
    places = np.array([t.position for t in timed])
    order = np.argsort(places, axis=0, kind="stable")
    took_s = np.array([t.time_s for t in timed]) * np.array([[t.calls] for t in timed])
    start_s = np.array([t.started_s for t in timed])
    return order, *(np.take_along_axis(of, order, axis=0) for of in (places, start_s, took_s))


def orders(run: Run) -> Iterator[str]:
    """In each round the arms stand in the balanced order of their process."""
    groups = run.groups()
    for line, timed in _in_order(run):
        rounds, most = len(timed[0].time_s), len(groups[line.group])
        places = [[t.position[number] for t in timed] for number in range(rounds)]
        if any(len({*of_round}) < len(timed) or max(of_round) >= most for of_round in places):
            yield f"two arms of {line.group} were at one place of a round"
        # NumPy may draw other numbers from one seed in another version
        versions = run.machine.versions if run.machine else {}
        if versions.get("numpy") != np.__version__:
            continue
        if not any(_are_places(timed, arms, rounds, line.process) for arms in range(len(timed), most + 1)):
            yield f"the arms of {line.group} are not in the order that process {line.process} takes"


def _are_places(timed: list[Timed], arms: int, rounds: int, seed: int) -> bool:
    """Whether positions are those of some of so many arms; the others raised while they were timed."""
    order = np.array([*balanced_orders(arms, rounds, seed)])  # (rounds, arms)
    places = iter(np.argsort(order, axis=1).T.tolist())
    return all(t.position in places for t in timed)


def counts(run: Run) -> Iterator[str]:
    """Each process takes as many rounds, calls and samples of the other clock as its plan and its times give."""
    for line, timed in _in_order(run):
        rounds, most = len(timed[0].time_s), len(run.groups()[line.group])
        pace, round_s = pace_of(timed[0].backend), sum(t.calls * median(t.time_s) for t in timed)
        expected = [
            rounds_in(run.plan, round_s * factor, arms)
            for factor in (1 / _PACE, _PACE)
            for arms in range(len(timed), most + 1)
        ]
        lost = any(arm.id in run.untimed for arm in run.groups()[line.group])
        if not lost and not min(expected) <= rounds <= max(expected):  # one that was lost may have been the slowest
            yield f"process {line.process} has {rounds} rounds of {line.group}, expected about {max(expected)}"
        for t in timed:
            least, calls = (
                calls_in_a_sample(WarmUp(1, True, time_s), run.plan.sample_time_s, pace)
                for time_s in (max(t.time_s) * _PACE, min(t.time_s) / _PACE)
            )
            if not least <= t.calls <= calls:
                yield f"{t.arm} has samples of {t.calls} calls, expected {least} to {calls}"
            others = ceil(rounds / 4)
            if len(t.other_s) != others and (t.other_s or t.calls > 1):  # earlier versions left them out at one call
                yield f"{t.arm} has {len(t.other_s)} samples of the other clock, expected {others}"


def starts(run: Run) -> Iterator[str]:
    """Samples were taken one after the other, each arm after it was built, after the run began and before it ended."""
    begins_s: list[float] = []
    ends_s: list[float] = []
    for _, timed in _in_order(run):
        _, _, start_s, took_s = _in_turn(timed)
        built_s = sum(t.build.first_call_s for t in timed if t.build)
        begins_s += [start_s[:, 0].min() - built_s, *start_s.T.ravel()]
        ends_s += [begins_s[-start_s.size - 1], *(start_s + took_s).T.ravel()]
        ends_s[-1] += sum(t.calls * sum(t.other_s) for t in timed)
    first, last, following = (np.array(of) for of in (begins_s[:-1], ends_s[:-1], begins_s[1:]))
    early = np.sum(last - following > _APART_S + _APART * (last - first))
    if early > max(1, _SET_BACK * len(begins_s)):
        yield f"{early} samples were taken at the same time as another"
    begun, ended = run.begun.since, run.ended.datetime if run.ended else ""
    if begun and ended and _moment_s(begun) > _moment_s(ended):
        yield f"it began on {begun} and ended on {ended}"
    if begun and begins_s and begins_s[0] < _moment_s(begun) - _BEFORE_S:
        yield f"it began on {begun}, after a sample"
    if begun and begins_s and not run.interruptions and begins_s[0] > _moment_s(begun) + _BEGIN_S:
        yield f"it began on {begun}, long before its first sample"
    if ended and begins_s and abs(_moment_s(ended) - ends_s[-1]) > _END_S:
        yield f"it ended on {ended}, long before or after its last sample"


def _moment_s(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def gaps(run: Run) -> Iterator[str]:
    """Within a round a sample begins soon after the one before it is over: calls took no longer than they say."""
    of_group: dict[str, list[float]] = {}
    of_arm: dict[str, list[tuple[float, float]]] = {}
    for line, timed in _in_order(run):
        order, places, start_s, took_s = _in_turn(timed)
        gap_s = start_s[1:] - start_s[:-1] - took_s[:-1]
        follows = places[1:] == places[:-1] + 1
        of_group.setdefault(line.group, []).extend(gap_s[follows])
        for number, t in enumerate(timed):
            own = follows & (order[:-1] == number)
            for name in (t.arm, f"{t.arm} in process {line.process}"):
                of_arm.setdefault(name, []).extend(zip(gap_s[own], took_s[:-1][own], strict=True))
    usual_s = max(min((median(found) for found in of_group.values() if found), default=0.0), 0.0)
    for name, pairs in of_arm.items():
        if len(pairs) < _MANY:  # a machine may have slept in one
            continue
        gap_s, took_s = (median(values) for values in zip(*pairs, strict=True))
        rounding_s = _ROUNDING_S / len(pairs) ** 0.5
        if gap_s > _BETWEEN * usual_s + _OF_SAMPLE * took_s + rounding_s + _BETWEEN_S:
            yield f"samples of {name} took {took_s:.2g} s, and the next one began {gap_s:.2g} s after their end"


def alike(run: Run) -> Iterator[str]:
    """Samples differ from each other, and those of an arm in a process are not those of another, whatever the order."""
    for group, lines in grouped(run.groups_timed, lambda line: line.group).items():
        timed = [t for line in lines for t in line.timed]
        for t in timed:
            if len(t.time_s) >= _MANY and len({*t.time_s}) < len(t.time_s) / 2:
                yield f"most samples of {t.arm} are equal to the last digit"
        of_length = grouped(timed, lambda t: len(t.time_s)).values()
        rounds = min((len(t.time_s) for t in timed), default=0)
        logs = [np.log([t.time_s[:rounds] for t in timed])] + [
            np.sort(np.log([t.time_s for t in of])) for of in of_length
        ]
        are_copies = rounds >= _MANY and any(map(_have_copies, logs))
        if are_copies or _share_values([t.time_s for t in timed]) or _share_values([t.other_s for t in timed]):
            yield f"samples of two arms or processes of {group} are copies"


def _share_values(samples: list[list[float]]) -> bool:
    """Whether two of many samples have most values in common, to the last digit."""
    lists: dict[float, list[int]] = {}
    for number, values in enumerate(samples):
        for value in {*values}:
            lists.setdefault(value, []).append(number)
    shared = Counter(pair for numbers in lists.values() for pair in combinations(numbers, 2))
    return any(n >= _MANY and 2 * n > min(len(samples[a]), len(samples[b])) for (a, b), n in shared.items())


def _have_copies(samples: np.ndarray) -> bool:
    """Whether two rows differ by a constant alone: those that are alike stand together where they are sorted."""
    varied = samples - np.median(samples, axis=1, keepdims=True)
    varied = varied[np.argsort(varied[:, 0])]
    allowed = _ALIKE * np.median(np.abs(varied), axis=1)
    return any((np.abs(varied[apart:] - varied[:-apart]).max(axis=1) < allowed[apart:]).any() for apart in (1, 2, 3))


#: The rules of samples.
RULES = (orders, counts, starts, gaps, alike)
