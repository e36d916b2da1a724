"""Layers of PyTorch: a dilated convolution by groups, of PyTorch and of Equinox."""

import equinox as eqx
import jax
import numpy as np
import torch
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 4, 12)).astype("f4")
options = {"padding": 2, "dilation": 2, "groups": 2}
reference = Model.torch(torch.nn.Conv1d(4, 6, 3, **options))
new = eqx.nn.Conv1d(4, 6, 3, key=jax.random.key(0), **options)
candidate = Model.equinox(new, batched=True)
