"""Vision: ResNet, ResNetModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxResNetModel, ResNetConfig, ResNetModel
from trigru.parity import Model

sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]}
config = ResNetConfig(layer_type="basic", **sizes)
old, new = ResNetModel(config), FlaxResNetModel(config)
x = np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype("f4")
reference = Model.torch(old, outputs=lambda result: result.pooler_output)
candidate = Model.linen(
    new.module,
    new.params,
    inputs=lambda image: image.transpose(0, 2, 3, 1),
    outputs=lambda result: result.pooler_output,
    train={"deterministic": False},
    eval={"deterministic": True},
)
