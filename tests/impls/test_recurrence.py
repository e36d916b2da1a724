"""Any call of any port is the oracle's, and what stands in the padding changes no bit of it."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trigru.common.config import GRUConfig
from trigru.common.equality import oracle
from trigru.common.equality.cases import Case
from trigru.common.equality.checks.sequences import SequenceQuestion, sequence_check, time_major, whole
from trigru.common.equality.verification import assert_equivalent
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


@dataclass(frozen=True)
class Drawn:
    """Any call of a GRU."""

    sizes: tuple[int, int, int, int]  # B, T, D, H
    seed: int = 0
    lengths: tuple[int, ...] | None = None
    resets: tuple[bool, ...] | None = None  # B * T
    passed: bool = False
    reverse: bool = False
    time_major: bool = False
    unroll: int = 1
    remat: bool = False

    @property
    def case(self):
        """The data."""
        case = Case.random(*self.sizes, seed=self.seed)
        if self.lengths is not None:
            case = replace(case, lengths=np.array(self.lengths, "i4"))
        if self.resets is not None:
            case = replace(case, resets=np.array(self.resets).reshape(self.sizes[:2]))
        return case

    @property
    def question(self):
        """The call, as the harness asks it."""
        return SequenceQuestion(
            run=time_major if self.time_major else whole,
            passed=self.passed,
            lengths=self.lengths is not None,
            resets=self.resets is not None,
            reverse=self.reverse,
            config={"unroll": self.unroll, "remat": self.remat},
        )


@st.composite
def calls(draw):
    batch, time, input_size = (draw(st.integers(1, most)) for most in (3, 6, 4))
    # of one unit alone, a sum can cancel by chance, and leave no magnitude to be relative to
    hidden_size = draw(st.integers(2, 4))
    lengths = st.tuples(*[st.integers(-1, time + 1)] * batch)
    resets = st.tuples(*[st.booleans()] * (batch * time))
    return Drawn(
        sizes=(batch, time, input_size, hidden_size),
        seed=draw(st.integers(0, 2**16)),
        lengths=draw(st.none() | lengths),
        resets=draw(st.none() | resets),
        **{name: draw(st.booleans()) for name in ("passed", "reverse", "time_major", "remat")},
        unroll=draw(st.integers(1, 3)),
    )


@given(calls())
@example(Drawn((1, 1, 1, 1), seed=7, reverse=True, time_major=True, unroll=2))
@example(Drawn((3, 1, 2, 3), lengths=(0, 1, 2), resets=(True, True, False), passed=True, remat=True))
@example(Drawn((1, 6, 2, 3), lengths=(4,), resets=(False, True) * 3, reverse=True, time_major=True))
@example(Drawn((3, 3, 2, 3), lengths=(2, 3, 1), resets=(False, True, False) * 3, passed=True, remat=True, unroll=4))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_call_is_the_oracles(port, call):
    """Carry, outputs, and the gradient of everything that went in, in float64."""
    check = sequence_check("any call", "anything", call.question)
    assert_equivalent(port, dtypes=["float64"], checks=[check], cases=[call.case])
