"""Why two runs cannot be compared, in part or at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..results.record import Benchmark, Results
from ..timing.machine import machine_differences
from .rates import baseline_of


@dataclass(frozen=True)
class Problem:
    """Why two files cannot be compared.

    Args:
        what: "interrupted": a file is of an interrupted run. "machine": it differs. "work": both files
            have a group of this name, but with other work.
        allowed: whether it was accepted, by allow_missing or allow_other_machine.
        file: OLD or NEW, where the problem is in one file.
        group: where the problem is in one group.
        was, now: what differs.
    """

    what: Literal["interrupted", "machine", "work"]
    allowed: bool
    file: str = ""
    group: str = ""
    was: str = ""
    now: str = ""


def problems_of(old: Results, new: Results, *, allow_missing: bool, allow_other_machine: bool) -> list[Problem]:
    """What stands against comparing two runs; arms that one of them lacks are told by `missing_arms`.

    Args:
        allow_missing: accept files of interrupted runs, and groups of one name that are other work.
        allow_other_machine: accept another device or environment.
    """
    return [
        *_incomplete(old, new, allow_missing),
        *_other_machine(old, new, allow_other_machine),
        *_other_work(old, new, allow_missing),
    ]


def _incomplete(old: Results, new: Results, allowed: bool) -> Iterator[Problem]:
    for name, results in (("OLD", old), ("NEW", new)):
        if not results.trigru.complete:
            yield Problem("interrupted", allowed, file=name)


def _other_machine(old: Results, new: Results, allowed: bool) -> Iterator[Problem]:
    was, now = old.trigru, new.trigru
    for difference in machine_differences(was.machine, now.machine, versions=False):
        yield Problem("machine", allowed, now=difference)
    if old.benchmarks and new.benchmarks and _clock_of(old) != _clock_of(new):
        yield Problem("machine", allowed, now=f"calls {_clock_of(new)}, were {_clock_of(old)}")


def _clock_of(results: Results) -> str:
    return results.benchmarks[0].facts.clock if results.benchmarks else "blocked"


def _other_work(old: Results, new: Results, allowed: bool) -> Iterator[Problem]:
    """Groups that have the same name but other work."""
    before = old.groups()
    for group, after in new.groups().items():
        was, now = (_work(benchmarks) if benchmarks else "" for benchmarks in (before.get(group), after))
        if was and was != now:
            yield Problem("work", allowed, group=group, was=was, now=now)


def _work(benchmarks: list[Benchmark]) -> str:
    baseline = baseline_of(benchmarks)
    return f"{baseline.facts.shape}, {baseline.facts.steps} steps, baseline {baseline.name}"
