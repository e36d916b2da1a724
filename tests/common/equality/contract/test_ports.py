"""Every port keeps the contract: all of its rows on the stock cell, every third on the fused kernel."""

import pytest
from trigru.common.equality.checks import DTYPES, get_checks
from trigru.common.equality.verification import Examiner, questions
from trigru.common.port.protocol import WithKernel

PARTS = 4


def failures(port, start, step):
    asked = questions([port], DTYPES, get_checks("contract"))[start::step]
    assert asked
    return [str(m) for question in asked for m in Examiner().ask(question) if not m.passed]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("part", range(PARTS))
def test_every_port_keeps_the_contract(port, part):
    assert failures(port, part, PARTS) == []


@pytest.mark.usefixtures("unchecked")
def test_so_does_the_fused_kernel(port):
    assert failures(WithKernel(port, "fused"), 0, 3) == []
