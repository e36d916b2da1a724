"""Every port passes every check, and the errors are measured as documented."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trigru.common.cases import Case
from trigru.common.checks import CHECKS, checks_named
from trigru.common.equivalence import DTYPES, accuracy_bound, assert_equivalent, relative_error, verify
from trigru.common.errors import UnknownNameError
from trigru.impls import get_port


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_port_passes(port, check):
    assert_equivalent(port, checks=[check])


sizes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))


@given(sizes, st.integers(0, 2**16))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_port_passes_at_any_size(port, shape, seed):
    sequences = checks_named("sequence", "chunks", "resets")
    assert_equivalent(port, dtypes=["float64"], checks=sequences, cases=[Case.random(*shape, seed=seed)])


def test_errors_are_relative_to_the_largest_reference_magnitude():
    assert relative_error([1.0, 10.1], [1.0, 10.0]) == pytest.approx(0.01)
    assert relative_error([0.5], [0.0]) == 0.5
    assert np.isnan(relative_error([np.nan], [1.0]))


def test_the_accuracy_bound_is_four_times_numpys_error_and_four_ulps():
    eps = float(np.finfo("f4").eps)
    assert accuracy_bound([1.0], [1.0], "float32") == 4 * eps
    assert accuracy_bound([1.01], [1.0], "float32") == pytest.approx(0.04 + 4 * eps)


def test_a_case_has_the_lengths_that_matter():
    case = Case.random(4, 7, 2, 3)
    assert case.lengths[0] == 0
    assert case.lengths[1] == 7
    assert case.resets.any()
    assert not case.resets.all()


def test_widening_keeps_values_and_the_question():
    case = Case.random(2, 3, 2, 2).astype("float32")
    wide = case.widened()
    assert wide.x.dtype == "float64"
    assert wide.asked_in == "float32"
    np.testing.assert_array_equal(wide.x, case.x)


def test_iterators_are_checked_whole():
    names = ("conversion", "sequence")
    listed = verify([get_port("pure")], checks=checks_named(*names))
    iterated = verify((p for p in [get_port("pure")]), checks=iter(checks_named(*names)), dtypes=iter(DTYPES))
    assert [str(m) for m in iterated] == [str(m) for m in listed]
    assert {m.check for m in iterated} == set(names)


def test_a_dtype_without_a_question_is_refused():
    with pytest.raises(UnknownNameError, match="unknown dtype 'float16'. Known: float64, float32"):
        verify([get_port("pure")], dtypes=["float16"])


def test_one_sequence_has_a_length_that_counts():
    assert all(Case.random(1, 5, 2, 2, seed=seed).lengths[0] >= 1 for seed in range(20))
