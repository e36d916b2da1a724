"""Layers of linen: attention of many heads, of linen and of NNX."""

import flax.linen as nn
import jax
import numpy as np
from flax import nnx
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("f4")
old = nn.MultiHeadDotProductAttention(num_heads=4)
new = nnx.MultiHeadAttention(4, 16, decode=False, rngs=nnx.Rngs(0))
reference = Model.linen(old, old.init(jax.random.key(0), x))
candidate = Model.nnx(new)
