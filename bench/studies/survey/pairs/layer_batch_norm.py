"""Layers of PyTorch: batch normalization, of PyTorch and of linen."""

import flax.linen as nn
import jax
import numpy as np
import torch
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(8, 6)).astype("f4")
new = nn.BatchNorm(momentum=0.9)
variables = new.init(jax.random.key(0), x, use_running_average=True)
reference = Model.torch(torch.nn.BatchNorm1d(6))
candidate = Model.linen(
    new,
    variables,
    train={"use_running_average": False},
    eval={"use_running_average": True},
)
