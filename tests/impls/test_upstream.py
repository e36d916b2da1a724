"""The frameworks' own parts, as they are today: a fix upstream fails here on the day on which it is installed."""

from dataclasses import replace

import jax
import pytest
from trigru.common.checks import CHECKS
from trigru.common.equivalence import Measurement, verify
from trigru.impls import unavailable
from trigru.impls.upstream import GONE, NAMES, NEW, ON_RECORD, find_departures, upstream
from trigru.impls.upstream.departure import lacks

pytestmark = pytest.mark.usefixtures("rank_promotion")
available = [name for name in NAMES if not unavailable(name)]
ALL = [(name, departure) for name in available for departure in upstream(name).DEPARTURES]


@pytest.fixture
def rank_promotion():
    """The frameworks' own parts broadcast biases over the batch, which our tests otherwise forbid."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize(("name", "departure"), ALL, ids=[f"{name}-{d.name}" for name, d in ALL])
def test_a_departure_is_seen_where_it_is_on_record(name, departure):
    seen = departure.evidence()
    assert (seen is not None) == departure.expected, (
        f"{departure.part}: {departure.what}: {seen or 'is gone: set fixed_in'}"
    )


@pytest.mark.parametrize("name", available)
def test_every_check_that_fails_is_explained_and_every_departure_fails_one_of_its_checks(name):
    module = upstream(name)
    measurements = verify([module.PORT])
    assert [f for f in find_departures(name, measurements) if f.status != ON_RECORD] == []
    failed = {m.check for m in measurements if not m.passed}
    for departure in module.DEPARTURES:
        if departure.expected and departure.checks:
            assert failed & set(departure.checks), departure.name
    assert {m.check for m in measurements} == {check.name for check in CHECKS}


def statuses(monkeypatch, *departures, measurements=()):
    module = upstream(available[0])
    monkeypatch.setattr(module, "DEPARTURES", departures)
    return [(f.what, f.status) for f in find_departures(available[0], measurements)]


def departure(**changes):
    return replace(ALL[0][1], what="departs", evidence=lambda: "seen", **changes)


def test_one_that_is_gone_is_told(monkeypatch):
    assert statuses(monkeypatch, departure()) == [("departs", ON_RECORD)]
    assert statuses(monkeypatch, replace(departure(), evidence=lambda: None)) == [("departs", GONE)]


def test_one_that_was_fixed_is_told_only_when_it_comes_back(monkeypatch):
    fixed = departure(fixed_in="0.0.1")
    assert not fixed.expected
    assert departure(fixed_in="999").expected
    assert statuses(monkeypatch, fixed) == [("departs", NEW)]
    assert statuses(monkeypatch, replace(fixed, evidence=lambda: None)) == []


def test_evidence_that_fails_is_told_and_the_rest_goes_on(monkeypatch):
    def fails():
        raise RuntimeError("moved\naway")

    found = statuses(monkeypatch, replace(departure(), evidence=fails), departure())
    assert found == [("departs", NEW), ("departs", ON_RECORD)]


def test_a_failed_check_is_told_unless_a_departure_that_is_seen_explains_it(monkeypatch):
    port = upstream(available[0]).PORT.name
    failed = [
        Measurement(port, "chunks", None, "carry", "float64", 1.0, 1e-12),
        Measurement(port, "carry", None, "carry", "float64", 0.0, 1e-12),
        Measurement("another", "step", None, "carry", "float64", 1.0, 1e-12),
    ]
    explains = departure(checks=("chunks",))
    assert statuses(monkeypatch, measurements=failed) == [("fails chunks", NEW)]
    assert statuses(monkeypatch, explains, measurements=failed) == [("departs", ON_RECORD)]
    gone = replace(explains, evidence=lambda: None)
    assert statuses(monkeypatch, gone, measurements=failed) == [("departs", GONE), ("fails chunks", NEW)]


def test_departures_name_checks_that_exist_and_packages_that_are_there():
    known = {check.name for check in CHECKS}
    for name, departure in ALL:
        assert set(departure.checks) <= known
        assert departure.part == upstream(name).PORT.name
        assert departure.package in upstream(name).PORT.packages
    assert len({(name, departure.name) for name, departure in ALL}) == len(ALL)


def test_an_argument_that_appears_is_no_evidence():
    assert lacks("resets", lambda x: x)() is not None
    assert lacks("x", lambda x: x)() is None
