"""Layers of linen: a convolution with stride and padding, of linen and of Equinox."""

import equinox as eqx
import flax.linen as nn
import jax
import numpy as np
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype("f4")
old = nn.Conv(4, (3, 3), strides=2, padding=1)
new = eqx.nn.Conv2d(3, 4, 3, stride=2, padding=1, key=jax.random.key(0))
reference = Model.linen(old, old.init(jax.random.key(0), x))
candidate = Model.equinox(
    new,
    batched=True,
    inputs=lambda image: image.transpose(0, 3, 1, 2),
    outputs=lambda result: result.transpose(0, 2, 3, 1),
)
