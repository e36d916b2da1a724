"""Vision: CLIP's image tower, CLIPVisionModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import CLIPVisionConfig, CLIPVisionModel, FlaxCLIPVisionModel
from trigru.parity import Model

sizes = {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96}
config = CLIPVisionConfig(num_hidden_layers=2, image_size=16, patch_size=4, **sizes)
old, new = CLIPVisionModel(config), FlaxCLIPVisionModel(config)
x = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype("f4")
reference = Model.torch(old, outputs=lambda result: result.last_hidden_state)
candidate = Model(new.params, lambda params, x: new(x, params=params).last_hidden_state)
