"""Language: GPT-Neo, GPTNeoModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxGPTNeoModel, GPTNeoConfig, GPTNeoModel
from trigru.parity import Model

sizes = {"hidden_size": 64, "num_layers": 2, "num_heads": 4}
config = GPTNeoConfig(
    vocab_size=300, attention_types=[[["global", "local"], 1]], window_size=4, **sizes
)
old, new = GPTNeoModel(config), FlaxGPTNeoModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
