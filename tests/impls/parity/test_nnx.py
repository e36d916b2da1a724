"""Modules of each framework, as they are written, can be compared."""

import flax.linen as linen
import jax
import numpy as np
from flax import nnx
from trigru.parity import Model, compare

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


class Recurrent(nnx.Module):
    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.LSTMCell(4, 5, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.rnn(x)


def test_a_module_of_nnx_that_draws_its_carry_is_compared():
    rnn = linen.RNN(linen.LSTMCell(5))
    reference = Model.linen(rnn, rnn.init(jax.random.key(0), X), make=lambda key: rnn.init(key, X))
    result = compare(reference, Model.nnx(Recurrent(nnx.Rngs(1)), make=lambda key: Recurrent(nnx.Rngs(key))), X)
    assert result.verdict == "same", str(result)
    assert result.draws == []
