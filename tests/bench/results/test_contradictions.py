"""What a file's measurements may not say together."""

from dataclasses import replace

import pytest
from support.runs import EQUAL, make_arm
from trigru.bench.results.contradictions import check_proven
from trigru.common.equality.measurement import Measurement


def row(error=1e-16, problem=None, **levels):
    return Measurement("linen", "contract", None, "carry of zeros", "float64", error, 1e-12, problem, levels=levels)


def test_rows_of_the_contract_may_measure_alike_but_not_be_asked_twice():
    check_proven([row(time="1"), row(time="2"), row()], [])
    with pytest.raises(ValueError, match="trigru.equality has linen .* twice"):
        check_proven([row(time="1"), row(time="1")], [])


def test_several_rows_may_fail_for_one_reason():
    check_proven([row(1.0, reverse="yes"), row(1.0, reverse="yes")], [])


@pytest.mark.parametrize(
    ("failed", "refused"), [("stock", {"linen[apply]", "linen[apply]:fused"}), ("fused", {"linen[apply]:fused"})]
)
def test_an_arm_stands_on_the_proof_of_its_kernel_and_of_the_stock_cell(failed, refused):
    wrong, found = replace(EQUAL, error=1.0, kernel=failed), set()
    for name in ("linen[apply]", "linen[apply]:fused", "nnx[nnx.jit]:fused"):
        try:
            check_proven([wrong], [make_arm(name, division="fused")])
        except ValueError as error:
            assert "has a number, but was not proven equal" in str(error)  # noqa: PT017
            found.add(name)
    assert found == refused
