"""From what was asked for to the arms that are measured."""

from ..results.arm import Arm, Plan
from .arms import arms_of, packages_of

#: With so many processes or fewer, one of them compiles.
FEW_PROCESSES = 4


def expand(plan: Plan) -> list[Arm]:
    """All arms of a plan, group by group. Each kernel has a division."""
    arithmetic = plan.dtype, plan.precision
    groups = [
        arms
        for workload in plan.workloads
        for phase in plan.phases
        for kernel in plan.kernels
        for arms in [arms_of(workload, phase, plan.ports, plan.styles, [kernel], *arithmetic, plan.devices)]
    ]
    return [arm for arms in groups for arm in arms]


def compiling_processes(processes: int) -> int:
    """How many of a run's processes compile its arms; the others take the programs of the last one that did.

    Compiling is a part of how processes differ, so two do; of a few, as in a first look, one.

    >>> compiling_processes(10), compiling_processes(4)
    (2, 1)
    """
    return 2 if processes > FEW_PROCESSES else 1


def packages_of_plan(plan: Plan) -> list[str]:
    """The distributions whose versions can change what is measured."""
    return [package for name in plan.ports for package in packages_of(name)]
