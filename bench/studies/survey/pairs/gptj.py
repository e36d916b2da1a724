"""Language: GPT-J, GPTJModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxGPTJModel, GPTJConfig, GPTJModel
from trigru.parity import Model

sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8}
config = GPTJConfig(vocab_size=300, **sizes)
old, new = GPTJModel(config), FlaxGPTJModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
