"""Recurrent: a cell of an LSTM, of PyTorch and of Equinox."""

import equinox as eqx
import jax
import numpy as np
import torch
from trigru.parity import Model

random = np.random.default_rng(0)
x = random.normal(size=(3, 8)), random.normal(size=(3, 12)), random.normal(size=(3, 12))
x = tuple(array.astype("f4") for array in x)
reference = Model.torch(torch.nn.LSTMCell(8, 12), inputs=lambda x, h, c: (x, (h, c)))
candidate = Model.equinox(
    eqx.nn.LSTMCell(8, 12, key=jax.random.key(0)),
    batched=True,
    inputs=lambda x, h, c: (x, (h, c)),
)
