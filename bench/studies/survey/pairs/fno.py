"""Operators: the 2D spectral convolution, of neuralop and of foundax (Equinox)."""

import jax
import numpy as np
from foundax.architectures.fno import SpectralConv2d
from neuralop.layers.spectral_convolution import SpectralConv
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("f4")
old = SpectralConv(3, 4, (6, 4), bias=False, fft_norm="ortho")
new = SpectralConv2d(3, 4, 3, 3, linear_conv=False, key=jax.random.key(0))
reference = Model.torch(
    old,
    inputs=lambda x: x.permute(0, 3, 1, 2),
    outputs=lambda result: result.permute(0, 2, 3, 1),
)
candidate = Model.equinox(new, batched=True)
