"""Language: OPT, OPTModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxOPTModel, OPTConfig, OPTModel
from trigru.parity import Model

sizes = {"hidden_size": 64, "num_attention_heads": 4, "ffn_dim": 128}
config = OPTConfig(
    vocab_size=300, num_hidden_layers=2, word_embed_proj_dim=64, dropout=0, **sizes
)
old, new = OPTModel(config), FlaxOPTModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
