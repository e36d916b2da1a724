"""Layers of linen: group normalization, of linen and of Equinox."""

import equinox as eqx
import flax.linen as nn
import jax
import numpy as np
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 5, 5, 8)).astype("f4")
old, new = nn.GroupNorm(4), eqx.nn.GroupNorm(4, 8)
reference = Model.linen(old, old.init(jax.random.key(0), x))
candidate = Model.equinox(
    new,
    batched=True,
    inputs=lambda image: image.transpose(0, 3, 1, 2),
    outputs=lambda result: result.transpose(0, 2, 3, 1),
)
