"""Recurrent: a cell of a GRU, of PyTorch and of linen."""

import flax.linen as nn
import jax
import numpy as np
import torch
from trigru.parity import Model

random = np.random.default_rng(0)
x = random.normal(size=(3, 8)).astype("f4"), random.normal(size=(3, 12)).astype("f4")
new = nn.GRUCell(12)
variables = new.init(jax.random.key(0), x[1], x[0])
reference = Model.torch(torch.nn.GRUCell(8, 12))
candidate = Model.linen(
    new, variables, inputs=lambda x, h: (h, x), outputs=lambda result: result[1]
)
