"""The harness is required to fail: every mutant is noticed, by the check that is there for it."""

import pytest
from trigru.common.checks import CHECKS, checks_named
from trigru.common.equivalence import assert_equivalent, verify
from trigru.impls.mutants import MUTANTS
from trigru.impls.pure import PORT, PurePort


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_check_notices_the_mutant(mutant):
    found = verify([mutant.port], checks=checks_named(mutant.check))
    assert any(not m.passed for m in found), f"{mutant.fault}: unnoticed by {mutant.check}"


def test_mutants_are_many_and_named_apart():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25
    assert len({mutant.fault for mutant in MUTANTS}) == len(MUTANTS)


def test_every_check_has_a_mutant_that_it_is_there_for():
    named = {mutant.check for mutant in MUTANTS}
    # a detached carry is caught by both; "carry" has its own besides
    assert named == {check.name for check in CHECKS}


def test_the_unmutated_port_passes():
    assert_equivalent(PORT)


class Raises(PurePort):
    """Fails in its own way."""

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        raise RuntimeError("no such luck")


class NaN(PurePort):
    """Gives no numbers."""

    def apply(self, model, x, carry=None, *, lengths=None, resets=None):
        carry, outputs = super().apply(model, x, carry, lengths=lengths, resets=resets)
        return carry * float("nan"), outputs * float("nan")


def test_a_failure_names_port_check_quantity_and_sizes():
    (mutant,) = (m for m in MUTANTS if m.name == "step-no-b-hn")
    with pytest.raises(AssertionError) as error:
        assert_equivalent(mutant.port, checks=checks_named("step"))
    assert "pure: step: outputs in float64: error " in str(error.value)
    assert "at most 1.0e-12 allowed" in str(error.value)


def test_an_exception_is_a_failure_with_its_message():
    found = verify([Raises()], checks=checks_named("sequence"), dtypes=["float64"])
    assert [str(m) for m in found] == ["pure: sequence: call in float64: RuntimeError: no such luck"]


def test_nan_fails():
    found = verify([NaN()], checks=checks_named("sequence"))
    assert not any(m.passed for m in found if m.quantity in ("carry", "outputs"))
