"""What a file's measurements may not say together."""

import pytest
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
