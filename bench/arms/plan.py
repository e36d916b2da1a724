"""What to measure, in plain data: it travels to the processes that measure, and into the results file."""

from msgspec import Struct

from ...common.gru.kernels import STOCK
from ..timing.sampling import SAMPLE_TIME_S
from .arms import Arm, arms_of, calibration_arms, divisions_of, packages_of

__all__ = ["MATMUL_PRECISION", "PROCESSES", "Plan"]

#: Float32 products are float32 products: no TF32 on a GPU.
MATMUL_PRECISION = "highest"
PROCESSES = 5


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """What to measure.

    Args:
        workloads, phases, ports, peers: names.
        styles: call styles, or None for all.
        processes: fresh interpreters, each of which measures everything.
        rounds: for each group in each process, fewer where they would take too long; None for as many as fit a time.
        sample_time_s: least duration of a sample of fewer than twenty calls.
        seed: of the orders and the bootstrap.
        excluded: ports, or ports on a kernel as in "linen:fused", that get no number, with the reason.
        trials: above 0, calibrate instead: groups of a baseline's copies and of arms that are slowed.
        kernels: names; a group for each division of theirs.
    """

    workloads: tuple[str, ...]
    phases: tuple[str, ...]
    ports: tuple[str, ...]
    peers: tuple[str, ...] = ()
    styles: tuple[str, ...] | None = None
    processes: int = PROCESSES
    rounds: int | None = None
    sample_time_s: float = SAMPLE_TIME_S
    seed: int = 0
    excluded: dict[str, str] = {}
    trials: int = 0
    kernels: tuple[str, ...] = (STOCK,)

    def packages(self) -> list[str]:
        """The distributions whose versions can change what is measured."""
        return [package for name in (*self.ports, *self.peers) for package in packages_of(name)]

    def groups(self) -> dict[str, list[Arm]]:
        """The arms that are compared with each other, by group."""
        found = [
            arms
            for workload in self.workloads
            for phase in self.phases
            for arms in (
                [calibration_arms(workload, phase, trial + 1) for trial in range(self.trials)]
                or [
                    arms_of(workload, phase, self.ports, self.styles, kernels, self.peers)
                    for kernels in divisions_of(self.kernels).values()
                ]
            )
        ]
        return {arms[0].group: arms for arms in found}
