"""Language: GPT-2 (16 million), of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxGPT2Model, GPT2Config, GPT2Model
from trigru.parity import Model

sizes = {"n_embd": 384, "n_layer": 8, "n_head": 6, "n_positions": 64}
no_dropout = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
config = GPT2Config(vocab_size=5000, **sizes, **no_dropout)
old, new = GPT2Model(config), FlaxGPT2Model(config)
x = np.random.default_rng(0).integers(2, 300, (1, 8))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
