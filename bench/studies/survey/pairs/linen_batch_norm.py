"""Layers of linen: batch normalization, of linen and of NNX."""

import flax.linen as nn
import jax
import numpy as np
from flax import nnx
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(8, 6)).astype("f4")
old = nn.BatchNorm()
variables = old.init(jax.random.key(0), x, use_running_average=True)
train, evaluation = {"use_running_average": False}, {"use_running_average": True}
reference = Model.linen(old, variables, train=train, eval=evaluation)
candidate = Model.nnx(nnx.BatchNorm(6, rngs=nnx.Rngs(0)))
