"""Layers of PyTorch: PReLU, of PyTorch and of NNX."""

import numpy as np
import torch
from flax import nnx
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(4, 8)).astype("f4")
reference = Model.torch(torch.nn.PReLU())
candidate = Model.nnx(nnx.PReLU())
