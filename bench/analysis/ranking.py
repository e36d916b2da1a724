"""Which framework is the fastest in one call style, and which cannot be told apart
from it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

from msgspec import Struct

from .benchmarks import Benchmark
from .pairs import Difference, difference
from .statistics import enough_rounds


class Ranking(Struct, frozen=True, kw_only=True):
    """The frameworks in one call style: one phase of one workload, by one clock."""

    benchmarks: dict[str, Benchmark]  # by port
    #: By port, why it is not compared with the others.
    not_compared: dict[str, str]
    #: Each compared port over each that follows it.
    pairs: dict[tuple[str, str], Difference]
    #: Of the ports that no other was shown to beat, the one that is the least behind
    #: any other. None with fewer than two ports to compare, or too few rounds to tell.
    leader: str | None
    #: Each other compared port over the leader.
    over_leader: dict[str, Difference]
    #: The leader and the ports that were not told apart from it, in the ports' order.
    best: list[str]

    def time_s(self, port: str) -> float:
        """Seconds of a call of a port: the leader's, times the ratio to it."""
        if self.leader is None or port not in self.over_leader:
            return self.benchmarks[port].call_s
        leader_s = self.benchmarks[self.leader].call_s
        return leader_s * self.over_leader[port].comparison.ratio

    @property
    def slower(self) -> dict[str, Difference]:
        """The ports that were shown to be slower than the leader, over it."""
        return {port: d for port, d in self.over_leader.items() if d.is_real}

    @property
    def spread(self) -> float:
        """The largest ratio between the leader's time and another's; 1.0 without
        a leader.
        """
        ratios = [d.comparison.ratio for d in self.over_leader.values()]
        return max((max(ratio, 1 / ratio) for ratio in ratios), default=1.0)


def rank(
    group: Sequence[Benchmark],
    benchmarks: Mapping[str, Benchmark],
    not_compared: Mapping[str, str],
) -> Ranking:
    """Rank some arms of a group, by port; those that are not compared take no part."""
    compared = [port for port in benchmarks if port not in not_compared]
    pairs = {}
    for port, other in combinations(compared, 2):
        pairs[port, other] = difference(group, benchmarks[port], benchmarks[other])

    leader = _leader(benchmarks, compared, pairs)
    over_leader = {}
    for port in compared:
        if leader not in (None, port):
            over_leader[port] = difference(group, benchmarks[port], benchmarks[leader])
    best = []
    for port in compared:
        if port == leader or (port in over_leader and not over_leader[port].is_real):
            best.append(port)
    return Ranking(
        benchmarks=dict(benchmarks),
        not_compared=dict(not_compared),
        pairs=pairs,
        leader=leader,
        over_leader=over_leader,
        best=best,
    )


def _leader(
    benchmarks: Mapping[str, Benchmark],
    compared: Sequence[str],
    pairs: Mapping[tuple[str, str], Difference],
) -> str | None:
    """See `Ranking.leader`."""
    if len(compared) < 2 or not enough_rounds(benchmarks[compared[0]].process):
        return None
    beaten = set()
    for (port, other), d in pairs.items():
        if d.is_real:
            beaten.add(port if d.verdict == "slower" else other)

    behind = dict.fromkeys(compared, 0.0)  # the largest ratio to another's time
    for (port, other), d in pairs.items():
        behind[port] = max(behind[port], d.comparison.ratio)
        behind[other] = max(behind[other], d.comparison.turned.ratio)
    unbeaten = [port for port in compared if port not in beaten]
    return min(unbeaten, key=behind.__getitem__, default=None)
