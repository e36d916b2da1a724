"""Vision: RegNet, RegNetModel of transformers, in PyTorch and in Flax."""

import numpy as np
from transformers import FlaxRegNetModel, RegNetConfig, RegNetModel
from trigru.parity import Model

sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]}
config = RegNetConfig(groups_width=4, **sizes)
old, new = RegNetModel(config), FlaxRegNetModel(config)
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
