"""Layers of linen: an LSTM, of linen and of NNX."""

import flax.linen as nn
import jax
import numpy as np
from flax import nnx
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 5, 8)).astype("f4")
old = nn.RNN(nn.LSTMCell(12))
new = nnx.RNN(nnx.LSTMCell(8, 12, rngs=nnx.Rngs(0)))
reference = Model.linen(old, old.init(jax.random.key(0), x))
candidate = Model.nnx(new)
