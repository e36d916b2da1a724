"""Layers of PyTorch: layer normalization, of PyTorch and of Equinox."""

import equinox as eqx
import numpy as np
import torch
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(4, 8)).astype("f4")
reference = Model.torch(torch.nn.LayerNorm(8))
candidate = Model.equinox(eqx.nn.LayerNorm(8), batched=True)
