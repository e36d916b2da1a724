"""State space: S5, of s5-pytorch and memorax (linen)."""

import jax
import numpy as np
from memorax.networks.sequence_models.memoroid import Memoroid
from memorax.networks.sequence_models.s5 import S5Cell
from s5 import S5
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("f4")
new = Memoroid(S5Cell(features=4, state_size=8))
variables = new.init(jax.random.key(0), x, np.zeros((2, 6)))
reference = Model.torch(S5(4, 8))
candidate = Model(variables, lambda v, x: new.apply(v, x, np.zeros(x.shape[:2]))[1])
