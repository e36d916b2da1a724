"""Layers of PyTorch: group normalization, of PyTorch and of NNX."""

import numpy as np
import torch
from flax import nnx
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 8, 5, 5)).astype("f4")
reference = Model.torch(torch.nn.GroupNorm(4, 8))
candidate = Model.nnx(
    nnx.GroupNorm(8, 4, rngs=nnx.Rngs(0)),
    inputs=lambda image: image.transpose(0, 2, 3, 1),
    outputs=lambda result: result.transpose(0, 3, 1, 2),
)
