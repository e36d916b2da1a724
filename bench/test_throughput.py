"""The workloads and arms of `trigru compare` as a pytest-benchmark suite.

    pytest bench --benchmark-only -k tiny

pytest-benchmark times arms one after the other, so a drift of the machine looks like a
difference between them.
"""

import jax
import pytest
from trigru.bench.arms.arms import expand, prepare
from trigru.bench.arms.workloads import WORKLOADS
from trigru.bench.commands.options import make_plan
from trigru.bench.results.arm import Arm
from trigru.common.errors import UnavailableError
from trigru.common.port.names import PHASES

PLAN = make_plan(
    None,
    [workload.name for workload in WORKLOADS],
    list(PHASES),
    None,
    None,
    quick=False,
)


@pytest.mark.parametrize(
    "arm", [arm for arm in expand(PLAN) if arm.copy == 1], ids=lambda arm: arm.id
)
def test_throughput(benchmark, arm: Arm) -> None:
    """Compare one arm with the oracle, then time it, blocking on the outputs."""
    benchmark.group = arm.group
    with jax.default_matmul_precision(arm.precision):
        try:
            ready = prepare(arm)
        except UnavailableError as error:
            pytest.skip(str(error))
        benchmark.extra_info["leaves"] = ready.program.leaves
        benchmark.pedantic(
            lambda: ready.wait(ready.call()),
            rounds=20,
            iterations=100 if arm.workload.name == "tiny" else 1,
            warmup_rounds=2,
        )
