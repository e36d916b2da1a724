"""Recurrent: a GRU in both directions, of PyTorch and of NNX."""

import numpy as np
import torch
from flax import nnx
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(3, 7, 8)).astype("f4")
rngs = nnx.Rngs(0)
forward = nnx.RNN(nnx.GRUCell(8, 12, rngs=rngs))
backward = nnx.RNN(nnx.GRUCell(8, 12, rngs=rngs))
new = nnx.Bidirectional(forward, backward, rngs=rngs)
old = torch.nn.GRU(8, 12, batch_first=True, bidirectional=True)
reference = Model.torch(old, outputs=lambda result: result[0])
candidate = Model.nnx(new)
