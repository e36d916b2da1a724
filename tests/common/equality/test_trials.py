"""What a trial compares, and what is said of one that fails."""

import re
import warnings
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest
from trigru.common.equality.checks import Check, Trial
from trigru.common.equality.checks.check import REFUSED, require_trials
from trigru.common.equality.verification import Examiner
from trigru.common.errors import DefectError, InputError, NotOfferedError
from trigru.impls import get_port
from trigru.impls.pure import PurePort

PURE = get_port("pure")
ONES = np.ones(2)
NOT_OFFERED = NotOfferedError("no such thing")


def measure(*trials, port=PURE):
    """The measurement of a check that is made up."""
    return Examiner().ask(port, Check("made up", "", trials=lambda port: trials))


@pytest.mark.parametrize(
    ("result", "bound", "problem"),
    [
        (1 + 1e-11 * ONES, 1e-10, None),
        (1 + 1e-11 * ONES, 1e-12, "has error 1.0e-11, at most 1.0e-12 allowed"),
        (np.nan * ONES, np.inf, "has error nan"),
        (np.ones(3), 1e-12, r"has float64\(3,\), expected float64\(2,\)"),
        (1.0, 1e-12, r"has float\(\), expected"),
        (None, 1e-12, "0 arrays, expected 1"),
        (np.nextafter(ONES, 2), None, "has other bits"),
    ],
)
def test_arrays_that_are_missing_or_differ_have_failed(result, bound, problem):
    trial = Trial("a trial", lambda: {"a": result}, {"a": ONES}, bound)
    measurement = measure(trial)
    assert measurement.passed == (problem is None)
    if problem is not None:
        assert re.search(f"a trial: .*{problem}", str(measurement))


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (NOT_OFFERED, "not offered: no such thing"),
        (DefectError("it leaks"), "a trial: it leaks."),
        (KeyError("x"), "a trial: KeyError: 'x'"),
        (
            TypeError("Error interpreting argument to load"),
            "a trial: TypeError: Error interpreting",
        ),
    ],
)
def test_a_trial_that_raises_has_failed(error, problem):
    measurement = measure(Trial("a trial", Mock(side_effect=error)))
    assert str(measurement.problem).startswith(problem)
    assert not measurement.passed
    assert measurement.offered == (error is not NOT_OFFERED)


class Opaque(PurePort):
    """Models that are no pytrees, as NNX's before Flax 0.12."""

    def load(self, config, params):
        return object()


def test_a_port_whose_models_are_no_pytrees_does_not_offer_what_needs_them():
    error = TypeError("Error interpreting argument to load")
    measurement = measure(Trial("a trial", Mock(side_effect=error)), port=Opaque())
    assert not measurement.offered
    lack = "not offered: a model that is a pytree, with the installed versions of jax, jaxlib ("
    assert str(measurement.problem).startswith(lack)


def test_a_port_whose_models_are_no_pytrees_fails_for_other_reasons():
    error = TypeError("got an unexpected keyword argument")
    measurement = measure(Trial("a trial", Mock(side_effect=error)), port=Opaque())
    assert measurement.offered
    assert str(measurement.problem).startswith("a trial: TypeError: got an unexpected")


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (InputError, None),
        (NotOfferedError, None),
        (TypeError, "bad: TypeError, expected an InputError."),
        (DefectError, "bad: a message."),
    ],
)
def test_a_bad_call_has_to_be_refused_by_an_error_of_ours(error, problem):
    refused = Trial("bad", Mock(side_effect=error("a message")), REFUSED)
    assert measure(refused).problem == problem


def test_a_bad_call_that_goes_through_has_failed():
    assert not measure(Trial("bad", lambda: 1, REFUSED)).passed


def test_a_trial_silences_no_warning_of_others():
    filters = warnings.filters[:]
    silencing = Trial("silencing", partial(warnings.simplefilter, "ignore"))
    warning = Trial("warning", partial(warnings.warn, "a message"))
    assert "warning: UserWarning: " in str(measure(silencing, warning))
    assert warnings.filters == filters


def test_what_is_not_offered_is_left_out_beside_the_rest():
    lacking = Trial("lacking", Mock(side_effect=NOT_OFFERED))
    off = Trial("off", lambda: ONES, ONES * (1 + 1e-13))
    assert measure(lacking, off).error == pytest.approx(1e-13, rel=0.01)
    assert not measure(lacking).offered


def test_no_more_than_three_failures_are_named():
    trials = [Trial(f"trial {n}", lambda: None, ONES) for n in range(5)]
    named = re.findall(r"trial \d", str(measure(*trials)))
    assert named == ["trial 0", "trial 1", "trial 2"]


def test_a_check_without_trials_is_not_offered():
    assert not Examiner().ask(PURE, Check("made up", "")).offered


@pytest.mark.parametrize("error", [NOT_OFFERED, KeyError("x")])
def test_a_defect_counts_whatever_is_raised_by_what_makes_the_trials(error):
    def trials(first):
        yield first
        raise error

    with pytest.raises(DefectError, match=r"^wrong: 0 arrays, expected 1\.$"):
        require_trials(trials(Trial("wrong", lambda: None, ONES)))
    with pytest.raises(type(error)):
        require_trials(trials(Trial("right", lambda: None)))
