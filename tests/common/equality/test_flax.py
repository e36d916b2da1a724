"""The oracle's order of steps is that of Flax's own recurrences, on the same parameters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from trigru.common.equality import oracle
from trigru.common.equality.bounds import relative_error
from trigru.common.equality.cases import Case
from trigru.common.parameters.record import random_params

B, T, D, H = 3, 6, 4, 5
LENGTHS = np.array([4, T, 1], "i4")
CASE = Case.random(B, T, D, H)
PARAMS = CASE.params.gru


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in the dtype of its arguments, float64."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def assert_oracles(theirs, params, **options):
    """What Flax returns is what the oracle returns, where its padding, in which Flax computes on, is cleared."""
    carry, outputs = (np.asarray(a) for a in theirs)
    ours = oracle.forward(params, CASE.x, lengths=LENGTHS, **options)
    assert relative_error(carry, ours.carry) <= 1e-12
    valid = (np.arange(T) < LENGTHS[:, None])[..., None]
    assert relative_error(np.where(valid, outputs, 0), ours.outputs) <= 1e-12


@pytest.mark.parametrize("time_major", [False, True], ids=["batch-major", "time-major"])
def test_in_reverse_it_is_linens_rnn(time_major):
    rnn = nn.RNN(
        nn.GRUCell(H, param_dtype=jnp.float64), return_carry=True, keep_order=True, reverse=True, time_major=time_major
    )
    x, variables = jnp.asarray(CASE.x), {"params": {"cell": linen_cell(PARAMS)}}
    x = x.swapaxes(0, 1) if time_major else x
    carry, outputs = rnn.apply(variables, x, initial_carry=start(PARAMS), seq_lengths=jnp.asarray(LENGTHS))
    assert_oracles((carry, outputs.swapaxes(0, 1) if time_major else outputs), PARAMS, reverse=True)


def test_in_reverse_without_b_hn_it_is_nnxs_rnn():
    params = PARAMS._replace(bias_n=np.zeros(H))
    cell = nnx.GRUCell(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    dense_i = {"kernel": params.weight_ih.T, "bias": params.bias}
    nnx.update(cell, to_jax({"dense_i": dense_i, "dense_h": {"kernel": params.weight_hh.T}}))
    rnn = nnx.RNN(cell, return_carry=True, reverse=True, keep_order=True, rngs=False)
    found = rnn(jnp.asarray(CASE.x), initial_carry=start(params), seq_lengths=jnp.asarray(LENGTHS))
    assert_oracles(found, params, reverse=True)


def test_a_pair_is_linens_bidirectional():
    pair = PARAMS, random_params(CASE.gru_config, seed=1)
    rnns = (nn.RNN(nn.GRUCell(H, param_dtype=jnp.float64)) for _ in pair)
    cells = (linen_cell(params) for params in pair)
    variables = {name: {"cell": cell} for name, cell in zip(("forward_rnn", "backward_rnn"), cells, strict=True)}
    carries, outputs = nn.Bidirectional(*rnns, return_carry=True).apply(
        {"params": variables}, CASE.x, initial_carry=tuple(map(start, pair)), seq_lengths=jnp.asarray(LENGTHS)
    )
    halves = jnp.split(outputs, 2, axis=-1)
    for carry, half, params, reverse in zip(carries, halves, pair, (False, True), strict=True):
        assert_oracles((carry, half), params, reverse=reverse)


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


def to_jax(tree):
    return jax.tree.map(jnp.asarray, tree)
