"""Language: Gemma, GemmaModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxGemmaModel, GemmaConfig, GemmaModel
from trigru.parity import Model

sizes = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
config = GemmaConfig(
    vocab_size=300, num_hidden_layers=2, head_dim=16, intermediate_size=128, **sizes
)
old, new = GemmaModel(config), FlaxGemmaModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
