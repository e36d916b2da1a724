"""Language: GPT-2, GPT2Model of transformers, in PyTorch and in Flax."""

import jax
import numpy as np
from transformers import FlaxGPT2Model, GPT2Config, GPT2Model
from trigru.parity import Model

sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}
config = GPT2Config(vocab_size=300, **sizes)
old, new = GPT2Model(config), FlaxGPT2Model(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(
    new.params,
    lambda params, x, **mode: new(x, params=params, **mode).last_hidden_state,
    train={"train": True, "dropout_rng": jax.random.key(0)},
    eval={"train": False},
)
