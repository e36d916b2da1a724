"""The frameworks' own parts, as they are today: a fix upstream fails here on the day on which it is installed."""

import subprocess
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from trigru.bench.proving.questions import OF_PARTS
from trigru.common.config import GRUConfig
from trigru.common.equality.cases import Case
from trigru.common.equality.verification import Measurement, verify
from trigru.impls import linen, unavailable
from trigru.impls import nnx as nnx_port
from trigru.impls.upstream import GONE, NAMES, NEW, ON_RECORD, find_departures, get_upstream
from trigru.impls.upstream.departure import lacks
from trigru.impls.upstream.known import KNOWN, STACKED_DRAWS, ends
from trigru.impls.upstream.rnn import departures_of_both

from ..support.arrays import assert_bits
from ..support.jaxprs import loops_of
from ..support.rows import row_check

pytestmark = pytest.mark.usefixtures("rank_promotion")
available = [name for name in NAMES if not unavailable(name)]
ALL = [(name, departure) for name in available for departure in get_upstream(name).DEPARTURES]


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
    module = get_upstream(name)
    measurements = verify([module.PORT], checks=OF_PARTS)
    assert [f for f in find_departures(name, measurements) if f.status != ON_RECORD] == []
    failed = {m.check for m in measurements if not m.passed}
    for departure in module.DEPARTURES:
        if departure.expected and departure.checks:
            assert failed & set(departure.checks), departure.name


def statuses(monkeypatch, *departures, measurements=()):
    module = get_upstream(available[0])
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
    port = get_upstream(available[0]).PORT.name
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


def test_departures_name_packages_that_are_there():
    for name, departure in ALL:
        assert departure.part == get_upstream(name).PORT.name
        assert departure.package in get_upstream(name).PORT.packages
    assert len({(name, departure.name) for name, departure in ALL}) == len(ALL)


@pytest.mark.long
@pytest.mark.parametrize("fault", KNOWN, ids=lambda fault: fault.name)
def test_a_fault_of_jax_is_seen_where_it_is_on_record(fault):
    seen = fault.evidence()
    assert (seen is not None) == fault.expected, f"{fault.part}: {seen or 'is gone: set fixed_in'}"


def test_models_drawn_one_after_the_other_are_there_in_time():
    assert ends(STACKED_DRAWS, limit_s=300.0)


def test_a_program_that_hangs_is_ended_and_one_that_fails_is_told():
    assert not ends("import time; time.sleep(60)", limit_s=1.0)
    with pytest.raises(subprocess.CalledProcessError):
        ends("raise SystemExit(3)")


def test_an_argument_that_appears_is_no_evidence():
    assert lacks("resets", lambda x: x)() is not None
    assert lacks("x", lambda x: x)() is None


def test_versions_are_compared_as_versions(monkeypatch):
    monkeypatch.setattr("trigru.impls.upstream.departure.version", lambda package: "0.12.12")
    assert not departure(fixed_in="0.12.9").expected
    assert not departure(fixed_in="0.12.12").expected
    assert departure(fixed_in="0.12.13").expected


def mended_run(x, *, dtype=None, initial_carry=None, seq_lengths=None):
    """What the evidence would see of an RNN that keeps the contract."""
    x = jnp.asarray(x)
    gru = linen.GRU(8, dtype=dtype)
    carry = None if initial_carry is None else jnp.broadcast_to(initial_carry, (*x.shape[:-2], 8))
    lengths = None if seq_lengths is None else jnp.asarray(seq_lengths)
    return gru.apply(gru.init(jax.random.key(0), x), x, carry, lengths=lengths)


@pytest.mark.parametrize("name", ["length-zero", "padding-runs-on", "two-batch-axes", "bare-carry", "dtype"])
def test_evidence_goes_away_with_the_departure(name):
    mended = departures_of_both("", nnx.RNN, mended_run, lambda x, lengths: 0.0, lambda dtype: None)
    (found,) = (d for d in mended if d.name == name)
    assert found.evidence() is None


def test_evidence_about_nnxs_cell_goes_away_with_trigrus(monkeypatch):
    module = get_upstream("nnx")
    gru = nnx_port.GRU(4, 8, rngs=nnx.Rngs(0))
    monkeypatch.setattr(module, "_cell", lambda **options: gru.cell)
    monkeypatch.setattr(module, "_rnn", lambda: lambda x, initial_carry: gru(x, initial_carry))
    found = {
        d.name: d.evidence() for d in module.DEPARTURES if d.name in ("no-b-hn", "fused-orthogonal", "closed-over")
    }
    assert found == {"no-b-hn": None, "fused-orthogonal": None, "closed-over": None}


def test_evidence_about_equinoxs_cell_goes_away(monkeypatch):
    def cell(x, h):
        assert (x.shape[-1], h.shape[-1]) == (20, 50)
        return h

    module = get_upstream("equinox")
    monkeypatch.setattr(module, "_cell", lambda: cell)
    found = {d.name: d.evidence() for d in module.DEPARTURES if d.name in ("one-example", "dtype")}
    assert found == {"one-example": None, "dtype": None}


@pytest.mark.parametrize("name", available)
def test_the_parts_are_driven_as_their_users_would(name):
    """Backwards and time-major without masks, which they do not have; nothing to b_hn, which NNX does not have."""
    port = get_upstream(name).PORT
    if name != "nnx":  # which has no b_hn
        found = verify([port], checks=[row_check(reverse="yes"), row_check(time_major="yes")])
        assert [str(m) for m in found if not m.passed] == []
    drawn = GRUConfig(4, 6, carry_init=jax.nn.initializers.constant(0.25), unroll=2)
    model = port.make(drawn, jax.random.key(0))
    assert_bits(port.dump(model).initial_carry, np.full(6, 0.25, "f4"))
    gru = Case.random(1, 1, 4, 6).astype("float32").params.gru
    loops = loops_of(lambda x: port.apply(port.load(drawn, gru), x), jnp.ones((3, 5, 4)))
    assert 2 in [loop.params["unroll"] for loop in loops]
