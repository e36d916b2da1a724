"""Tables of a kernel against each framework's own cell, and against peers.

Ratios are speedups, stock / kernel: the time of the framework's own cell over the kernel's. Above 1, the kernel is
faster.
"""

from collections.abc import Callable, Iterable
from typing import Any

from ..analysis.rates import rates_of
from ..analysis.speedups import Speedup, lone_processes, mean_speedup, speedups
from ..analysis.statistics import Comparison
from ..results.grouping import grouped
from ..results.record import Benchmark, Results
from .numbers import format_bytes, format_interval, format_ratio, format_throughput, format_time, from_to
from .provenance import short_group
from .sections import Prose, Section, Words

_SPEEDUP_NOTE = (
    "Time of the framework's own cell over that of the {kernel} kernel in the same call style: above 1, the kernel is "
    "faster. Paired within rounds, with 95 % intervals"
)
_PEER_NOTE = (
    "Time of the peer over that of the {kernel} kernel in each port: above 1, the kernel is faster. ±: the farther end "
    "of the 95 % interval, as a share of the ratio. In brackets: indistinguishable. -: one of the two has no number."
)


def kernel_tables(results: Results) -> list[Section]:
    """For every kernel but the stock one: means, each workload, memory and GFLOP/s, and peers.

    With one workload there is no table of means.
    """
    own, peers = speedups(results), speedups(results, peers=True)
    sections = []
    for kernel, mine in grouped(own, lambda s: s.kernel).items():
        sections += [_means(kernel, mine)] if _has_means(mine) else []
        sections += [_workloads(results, kernel, mine), _machine(results, kernel, mine)]
        against = [s for s in peers if s.kernel == kernel]
        sections += [_peer_means(kernel, against)] if _has_means(against) else []
        sections += [_peers(kernel, against)] if against else []
    return sections


def _has_means(found: list[Speedup]) -> bool:
    """Whether some arm has several workloads in a phase."""
    return any(len(of_arm) > 1 for *_, of_arm in _by(found, lambda s: (s.phase, s.arm, _peer(s.other))))


def _means(kernel: str, found: list[Speedup]) -> Section:
    rows = []
    for phase, arm, of_arm in _by(found, lambda s: (s.phase, s.arm)):
        mean = mean_speedup(of_arm)
        rows.append((phase, arm, str(mean.groups), _interval(mean.ratio), mean.verdict))
    return Section(
        f"The {kernel} kernel against each framework's own cell: geometric means over workloads",
        ("phase", Prose("arm"), "workloads", f"speedup, stock / {kernel}", Words("verdict")),
        rows,
        (
            f"{_SPEEDUP_NOTE.format(kernel=kernel)} of the mean of these workloads, not of others. The verdict is on "
            "the kernel; the effect has to exceed the mean of the groups' noise floors.",
            *_left_out(found),
        ),
    )


def _left_out(found: list[Speedup]) -> list[str]:
    """A sentence on what the means leave out, if they leave out anything."""
    left = dict.fromkeys(
        short_group(s.benchmark.arm)
        for *_, of_arm in _by(found, lambda s: (s.phase, s.arm))
        for s in lone_processes(of_arm)
    )
    return [f"Not in the means, since one process alone measured them: {', '.join(left)}."] if left else []


def _workloads(results: Results, kernel: str, found: list[Speedup]) -> Section:
    rows = [
        (
            str(s.benchmark.arm.workload),
            s.phase,
            s.arm,
            *(format_time(rates_of(results, b).time_s) for b in (s.other, s.benchmark)),
            _interval(s.ratio),
            s.verdict,
        )
        for s in found
    ]
    alone = (
        f"{_SPEEDUP_NOTE.format(kernel=kernel)}. The verdict is on the kernel; the effect has to exceed the noise "
        "floor."
    )
    return Section(
        f"The {kernel} kernel against each framework's own cell",
        ("workload", Words("phase"), Prose("arm"), "stock", kernel, f"speedup, stock / {kernel}", Words("verdict")),
        rows,
        (
            *([] if _has_means(found) else [alone]),
            "Times are medians per call. The ratio is the median within rounds, so it need not equal their quotient.",
        ),
    )


def _machine(results: Results, kernel: str, found: list[Speedup]) -> Section:
    rows = []
    for s in found:
        rates = [rates_of(results, b) for b in (s.other, s.benchmark)]
        rows.append(
            (
                str(s.benchmark.arm.workload),
                s.phase,
                s.arm,
                *map(format_bytes, s.temp_bytes),
                "-" if s.temp_share is None else f"{s.temp_share:.2f}",
                *(format_throughput(rate.flop_per_s, rate.gemm_share) for rate in rates),
            )
        )
    counted = ("stock temp", "temp", "temp / stock", "stock GFLOP/s, %", "GFLOP/s, %")
    return Section(
        f"Temporary memory and GFLOP/s of each framework's own cell and of the {kernel} kernel",
        ("workload", Words("phase"), Prose("arm"), *counted),
        rows,
        (
            "Temporary memory is what XLA's analysis reports in addition to arguments and results. -: it reports none, "
            f"or there is none to divide by. Columns without stock are those of the {kernel} kernel. GFLOP/s is the "
            "least number of operations of the phase, the same for both, over the time. % is the share of the rate of "
            "a large matrix product in the same run.",
        ),
    )


def _peer_means(kernel: str, found: list[Speedup]) -> Section:
    rows = []
    for phase, peer, of_peer in _by(found, lambda s: (s.phase, _peer(s.other))):
        means = {arm: mean_speedup(of_arm) for arm, of_arm in _by(of_peer, lambda s: (s.arm,))}
        counts = [mean.groups for mean in means.values()]
        rows.append((phase, peer, from_to(str(min(counts)), str(max(counts))), *_cells(found, means)))
    heads = ("phase", Words("peer"), "workloads")
    return _against_peers(kernel, found, ": geometric means over workloads", heads, rows, _left_out(found))


def _peers(kernel: str, found: list[Speedup]) -> Section:
    by_row = _by(found, lambda s: (str(s.benchmark.arm.workload), s.phase, _peer(s.other)))
    rows = [(*key, *_cells(found, {s.arm: s for s in of_row})) for *key, of_row in by_row]
    return _against_peers(kernel, found, "", ("workload", Words("phase"), Words("peer")), rows, [])


def _against_peers(
    kernel: str, found: list[Speedup], what: str, heads: tuple[str, ...], rows: list[Any], left_out: list[str]
) -> Section:
    notes = (_PEER_NOTE.format(kernel=kernel), *left_out, *_differences(found))
    return Section(f"The {kernel} kernel against peers{what}", (*heads, *_arms(found).values()), rows, notes)


def _by(found: Iterable[Speedup], key: Callable[[Speedup], tuple[str, ...]]) -> list[tuple[Any, ...]]:
    """Speedups by a key, in the order of the key's first appearance: (*key, speedups)."""
    return [(*name, of_name) for name, of_name in grouped(found, key).items()]


def _arms(found: list[Speedup]) -> dict[str, str]:
    """Headings of the arms: the port's name, where the port has only one style."""
    ports = {s.arm: s.benchmark.arm.port for s in found}
    names = list(ports.values())
    return {arm: port if names.count(port) == 1 else arm for arm, port in ports.items()}


def _cells(found: list[Speedup], of_arm: dict[str, Speedup]) -> list[str]:
    return [format_ratio(of_arm[arm].ratio, of_arm[arm].verdict) if arm in of_arm else "-" for arm in _arms(found)]


def _peer(b: Benchmark) -> str:
    return b.name + ("*" if b.facts.differs else "")


def _differences(found: list[Speedup]) -> list[str]:
    differing = {_peer(s.other): s.other.facts.differs for s in found if s.other.facts.differs}
    return [
        f"{name}: other equations ({differs}), so it is not held to the oracle." for name, differs in differing.items()
    ]


def _interval(found: Comparison) -> str:
    return format_interval(found, 2 if found.high < 10 else 1)
