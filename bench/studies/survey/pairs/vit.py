"""Vision: ViT, ViTModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxViTModel, ViTConfig, ViTModel
from trigru.parity import Model

sizes = {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96}
config = ViTConfig(num_hidden_layers=2, image_size=16, patch_size=4, **sizes)
old, new = (
    ViTModel(config, add_pooling_layer=False),
    FlaxViTModel(config, add_pooling_layer=False),
)
x = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype("f4")
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
