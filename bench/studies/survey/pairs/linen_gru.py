"""Layers of linen: a cell of a GRU, of linen and of Equinox."""

import equinox as eqx
import flax.linen as nn
import jax
import numpy as np
from trigru.parity import Model

random = np.random.default_rng(0)
x = random.normal(size=(3, 8)).astype("f4"), random.normal(size=(3, 12)).astype("f4")
old, new = nn.GRUCell(12), eqx.nn.GRUCell(8, 12, key=jax.random.key(0))
reference = Model.linen(
    old,
    old.init(jax.random.key(0), x[1], x[0]),
    inputs=lambda x, h: (h, x),
    outputs=lambda result: result[1],
)
candidate = Model.equinox(new, batched=True)
