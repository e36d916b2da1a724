"""Layers of PyTorch: an embedding, of PyTorch and of Equinox."""

import equinox as eqx
import jax
import numpy as np
import torch
from trigru.parity import Model

x = np.random.default_rng(0).integers(0, 20, 12)
reference = Model.torch(torch.nn.Embedding(20, 6))
candidate = Model.equinox(eqx.nn.Embedding(20, 6, key=jax.random.key(0)), batched=True)
