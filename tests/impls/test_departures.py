"""The frameworks' own RNNs differ from the contract where the record says so, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.cases import assert_bits
from support.departures import DEPARTURES, PARTS
from trigru.common.config import GRUConfig
from trigru.common.equality.checks import CHECKS, DTYPES, get_checks
from trigru.common.equality.verification import verify
from trigru.common.parameters.record import random_params
from trigru.common.program import equations

#: Rows with one level that is not the usual one, so that what fails tells why; and the
#: checks that have no rows.
ASKED = (*get_checks("singly"), *(check for check in CHECKS if check.cases is None))


@pytest.mark.long
@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("port", PARTS, ids=[port.name for port in PARTS])
@jax.numpy_rank_promotion("allow")  # they broadcast biases over the batch
def test_a_part_fails_the_checks_on_record_and_no_others(port):
    recorded = set()
    for departure in DEPARTURES:
        if departure.part == port.name:
            recorded.update(departure.checks)

    measurements = verify([port], dtypes=DTYPES, checks=ASKED)
    failed = {m.check for m in measurements if not m.passed}
    assert failed - recorded == set(), "explained by no departure"
    asked = {m.check for m in measurements}
    assert recorded & asked - failed == set(), "the part does not depart any more"


@pytest.mark.parametrize("port", PARTS, ids=[port.name for port in PARTS])
@jax.numpy_rank_promotion("allow")
def test_a_part_is_driven_with_its_configuration(port):
    drawn = GRUConfig(4, 6, carry_init=jax.nn.initializers.constant(0.25), unroll=2)
    model = port.make(drawn, jax.random.key(0))
    assert_bits(port.dump(model).initial_carry, np.full(6, 0.25, "f4"))

    def run(x):
        loaded = port.load(drawn, random_params(drawn))
        return port.apply(loaded, x)

    program = jax.make_jaxpr(run)(jnp.ones((3, 5, 4)))
    unrolls = []
    for equation, _ in equations(program.jaxpr):
        if equation.primitive.name == "scan":
            unrolls.append(equation.params["unroll"])
    assert 2 in unrolls
