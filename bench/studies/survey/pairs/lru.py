"""State space: the linear recurrent unit, of LRU_pytorch and memorax (linen)."""

import jax
import numpy as np
from LRU_pytorch import LRU
from memorax.networks.sequence_models.lru import LRUCell
from memorax.networks.sequence_models.memoroid import Memoroid
from trigru.parity import Model

x = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("f4")
new = Memoroid(LRUCell(features=4, hidden_dim=8))
variables = new.init(jax.random.key(0), x, np.zeros((2, 6)))
reference = Model.torch(LRU(4, 4, 8))
candidate = Model(variables, lambda v, x: new.apply(v, x, np.zeros(x.shape[:2]))[1])
