"""What a run will be able to see, and what it could see, in a sentence."""

from ..analysis.duration import expected_s
from ..analysis.sight import least_expected, sight
from ..results.arm import Plan
from ..results.record import Results
from .provenance import short_group


def expectation(plan: Plan) -> str:
    """How long a run of this plan will take and what it will be able to see, said before it starts."""
    expected = expected_s(plan)
    about = f"about {expected:.0f} s in all" if expected < 120 else f"about {expected / 60:.0f} minutes in all"
    least = f"{least_expected(plan.processes, plan.rounds):.1%}"
    condition = "where calls are fast, and the machine is as quiet as that in docs/measurement.md"
    if plan.processes == 1:
        return (
            f"It will take {about}. One process does not show how processes differ: differences below {least} may be "
            f"chance, {condition}."
        )
    return (
        f"It will take {about}. {plan.processes} processes: a difference of {least} will be found four times in five, "
        f"{condition}."
    )


def sight_lines(results: Results) -> list[str]:
    """What a run could see, said at its end. Empty if nothing was measured."""
    groups = results.groups()
    found = sorted((least, short_group(groups[group][0].arm)) for group, least in sight(results).items())
    if not found:
        return []
    (low, first), (high, last) = found[0], found[-1]
    spread = f"{low:.1%}" if len(found) == 1 else f"{low:.1%} ({first}) to {high:.1%} ({last})"
    lines = [f"Differences from the baseline that this run could find four times in five: {spread}."]
    if results.trigru.plan.processes == 1:
        lines.append("It had one process, which does not show how processes differ: small differences may be chance.")
    return lines
