"""The frameworks' own parts are driven as users would; `trigru verify --upstream` compares them with the record."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import Case
from trigru.common.config import GRUConfig
from trigru.common.equality.checks import Check
from trigru.common.equality.contract.factors import whole_row
from trigru.common.equality.verification import Measurement, verify
from trigru.common.program import equations
from trigru.impls import unavailable, upstream
from trigru.impls.upstream import GONE, NAMES, NEW, ON_RECORD, Departure, find_departures, get_upstream

from ..support.arrays import assert_bits

pytestmark = pytest.mark.usefixtures("rank_promotion")
available = [name for name in NAMES if not unavailable(name)]


@pytest.fixture
def rank_promotion():
    """The frameworks' own parts broadcast biases over the batch, which our tests otherwise forbid."""
    with jax.numpy_rank_promotion("allow"):
        yield


#: The checks that a departure explains, those that failed and passed, and what is found.
RECORDS = [
    ((), ["chunks"], ["carry"], [("fails chunks", "explained by no departure", NEW)]),
    (("chunks",), ["chunks"], [], [("departs", "fails chunks", ON_RECORD)]),
    (("chunks", "carry"), ["chunks"], ["carry"], [("departs", "passes carry", GONE)]),
    (("chunks", "carry"), ["chunks"], [], [("departs", "fails chunks", ON_RECORD)]),
    (("chunks",), [], ["carry"], []),
]


@pytest.mark.parametrize(("checks", "failed", "passed", "found"), RECORDS)
def test_the_record_is_strict_about_the_checks_that_were_run(monkeypatch, checks, failed, passed, found):
    part = get_upstream(available[0]).PORT.name
    monkeypatch.setattr(upstream, "DEPARTURES", (Departure(part, "departs", checks),))
    errors = [(part, check, 1.0) for check in failed] + [(part, check, 0.0) for check in passed]
    measured = [Measurement(name, check, None, "carry", "float64", error, 1e-12)
                for name, check, error in (*errors, ("another", "step", 1.0))]  # fmt: skip
    assert [(f.what, f.seen, f.status) for f in find_departures(available[0], measured)] == found


@pytest.mark.parametrize("name", available)
def test_the_parts_are_driven_as_their_users_would(name):
    """Backwards and time-major without masks, which they do not have; nothing to b_hn, which NNX does not have."""
    port = get_upstream(name).PORT
    if name != "nnx":
        rows = [whole_row({flag: "yes"}) for flag in ("reverse", "time-major")]
        found = verify([port], checks=[Check("row", "", rows=lambda port: rows)])
        assert [str(m) for m in found if not m.passed] == []
    drawn = GRUConfig(4, 6, carry_init=jax.nn.initializers.constant(0.25), unroll=2)
    model = port.make(drawn, jax.random.key(0))
    assert_bits(port.dump(model).initial_carry, np.full(6, 0.25, "f4"))
    gru = Case.random(1, 1, 4, 6).astype("float32").params.gru
    program = jax.make_jaxpr(lambda x: port.apply(port.load(drawn, gru), x))(jnp.ones((3, 5, 4)))
    assert 2 in [e.params["unroll"] for e, _ in equations(program.jaxpr) if e.primitive.name == "scan"]
