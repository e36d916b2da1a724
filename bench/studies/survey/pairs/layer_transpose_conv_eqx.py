"""Layers of PyTorch: a transposed convolution, of PyTorch and of Equinox."""

import equinox as eqx
import jax
import numpy as np
import torch
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype("f4")
new = eqx.nn.ConvTranspose2d(3, 4, 4, 2, padding=1, key=jax.random.key(0))
reference = Model.torch(torch.nn.ConvTranspose2d(3, 4, 4, 2, padding=1))
candidate = Model.equinox(new, batched=True)
