"""Layers of PyTorch: TransformerEncoderLayer, of PyTorch and written in linen."""

import flax.linen as nn
import jax
import numpy as np
import torch
from trigru.parity import Model


class EncoderLayer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm()(x + nn.MultiHeadDotProductAttention(4)(x))
        return nn.LayerNorm()(x + nn.Dense(16)(nn.relu(nn.Dense(32)(x))))


x = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("f4")
old = torch.nn.TransformerEncoderLayer(16, 4, 32, dropout=0, batch_first=True)
reference = Model.torch(old)
candidate = Model.linen(EncoderLayer(), EncoderLayer().init(jax.random.key(0), x))
