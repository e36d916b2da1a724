"""Layers of PyTorch: attention to other values, of PyTorch and of Equinox."""

import equinox as eqx
import jax
import numpy as np
import torch
from trigru.parity import Model

random = np.random.default_rng(0)
x = random.normal(size=(2, 5, 16)).astype("f4"), random.normal(size=(2, 7, 16))
x = x[0], x[1].astype("f4")
reference = Model.torch(
    torch.nn.MultiheadAttention(16, 4, bias=False, batch_first=True),
    inputs=lambda query, value: (query, value, value),
    outputs=lambda result: result[0],
)
candidate = Model.equinox(
    eqx.nn.MultiheadAttention(4, 16, key=jax.random.key(0)),
    batched=True,
    inputs=lambda query, value: (query, value, value),
)
