"""The harness is required to fail: every fault is noticed, by the check that is there for it."""

import pytest
from trigru.common.equality import oracle
from trigru.common.equality.checks import CHECKS, get_checks
from trigru.common.equality.verification import assert_equivalent, verify
from trigru.common.errors import InputError, NotOfferedError
from trigru.impls.faults import FAULTS
from trigru.impls.pure import PORT, PurePort


def test_faults_are_many_and_named_apart():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 25
    assert len({fault.what for fault in FAULTS}) == len(FAULTS)


def test_every_check_has_a_fault_that_it_is_there_for():
    named = {fault.check for fault in FAULTS}
    assert named == {check.name for check in CHECKS} - {"golden"}  # a port alone can't show what that is there for


def test_golden_vectors_notice_a_change_in_oracle_and_port_together(monkeypatch):
    """Both forget b_hn: they still agree."""
    forward, backward = oracle.forward, oracle.backward

    def forgetting(params, *arguments, **options):
        return forward(params._replace(bias_n=0 * params.bias_n), *arguments, **options)

    def with_no_gradient(params, *arguments):
        found = backward(params, *arguments)
        return found._replace(params=found.params._replace(bias_n=0 * found.params.bias_n))

    monkeypatch.setattr(oracle, "forward", forgetting)
    monkeypatch.setattr(oracle, "backward", with_no_gradient)
    (fault,) = (m for m in FAULTS if m.name == "no-b-hn")
    found = verify([fault.port], checks=get_checks("sequence", "golden"), dtypes=["float64"])
    assert {m.check for m in found if not m.passed} == {"golden"}


def test_what_is_not_offered_fails_and_is_said():
    found = verify([Partial()], checks=get_checks("resets", "lengths"), dtypes=["float64"])
    assert {(m.check, m.passed, m.offered) for m in found} == {("resets", False, False), ("lengths", True, True)}
    assert "pure: resets: call in float64: not offered: no resets here" in map(str, found)


class Partial(PurePort):
    """Has not everything, and says so."""

    def apply(self, model, x, carry=None, **options):
        if "resets" in options:
            raise NotOfferedError("no resets here")
        return super().apply(model, x, carry, **options)


def test_a_failure_names_port_check_quantity_and_sizes():
    (fault,) = (m for m in FAULTS if m.name == "step-no-b-hn")
    with pytest.raises(AssertionError) as error:
        assert_equivalent(fault.port, checks=get_checks("step"))
    assert "pure: step: outputs in float64: error " in str(error.value)
    assert "at most 1.0e-12 allowed" in str(error.value)


def test_what_measures_nothing_passes_nothing():
    with pytest.raises(AssertionError, match="nothing was measured"):
        assert_equivalent(PORT, checks=get_checks("chunks"), dtypes=["float32"])
    with pytest.raises(InputError, match="there is no check to ask"):
        assert_equivalent(PORT, checks=())


def test_a_port_without_a_call_style_fails_where_one_is_needed():
    class Styleless(PurePort):
        call_styles = ()

    found = verify([Styleless()], checks=get_checks("forward", "training"), dtypes=["float64"])
    assert {(m.check, m.passed) for m in found} == {("forward", False), ("training", False)}
