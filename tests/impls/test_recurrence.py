"""What stands in the padding changes no bit of a call, and one step is a sequence of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.equality.cases import Case
from trigru.common.errors import InputError
from trigru.common.parameters.record import config_of, random_params

from ..support.arrays import assert_bits, assert_near
from ..support.jaxprs import equations


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_what_stands_in_the_padding_changes_no_bit(port, case, reverse):
    model = port.load(case.gru_config, case.params.gru)
    padding = np.arange(7) >= case.lengths[:, None]

    def run(x, resets):
        return port.apply(model, x, lengths=jnp.asarray(case.lengths), resets=resets, reverse=reverse)

    clean = jax.jit(run)(case.x, np.zeros_like(padding))
    filled = jax.jit(run)(np.where(padding[..., None], np.inf, case.x), padding)
    for got, want in zip(filled, clean, strict=True):
        assert_bits(got, want)


def test_without_a_valid_step_the_start_is_returned_bit_for_bit(port, case):
    model, lengths = port.load(case.gru_config, case.params.gru), jnp.array([0, -1, -9])
    for passed in (None, jnp.asarray(case.carry)):
        carry, outputs = port.apply(model, jnp.asarray(case.x), passed, lengths=lengths, resets=jnp.ones((3, 7), bool))
        assert_bits(carry, np.tile(case.params.gru.initial_carry, (3, 1)) if passed is None else passed)
        assert_bits(outputs, np.zeros((3, 7, 6), "f4"))


@pytest.mark.parametrize(("dtype", "param_dtype"), [(None, "float32"), ("bfloat16", "float32"), (None, "bfloat16")])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
def test_the_start_that_is_handed_out_is_what_no_carry_means(port, batch, dtype, param_dtype, rng):
    config = GRUConfig(5, 6, dtype=dtype, param_dtype=param_dtype)
    params = random_params(config)
    model, x = port.load(config, params), jnp.asarray(rng.normal(size=(*batch, 7, 5)), param_dtype)
    start = port.initial_carry(model, batch)
    assert_bits(start, np.broadcast_to(params.initial_carry.astype(dtype or param_dtype), (*batch, 6)))
    for passed, learned in zip(port.apply(model, x, start), port.apply(model, x), strict=True):
        assert_bits(passed, learned)
    assert_bits(port.initial_carry(model), start[(0,) * len(batch)])


@pytest.mark.usefixtures("unchecked")
def test_a_batch_shape_is_a_tuple(port, case):
    with pytest.raises(
        InputError, match=r"batch_shape is 8, expected a tuple of whole numbers from 1 on, below 2\*\*31, as \(8,\)"
    ):
        port.initial_carry(port.load(case.gru_config, case.params.gru), 8)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("passed", [False, True], ids=["learned", "passed"])
def test_one_step_is_reset_where_it_is_told(port, batch, passed, rng):
    params = Case.random(1, 1, 5, 6).astype("float32").params.gru
    x, carry = (rng.normal(size=(*batch, size)).astype("f4") for size in (5, 6))
    reset, carry = rng.random(batch) < 0.5, carry if passed else None
    want = oracle.forward(params, x[..., None, :], carry, resets=np.asarray(reset)[..., None]).carry
    model = port.load(config_of(params), params)
    found = port.step(model, *jax.tree.map(jnp.asarray, (x, carry)), reset=jnp.asarray(reset))
    for got in found:
        assert_near(got, want, 2e-6)


def test_one_step_without_a_reset_is_the_program_of_before(port, case):
    model = port.load(case.gru_config, case.params.gru)

    def primitives(**options):
        program = jax.make_jaxpr(lambda x, h: port.step(model, x, h, **options))(case.x[:, 0], case.carry)
        return [equation.primitive.name for equation, _ in equations(program.jaxpr)]

    assert "select_n" not in primitives()
    assert "select_n" in primitives(reset=jnp.ones(3, bool))
