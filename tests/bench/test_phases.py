"""A phase has all that a run of it needs, and one that is not known is refused where a
branch for it is missing.
"""

from dataclasses import replace

import numpy as np
import optax
import pytest
from trigru.bench.arms.admission import get_reference
from trigru.bench.arms.workloads import get_workload
from trigru.bench.commands.options import checks_of, make_plan
from trigru.bench.proving.messages import PortId
from trigru.bench.proving.questions import expand
from trigru.bench.reporting.sentences import SUBJECTS
from trigru.bench.results.arm import Sized
from trigru.common.config import GRUConfig
from trigru.common.equality.contract.arrays import arrays_of
from trigru.common.equality.contract.calling import call_directly
from trigru.common.equality.contract.cases import USUAL
from trigru.common.equality.contract.expected import answers_to
from trigru.common.parameters.record import random_params
from trigru.common.port.names import PHASES
from trigru.common.port.styles import make_task
from trigru.common.port.task import Batch
from trigru.impls import get_port, get_style, own_ports

UNKNOWN = "no branch for the phase 'other'"


@pytest.fixture
def other(unchecked):
    """A case of a phase that is not known."""
    return replace(USUAL, phase="other")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", own_ports())
def test_a_first_look_asks_about_a_phase_in_each_of_its_checks(name, phase):
    plan = make_plan([name], None, [phase], None, None, quick=True)
    for check in checks_of(plan):
        cases = []
        for question in expand([PortId(name)], ("float64",), [check], {phase: None}):
            if question.case.entry == "steps":
                cases.append("step")
            else:
                cases.append(question.case.phase)
        assert phase in cases


def test_each_phase_has_a_name_in_sentences():
    assert set(SUBJECTS) == set(PHASES)


@pytest.mark.parametrize(("name", "style"), [("pure", "jit"), ("nnx", "nnx.jit")])
def test_no_call_style_computes_another_phase_in_place_of_one_it_does_not_know(
    name, style
):
    port = get_port(name)
    task = make_task(port, "other", optax.sgd(0.1))
    config = GRUConfig(4, 5)
    model = port.load(config, random_params(config))
    with pytest.raises(NotImplementedError, match=UNKNOWN):
        get_style(port, style).build(port, model, task)


def test_a_batch_has_no_arguments_for_a_phase_that_is_not_known():
    batch = Batch(np.ones((2, 3, 4)), np.ones((2, 3, 5)))
    with pytest.raises(NotImplementedError, match=UNKNOWN):
        batch.arguments("other")


def test_no_arm_of_a_phase_that_is_not_known_is_admitted():
    with pytest.raises(NotImplementedError, match=UNKNOWN):
        get_reference(get_workload(Sized("tiny")), "other", "float32")


def test_nothing_is_expected_of_a_case_whose_phase_is_not_known(other):
    with pytest.raises(NotImplementedError, match=UNKNOWN):
        answers_to(other, arrays_of(other), np.float64)


def test_no_case_whose_phase_is_not_known_is_called(other):
    port, arrays = get_port("pure"), arrays_of(other)
    arguments = arrays.passed, arrays.weights, arrays.d_carry
    with pytest.raises(NotImplementedError, match=UNKNOWN):
        call_directly(other, port, None, *arguments)
