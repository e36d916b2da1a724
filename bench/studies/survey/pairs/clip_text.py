"""Language: CLIP's text tower, CLIPTextModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import CLIPTextConfig, CLIPTextModel, FlaxCLIPTextModel
from trigru.parity import Model

sizes = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
config = CLIPTextConfig(vocab_size=300, num_hidden_layers=2, eos_token_id=2, **sizes)
old, new = CLIPTextModel(config), FlaxCLIPTextModel(config)
x = np.random.default_rng(0).integers(2, 300, (2, 12))
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
