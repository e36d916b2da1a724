"""About how long a run will take: what asks for more takes longer."""

import pytest
from support.runs import plan
from trigru.bench.analysis.duration import expected_s

USUAL = {"ports": ("pure", "linen", "nnx", "equinox"), "rounds": None, "processes": 4}


@pytest.mark.parametrize(
    "more",
    [
        {"processes": 5},
        {"phases": ("forward", "step")},
        {"workloads": ("tiny", "question")},
        {"workloads": ("tiny@hidden=2000",)},
        {"workloads": ("tiny@time=20000",)},
        {"phases": ("train_step",), "workloads": ("medium",)},
        {"compile_anew": True},
        {"rounds": 100},
        {"kernels": ("stock", "fused")},
        {"styles": None},
    ],
)
def test_what_asks_for_more_takes_longer(more):
    few = USUAL | {"styles": ("functional",), "compile_anew": False, "sample_time_s": 2.5e-3}
    assert expected_s(plan(**few | more)) > expected_s(plan(**few)) + 0.001


def test_a_group_of_long_calls_has_fewer_rounds_and_no_more_time_than_its_limit():
    one, two = (expected_s(plan(**USUAL, workloads=(f"large@time={time}",))) for time in (1000, 2000))
    assert one < two < 2.5 * one
