"""What makes a recurrence one, for every port: order, direction, layout, lengths, resets, and independence."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trigru.common.equality.bounds import relative_error
from trigru.common.equality.cases import Case
from trigru.common.equality.checks.sequences import SequenceQuestion, sequence_check, time_major, whole
from trigru.common.equality.verification import assert_equivalent
from trigru.common.parameters.record import random_params

BOUND = 1e-12
B, T, D, H = 3, 6, 4, 5
LENGTHS = np.array([4, T, 1], "i4")


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in the dtype of its arguments, float64."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


@pytest.fixture
def case(rng):
    """Three sequences of 6 steps, 4 inputs, 5 units, of the test's own."""
    return Case.random(B, T, D, H, seed=int(rng.integers(2**32)))


@pytest.fixture
def gru(port, case):
    """The case's GRU as a function: (x, carry=None, **options) -> (carry, outputs), in NumPy."""
    model = port.load(case.gru_config, case.params.gru)

    @cache
    def compiled(**flags):
        return jax.jit(partial(port.apply, **flags))

    def run(x, carry=None, *, lengths=None, resets=None, **flags):
        return to_numpy(compiled(**flags)(model, *to_jax((x, carry)), **to_jax({"lengths": lengths, "resets": resets})))

    return run


@pytest.fixture
def step(port, case):
    """One step of the case's GRU: (x, carry=None) -> carry, in NumPy."""
    model, compiled = port.load(case.gru_config, case.params.gru), jax.jit(port.step)

    def run(x, carry=None):
        carry, output = to_numpy(compiled(model, *to_jax((x, carry))))
        np.testing.assert_array_equal(carry, output)
        return carry

    return run


def to_jax(tree):
    return jax.tree.map(jnp.asarray, tree)


def to_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def assert_same(got, want):
    """The same arrays, rounding in float64 aside."""
    got, want = jax.tree.leaves(got), jax.tree.leaves(want)
    for a, b in zip(got, want, strict=True):
        assert np.shape(a) == np.shape(b)
        assert relative_error(a, b) <= BOUND


def flip_valid(array, lengths):
    """Flip (B, T, ...) along time, and leave the padding where it is."""
    flipped = array.copy()
    for row, length in zip(flipped, lengths, strict=True):
        row[:length] = row[:length][::-1]
    return flipped


# Carry and steps ------------------------------------------------------------------------------------------------------


def test_the_carry_is_the_last_output(gru, case):
    carry, outputs = gru(case.x)
    assert outputs.shape == (B, T, H)
    assert_same(carry, outputs[:, -1])


def test_step_by_step_is_whole(gru, step, case):
    carry, outputs = None, []
    for t in range(T):
        carry = step(case.x[:, t], carry)
        outputs.append(carry)
    assert_same((carry, np.stack(outputs, 1)), gru(case.x))


def test_a_sequence_goes_on_from_the_carry(gru, case):
    carry, first = gru(case.x[:, :2])
    carry, second = gru(case.x[:, 2:], carry)
    assert_same((carry, np.concatenate([first, second], 1)), gru(case.x))


def test_in_reverse_it_goes_on_towards_the_beginning(gru, case):
    carry, second = gru(case.x[:, 2:], reverse=True)
    carry, first = gru(case.x[:, :2], carry, reverse=True)
    assert_same((carry, np.concatenate([first, second], 1)), gru(case.x, reverse=True))


def test_outputs_depend_on_the_past_alone_and_in_reverse_on_the_future_alone(gru, case):
    changed = case.x.copy()
    changed[:, 2] += 1

    def differs(**options):
        (_, before), (_, after) = gru(case.x, **options), gru(changed, **options)
        return (before != after).any(axis=(0, 2)).tolist()

    assert differs() == [False, False, True, True, True, True]
    assert differs(reverse=True) == [True, True, True, False, False, False]


# Layout and direction -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_time_major_is_batch_major_moved(gru, case, reverse):
    options = {"lengths": LENGTHS, "reverse": reverse}
    carry, outputs = gru(case.x.swapaxes(0, 1), case.carry, resets=case.resets.T, time_major=True, **options)
    assert outputs.shape == (T, B, H)
    assert_same((carry, outputs.swapaxes(0, 1)), gru(case.x, case.carry, resets=case.resets, **options))


def test_reverse_of_the_flipped_is_forward_flipped(gru, case):
    carry, outputs = gru(case.x[:, ::-1], reverse=True)
    assert_same((carry, outputs[:, ::-1]), gru(case.x))


def test_with_lengths_only_the_valid_part_is_flipped(gru, case):
    carry, outputs = gru(flip_valid(case.x, LENGTHS), case.carry, lengths=LENGTHS, reverse=True)
    assert_same((carry, flip_valid(outputs, LENGTHS)), gru(case.x, case.carry, lengths=LENGTHS))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_the_carry_of_a_reverse_run_is_the_one_after_step_0(gru, case, lengths):
    carry, outputs = gru(case.x, lengths=lengths, reverse=True)
    assert_same(carry, outputs[:, 0])


# Lengths --------------------------------------------------------------------------------------------------------------


def test_full_lengths_are_no_lengths(gru, case):
    whole = gru(case.x)
    assert_same(gru(case.x, lengths=np.full(B, T, "i4")), whole)
    assert_same(gru(case.x, lengths=np.array([T, T + 1, 99], "i4")), whole)


def test_with_lengths_each_example_is_as_if_alone_and_cut(gru, case):
    carry, outputs = gru(case.x, case.carry, lengths=LENGTHS)
    for b, length in enumerate(LENGTHS):
        alone = gru(case.x[b : b + 1, :length], case.carry[b : b + 1])
        assert_same((carry[b : b + 1], outputs[b : b + 1, :length]), alone)


def test_the_carry_is_the_last_valid_output_and_those_past_it_are_zero(gru, case):
    carry, outputs = gru(case.x, lengths=LENGTHS)
    assert_same(carry, outputs[np.arange(B), LENGTHS - 1])
    valid = np.arange(T) < LENGTHS[:, None]
    assert not outputs[~valid].any()
    assert outputs[valid].all()


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_what_stands_in_the_padding_changes_no_bit(gru, case, reverse):
    padding = np.arange(T) >= LENGTHS[:, None]
    options = {"lengths": LENGTHS, "reverse": reverse}
    clean = gru(case.x, resets=np.zeros((B, T), bool), **options)
    for got, want in zip(
        gru(np.where(padding[..., None], np.inf, case.x), resets=padding, **options), clean, strict=True
    ):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_without_a_valid_step_the_start_is_returned(gru, case, reverse):
    options = {"lengths": np.array([0, -1, -9], "i4"), "resets": np.ones((B, T), bool), "reverse": reverse}
    for start, expected in ((None, np.tile(case.params.gru.initial_carry, (B, 1))), (case.carry, case.carry)):
        carry, outputs = gru(case.x, start, **options)
        np.testing.assert_array_equal(carry, expected)
        assert not outputs.any()


# Resets ---------------------------------------------------------------------------------------------------------------

#: The step that runs first.
FIRST = pytest.mark.parametrize(("first", "reverse"), [(0, False), (T - 1, True)], ids=["forward", "reverse"])


def resets_at(*steps):
    return np.tile(np.isin(np.arange(T), steps), (B, 1))


@FIRST
def test_a_reset_before_the_first_step_changes_nothing_from_the_learned_start(gru, case, first, reverse):
    assert_same(gru(case.x, resets=resets_at(first), reverse=reverse), gru(case.x, reverse=reverse))


@FIRST
def test_a_reset_before_the_first_step_overrides_a_passed_carry(gru, case, first, reverse):
    found = gru(case.x, case.carry, resets=resets_at(first), reverse=reverse)
    assert_same(found, gru(case.x, reverse=reverse))
    assert relative_error(found[1], gru(case.x, case.carry, reverse=reverse)[1]) > 1e-3


def test_a_reset_begins_a_sequence(gru, case):
    carry, outputs = gru(case.x, case.carry, resets=resets_at(2))
    assert_same(outputs[:, :2], gru(case.x[:, :2], case.carry)[1])
    assert_same((carry, outputs[:, 2:]), gru(case.x[:, 2:]))


def test_in_reverse_a_reset_is_before_its_step_as_well(gru, case):
    carry, outputs = gru(case.x, case.carry, resets=resets_at(2), reverse=True)
    assert_same(outputs[:, 3:], gru(case.x[:, 3:], case.carry, reverse=True)[1])
    assert_same((carry, outputs[:, :3]), gru(case.x[:, :3], reverse=True))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_reset_before_every_step_makes_steps_independent(gru, step, case, reverse):
    _, outputs = gru(case.x, case.carry, resets=resets_at(*range(T)), reverse=reverse)
    assert_same(outputs, np.stack([step(case.x[:, t]) for t in range(T)], 1))


def test_an_example_is_reset_alone(gru, case):
    resets = resets_at(2)
    resets[1:] = False
    _, outputs = gru(case.x, resets=resets)
    assert_same(outputs[1:], gru(case.x)[1][1:])
    assert_same(outputs[:1], gru(case.x, resets=resets_at(2))[1][:1])


# Examples -------------------------------------------------------------------------------------------------------------


def test_permuting_examples_permutes_results(gru, case):
    order = [2, 0, 1]
    found = gru(case.x[order], case.carry[order], lengths=LENGTHS[order], resets=case.resets[order])
    carry, outputs = gru(case.x, case.carry, lengths=LENGTHS, resets=case.resets)
    assert_same(found, (carry[order], outputs[order]))


def test_an_example_is_independent_of_the_others(gru, case):
    others = {"x": case.x[::-1].copy(), "carry": -case.carry, "lengths": LENGTHS[::-1].copy(), "resets": ~case.resets}
    mine = {"x": case.x, "carry": case.carry, "lengths": LENGTHS, "resets": case.resets}
    for name, array in others.items():
        array[0] = mine[name][0]
    (carry, outputs), (other_carry, other_outputs) = gru(**mine), gru(**others)
    assert_same((carry[0], outputs[0]), (other_carry[0], other_outputs[0]))
    assert relative_error(other_outputs[1], outputs[1]) > 1e-3


# Flax's own recurrence, on the same parameters ------------------------------------------------------------------------


@pytest.mark.parametrize("time_major", [False, True], ids=["batch-major", "time-major"])
def test_in_reverse_it_is_linens_rnn(gru, case, time_major):
    options = {"reverse": True, "time_major": time_major}
    x = case.x.swapaxes(0, 1) if time_major else case.x
    rnn = nn.RNN(nn.GRUCell(H, param_dtype=jnp.float64), return_carry=True, keep_order=True, **options)
    variables = {"params": {"cell": linen_cell(case.params.gru)}}
    theirs = rnn.apply(
        variables, jnp.asarray(x), initial_carry=start(case.params.gru), seq_lengths=jnp.asarray(LENGTHS)
    )
    carry, outputs = to_numpy(theirs)
    outputs = without_padding(outputs.swapaxes(0, 1)).swapaxes(0, 1) if time_major else without_padding(outputs)
    assert_same(gru(x, lengths=LENGTHS, **options), (carry, outputs))


def test_in_reverse_without_b_hn_it_is_nnxs_rnn(port, case):
    params = case.params.gru._replace(bias_n=np.zeros(H))
    cell = nnx.GRUCell(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    dense_i = {"kernel": params.weight_ih.T, "bias": params.bias}
    nnx.update(cell, to_jax({"dense_i": dense_i, "dense_h": {"kernel": params.weight_hh.T}}))
    rnn = nnx.RNN(cell, return_carry=True, reverse=True, keep_order=True, rngs=False)
    x, lengths = jnp.asarray(case.x), jnp.asarray(LENGTHS)
    carry, outputs = to_numpy(rnn(x, initial_carry=start(params), seq_lengths=lengths))
    ours = port.apply(port.load(case.gru_config, params), x, lengths=lengths, reverse=True)
    assert_same(ours, (carry, without_padding(outputs)))


def test_a_pair_is_linens_bidirectional(port, case):
    pair = case.params.gru, random_params(case.gru_config, seed=1)
    x, lengths = jnp.asarray(case.x), jnp.asarray(LENGTHS)
    rnns = (nn.RNN(nn.GRUCell(H, param_dtype=jnp.float64)) for _ in pair)
    cells = (linen_cell(params) for params in pair)
    variables = {name: {"cell": cell} for name, cell in zip(("forward_rnn", "backward_rnn"), cells, strict=True)}
    carries, outputs = nn.Bidirectional(*rnns, return_carry=True).apply(
        {"params": variables}, x, initial_carry=tuple(map(start, pair)), seq_lengths=lengths
    )
    ahead, back = (
        port.apply(port.load(case.gru_config, params), x, lengths=lengths, reverse=reverse)
        for params, reverse in zip(pair, (False, True), strict=True)
    )
    assert_same((ahead[0], back[0]), carries)
    assert_same(jnp.concatenate([ahead[1], back[1]], -1), without_padding(np.asarray(outputs)))


def linen_cell(params):
    """The canonical parameters as `nn.GRUCell`'s."""
    cell = {}
    for side, weight in (("i", params.weight_ih), ("h", params.weight_hh)):
        cell |= {side + gate: {"kernel": w.T} for gate, w in zip("rzn", np.split(weight, 3), strict=True)}
    for name, bias in zip(("ir", "iz", "in", "hn"), (*np.split(params.bias, 3), params.bias_n), strict=True):
        cell[name]["bias"] = bias
    return to_jax(cell)


def start(params):
    """The learned start, broadcast."""
    return jnp.tile(params.initial_carry, (B, 1))


def without_padding(outputs):
    """Flax leaves in the padding what it computed there."""
    return np.where((np.arange(T) < LENGTHS[:, None])[..., None], outputs, 0)


# The compiled loop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unroll", [1, 4])
def test_remat_recomputes_the_gates_on_the_way_back(port, case, unroll):
    """Its gradient's program holds the primitive of `jax.checkpoint`, and each gate's nonlinearity once more."""
    options = to_jax({"lengths": case.lengths, "resets": case.resets})

    def scalar(model, x):
        carry, outputs = port.apply(model, x, **options)
        return jnp.sum(outputs * case.targets) + jnp.sum(carry * case.d_carry)

    def counted(remat):
        model = port.load(replace(case.gru_config, unroll=unroll, remat=remat), case.params.gru)
        return Counter(primitives(jax.make_jaxpr(port.value_and_grad(scalar))(model, jnp.asarray(case.x)).jaxpr))

    kept, recomputed = counted(remat=False), counted(remat=True)
    assert not kept.keys() & CHECKPOINT
    assert recomputed.keys() & CHECKPOINT
    for nonlinearity in ("tanh", "logistic"):
        assert recomputed[nonlinearity] == 2 * kept[nonlinearity] > 0


#: What jax calls the primitive, by version.
CHECKPOINT = {"checkpoint", "remat2"}


def primitives(jaxpr):
    """Names of a program's primitives, and of those of the programs inside."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from primitives(inner)


# All at once ----------------------------------------------------------------------------------------------------------


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
@example(Drawn((1, 6, 2, 3), lengths=(4,), resets=(False, True) * 3, reverse=True))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_call_is_the_oracles(port, call):
    assert_oracles(port, call)


LOOPS = {
    "some unrolled": {"unroll": 2},
    "all unrolled": {"unroll": 4},
    "remat, unrolled": {"remat": True, "unroll": 2},
}


@pytest.mark.parametrize("config", LOOPS.values(), ids=LOOPS)
def test_unroll_and_remat_change_neither_values_nor_gradients(port, config):
    resets = (False, True, False) * B
    assert_oracles(port, Drawn((B, 3, D, H), lengths=(2, 3, 1), resets=resets, passed=True, **config))


def assert_oracles(port, call):
    """Carry, outputs, and the gradient of everything that went in are the oracle's, in float64."""
    check = sequence_check("any call", "anything", call.question)
    assert_equivalent(port, dtypes=["float64"], checks=[check], cases=[call.case])
