"""The least difference that a run may find, before it starts, and could have found, at its end."""

from ..analysis.sight import least_expected, sight
from ..results.arm import Plan
from ..results.record import Results
from .provenance import short_group

ONE_PROCESS = "One process does not show how processes differ: small differences may be chance."


def expectation(plan: Plan) -> str:
    """What a run of this plan will be able to find."""
    least = f"{least_expected(plan.processes, plan.rounds):.1%}"
    condition = "where calls are fast, and the machine is as quiet as that in docs/measurement.md"
    if plan.processes == 1:
        return f"{ONE_PROCESS} Differences below {least} may be, {condition}."
    return f"{plan.processes} processes: a difference of {least} will be found four times in five, {condition}."


def sight_lines(results: Results) -> list[str]:
    """What a run could find. Empty if nothing was measured."""
    groups = results.groups()
    shown = sorted((least, short_group(groups[group][0].arm)) for group, least in sight(results).items())
    if not shown:
        return []
    (low, first), (high, last) = shown[0], shown[-1]
    spread = f"{low:.1%}" if len(shown) == 1 else f"{low:.1%} ({first}) to {high:.1%} ({last})"
    lines = [f"Differences from the baseline that this run could find four times in five: {spread}."]
    return lines + [ONE_PROCESS] * (results.trigru.plan.processes == 1)
