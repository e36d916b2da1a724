"""Recurrent: an LSTM of two layers, of PyTorch and of linen."""

import flax.linen as nn
import jax
import numpy as np
import torch
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(3, 7, 8)).astype("f4")
cells = [nn.RNN(nn.OptimizedLSTMCell(16)) for _ in range(2)]
new = nn.Sequential(cells)
reference = Model.torch(
    torch.nn.LSTM(8, 16, 2, batch_first=True), outputs=lambda result: result[0]
)
candidate = Model.linen(new, new.init(jax.random.key(0), x))
