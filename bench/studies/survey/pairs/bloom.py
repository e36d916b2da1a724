"""Language: BLOOM, BloomModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import BloomConfig, BloomModel, FlaxBloomModel
from trigru.parity import Model

sizes = {"hidden_size": 64, "n_layer": 2, "n_head": 4}
config = BloomConfig(vocab_size=300, **sizes)
old, new = BloomModel(config), FlaxBloomModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
