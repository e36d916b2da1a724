"""About how long a run will take, before it starts, from the operations of its arms."""

import numpy as np

from ..arms.plan import compiling_processes, expand
from ..arms.work import work_of
from ..arms.workloads import workload_of
from ..results.arm import Arm, Plan
from ..results.grouping import grouped
from ..timing.worker import GROUP_TIME_S, MIN_ROUNDS, MOST_ROUNDS, ROUNDS, SHORT_GROUP_TIME_S

#: Seconds to start a process and to measure the machine's limits; to get an arm ready, and to compile it beside that,
#: which some processes do; of crossing the jit boundary. As seen on two cores.
START_S, READY_S, COMPILE_S, CALL_S = 6.0, 0.17, 0.45, 1e-4
#: Operations a second where a time step has this many: larger matrix products run faster, by this power of them.
FLOP_PER_S, STEP_FLOPS, FASTER_BY = 3e10, 1e5, 0.2
#: Calls of an arm beside those that are timed: its admission, and its warm-up.
OTHER_CALLS = 12


def expected_s(plan: Plan) -> float:
    """Seconds that a run of this plan takes on a processor of two cores; a GPU takes less for large models.

    A factor of two either way has to be expected.
    """
    arms = expand(plan)
    each = sum(
        _group_s(plan, list(map(_call_s, of_group))) for of_group in grouped(arms, lambda arm: arm.group).values()
    )
    compiling = compiling_processes(plan.processes, plan.compile_anew)
    return plan.processes * (START_S + each) + compiling * COMPILE_S * len(arms)


def _call_s(arm: Arm) -> float:
    workload = workload_of(arm)
    flops = work_of(workload, arm.phase).flops
    of_step = flops / (1 if arm.phase == "step" else workload.time)
    return CALL_S + flops / (FLOP_PER_S * (of_step / STEP_FLOPS) ** FASTER_BY)


def _group_s(plan: Plan, calls_s: list[float]) -> float:
    """Of one group in one process."""
    round_s = sum(max(plan.sample_time_s, call_s) for call_s in calls_s)
    few = ROUNDS if plan.processes > 1 else 2 * ROUNDS
    rounds = plan.rounds or int(np.clip(SHORT_GROUP_TIME_S / round_s, few, MOST_ROUNDS))
    least = min(-(-MIN_ROUNDS // plan.processes), rounds)
    rounds = int(np.clip(GROUP_TIME_S / plan.processes / round_s, least, rounds))
    return len(calls_s) * READY_S + OTHER_CALLS * sum(calls_s) + rounds * round_s
