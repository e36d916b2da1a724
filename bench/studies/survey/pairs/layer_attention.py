"""Layers of PyTorch: attention of many heads, of PyTorch and of linen."""

import flax.linen as nn
import jax
import numpy as np
import torch
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("f4")
new = nn.MultiHeadDotProductAttention(num_heads=4)
reference = Model.torch(
    torch.nn.MultiheadAttention(16, 4, batch_first=True),
    inputs=lambda x: (x, x, x),
    outputs=lambda result: result[0],
)
candidate = Model.linen(new, new.init(jax.random.key(0), x))
