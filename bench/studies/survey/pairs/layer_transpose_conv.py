"""Layers of PyTorch: a transposed convolution, of PyTorch and of NNX."""

import numpy as np
import torch
from flax import nnx
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 3, 6, 6)).astype("f4")
new = nnx.ConvTranspose(3, 4, (4, 4), (2, 2), transpose_kernel=True, rngs=nnx.Rngs(0))
reference = Model.torch(torch.nn.ConvTranspose2d(3, 4, 4, 2, padding=1))
candidate = Model.nnx(
    new,
    inputs=lambda image: image.transpose(0, 2, 3, 1),
    outputs=lambda result: result.transpose(0, 3, 1, 2),
)
