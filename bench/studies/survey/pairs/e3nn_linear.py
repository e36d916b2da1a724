"""Graphs: the equivariant linear layer, of e3nn (PyTorch) and e3nn_jax (linen)."""

import e3nn.o3
import e3nn_jax
import jax
import numpy as np
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(5, 18)).astype("f4")
new = e3nn_jax.flax.Linear("4x0e + 3x1o")


def call(params, x):
    return new.apply(params, e3nn_jax.IrrepsArray("6x0e + 4x1o", x)).array


params = new.init(jax.random.key(0), e3nn_jax.IrrepsArray("6x0e + 4x1o", x))
reference = Model.torch(e3nn.o3.Linear("6x0e + 4x1o", "4x0e + 3x1o"))
candidate = Model(params, call)
