"""From what was asked for to the arms that are measured."""

from ..results.grouping import grouped
from ..results.record import Arm, Plan
from .arms import arms_of, calibration_arms, packages_of

#: Float32 matrix products are computed in float32: no TF32 on a GPU.
MATMUL_PRECISION = "highest"


def expand(plan: Plan) -> list[Arm]:
    """All arms of a plan, group by group. All choices of one kernel share a division."""
    groups = [
        arms
        for workload in plan.workloads
        for phase in plan.phases
        for arms in (
            [calibration_arms(workload, phase, trial + 1) for trial in range(plan.trials)]
            or [
                arms_of(workload, phase, plan.ports, plan.styles, kernels, plan.peers)
                for kernels in grouped(plan.kernels, lambda kernel: kernel.name).values()
            ]
        )
    ]
    return [arm for arms in groups for arm in arms]


def packages_of_plan(plan: Plan) -> list[str]:
    """The distributions whose versions can change what is measured."""
    return [package for name in (*plan.ports, *plan.peers) for package in packages_of(name)]
