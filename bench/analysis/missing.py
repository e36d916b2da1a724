"""Arms that one of two files has and the other lacks, put together where they are missing alike."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..results.arm import Arm
from ..results.grouping import grouped
from ..results.record import Results


@dataclass(frozen=True)
class Missing:
    """Arms that a file lacks, in the same groups and for the same reason: those of a port, or all of a workload.

    Args:
        file: "OLD" or "NEW", the one that lacks them.
        arms: each of them, as the other file has it.
        whole: whether the file lacks whole groups, and all groups of that workload in which the other has arms.
        all_styles: whether it has no arm of the port in those groups.
        everywhere: whether they are missing in every group that both files have.
        shared: how many groups both files have.
        reason: why they are missing, where the file says so.
    """

    file: str
    arms: tuple[Arm, ...]
    whole: bool
    all_styles: bool
    everywhere: bool
    shared: int
    reason: str

    @property
    def names(self) -> list[str]:
        """The arms' names in a group."""
        return list(dict.fromkeys(arm.name for arm in self.arms))

    @property
    def groups(self) -> list[Arm]:
        """One arm of each group that lacks some."""
        return [arms[0] for arms in grouped(self.arms, lambda arm: arm.group).values()]


def missing_arms(old: Results, new: Results) -> Iterator[Missing]:
    """What NEW lacks, then what OLD lacks: whole groups first, by their workload, then arms, by their port."""
    for file, has, lacks in (("NEW", old, new), ("OLD", new, old)):
        there, shared = {b.arm.id for b in lacks.benchmarks}, has.groups().keys() & lacks.groups().keys()
        absent = [b.arm for b in has.benchmarks if b.arm.id not in there]
        reasons = _reasons(lacks)
        whole = [arm for arm in absent if arm.group not in shared]
        for arms in grouped(whole, lambda arm: (arm.workload.name, str(arm.workload), arm.division)).values():
            why = {_reason(reasons, arm) for arm in arms}
            yield Missing(file, tuple(arms), True, False, False, len(shared), why.pop() if len(why) == 1 else "")
        parts = [arm for arm in absent if arm.group in shared]
        where = grouped(parts, lambda arm, why=reasons: (arm.port, arm.name, _reason(why, arm)))
        alike = grouped(where.items(), lambda row: (row[0][0], row[0][2], tuple(arm.group for arm in row[1])))
        for (port, reason, groups), rows in alike.items():
            arms = tuple(arm for _, found in rows for arm in found)
            left = any(b.arm.port == port and b.arm.group in groups for b in lacks.benchmarks)
            yield Missing(file, arms, False, not left, len(groups) == len(shared), len(shared), reason)


def _reasons(results: Results) -> dict[tuple[str, ...], str]:
    """Why arms have no number, by their ids; by group and port where the port was not available."""
    return {
        (u.arm.id,) if u.arm.style is not None else (u.arm.group, u.arm.port): u.reason.rstrip(".")
        for u in results.untimed
    }


def _reason(reasons: dict[tuple[str, ...], str], arm: Arm) -> str:
    return reasons.get((arm.id,), reasons.get((arm.group, arm.port), ""))
