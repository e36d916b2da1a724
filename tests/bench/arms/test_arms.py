"""Arms: what is timed, and on which data."""

from unittest.mock import Mock

import numpy as np
import pytest
from support.golden import check_golden
from support.runs import PORTS, make_arm, plan
from trigru.bench.arms import arms
from trigru.bench.arms.arms import expand, packages_of
from trigru.bench.arms.workloads import QUICK, STANDARD, WORKLOADS, get_workload
from trigru.bench.results.arm import Sized
from trigru.common.datasets import japanese_vowels
from trigru.common.errors import UnavailableError
from trigru.common.parameters.record import leaves, random_params
from trigru.common.port.protocol import CallStyle
from trigru.common.port.styles import functional_program
from trigru.impls.pure import PurePort


@pytest.mark.parametrize("division", ["stock", "fused"])
def test_benchmark_ids_are_pinned(division):
    """Results of different versions are matched by them.

    The fused division has each port in its first style.
    """
    found = expand(plan(ports=PORTS, phases=("train_step",), kernels=(division,)))
    check_golden(
        f"arms-{division}", "\n".join(f"{arm.id}, {arm.role}" for arm in found)
    )
    assert found == [
        make_arm(arm.name, phase="train_step", division=division) for arm in found
    ]


def test_a_plan_without_styles_has_every_style_of_a_port_and_the_baseline_once(
    monkeypatch,
):
    scan = CallStyle("scan", "", functional_program)
    monkeypatch.setattr(PurePort, "call_styles", (*PurePort.call_styles, scan))
    found = expand(plan(ports=("pure",), phases=("step",)))
    assert [arm.name for arm in found] == [
        "pure[jit]",
        "pure[jit]#2",
        "pure[leaves]",
        "pure[scan]",
    ]


def test_a_plan_hands_on_its_styles():
    planned = plan(ports=("nnx",), styles=("pytree",))
    assert [arm.name for arm in expand(planned)[2:]] == ["nnx[pytree]"]
    assert "flax" in packages_of(planned.ports)


def test_a_port_that_is_not_to_be_had_has_one_arm_of_an_unknown_style(monkeypatch):
    refuse = Mock(side_effect=UnavailableError("it is not installed"))
    monkeypatch.setattr(arms, "get_port", refuse)
    planned = plan(ports=("nnx",), styles=("pytree",))
    assert [arm.name for arm in expand(planned)[2:]] == ["nnx[?]"]
    assert packages_of(planned.ports) == []


def test_where_matrix_products_dominate_the_styles_of_a_first_look_are_enough():
    large = plan(workloads=("large",), ports=PORTS)
    check_golden("arms-large", "\n".join(arm.name for arm in expand(large)))


def test_styles_that_were_asked_for_are_timed_where_matrix_products_dominate():
    chosen = plan(workloads=("large",), ports=("nnx",), styles=("pytree",))
    assert [arm.name for arm in expand(chosen)[2:]] == ["nnx[pytree]"]


def test_workloads_are_pinned():
    lines = [f"{w.name} {w.shape} speech={w.is_speech}" for w in WORKLOADS]
    check_golden("workloads", "\n".join(lines))
    assert set(QUICK) < set(STANDARD) < {w.name for w in WORKLOADS}


def test_the_utterances_are_real_and_of_unequal_length():
    workload = get_workload(Sized("utterances"))
    batch = workload.batch()
    assert batch.x.shape == (32, 29, 12)
    assert batch.x.dtype == "float32"
    assert workload.steps == batch.lengths.sum() < 32 * 29

    utterances = japanese_vowels("train")
    for x, length in zip(batch.x, batch.lengths, strict=True):
        is_it = (utterances.inputs == x).all(axis=(1, 2))
        (row,) = np.flatnonzero(is_it)
        assert utterances.lengths[row] == length
        assert not x[length:].any()


def test_only_valid_steps_of_the_utterances_have_targets():
    workload = get_workload(Sized("utterances"))
    batch = workload.batch()
    assert batch.targets.shape == (32, 29, workload.hidden_size)
    for targets, length in zip(batch.targets, batch.lengths, strict=True):
        assert targets[:length].all()
        assert not targets[length:].any()


def test_parameters_are_those_of_the_record():
    for workload in WORKLOADS:
        arrays = leaves(random_params(workload.config()))
        assert workload.parameters == sum(array.size for array in arrays.values())


def test_a_workload_has_the_same_data_in_every_process():
    for workload in WORKLOADS[:3]:
        for once, again in zip(workload.batch(), workload.batch(), strict=True):
            np.testing.assert_array_equal(once, again)
